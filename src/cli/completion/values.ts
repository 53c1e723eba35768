/** Values that have to be looked up, in the settings or at the Capybara that is talked to. Nothing is started for them. */
import { homedir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '../../client/client.ts';
import { readYamlFile } from '../../config/files.ts';
import { SETTING_KEYS } from '../../config/settings.ts';
import { type Config, commandEnvironment, loadConfig, userConfigFile } from '../../config.ts';
import { oneLine } from '../untrusted-text.ts';
import type { Candidate, Source } from './wanted.ts';

/** Whoever pressed Tab waits for it. */
const PATIENCE_MS = 1_000;
/** The newest of each kind. */
const MANY = 20;
const ABOUT_LENGTH = 60;

export async function valuesOf(source: Source, profile: string | undefined): Promise<readonly Candidate[]> {
  if (source.kind === 'settings') return SETTING_KEYS.map((value) => ({ value }));
  if (source.kind === 'profiles') return profiles();
  const { config } = loadConfig({ profile });
  if (source.kind === 'providers') return Object.keys(config.providers).map((value) => ({ value }));
  if (source.kind === 'mcpServers') return Object.keys(config.mcp.servers).map((value) => ({ value }));
  const last = source.kind === 'ids' && source.last ? [{ value: 'last', about: 'the newest one' }] : [];
  return [...last, ...(await asked(source, config).catch(() => []))];
}

/** Of the user's own settings. */
function profiles(): Candidate[] {
  const env = commandEnvironment();
  const settings = readYamlFile(userConfigFile({ env, home: homedir() })) ?? [];
  const names = settings.flatMap(({ path }) => (path[0] === 'profiles' ? path.slice(1, 2) : []));
  return [...new Set(names)].map((value) => ({ value }));
}

async function asked(source: Source, config: Config): Promise<readonly Candidate[]> {
  if (config.offline) await (await import('../offline.ts')).stayOffline(config);
  const { connect } = await import('../connection.ts');
  const late = delay(PATIENCE_MS, [], { ref: false });
  const found = connect(config, { start: false }).then(({ client }) => lookUp(source, client));
  return Promise.race([found, late]);
}

async function lookUp(source: Source, client: Client): Promise<readonly Candidate[]> {
  switch (source.kind) {
    case 'agents':
      return (await client.agents()).data.map(({ name, about }) => candidate(name, about));
    case 'models':
      return (await client.models()).data.flatMap(({ models }) =>
        models.map(({ model }) => ({ value: model })),
      );
    case 'ids':
      return (await Promise.all(source.prefixes.map((prefix) => idsOf(prefix, client)))).flat();
    default:
      return [];
  }
}

async function idsOf(prefix: string, client: Client): Promise<readonly Candidate[]> {
  const limit = { limit: MANY };
  switch (prefix) {
    case 'task':
      return (await client.tasks(limit)).data.map((task) =>
        candidate(task.id, `${task.status}: ${task.prompt}`),
      );
    case 'ses':
      return (await client.sessions(limit)).data.map(({ id, title }) => candidate(id, title ?? ''));
    case 'apr':
      return (await client.approvals(limit)).data.map(({ id, tool }) => candidate(id, tool));
    case 'rule':
      return (await client.rules(limit)).data.map(({ id, tool }) => candidate(id, tool));
    case 'key':
      return (await client.keys(limit)).data.map(({ id, name }) => candidate(id, name));
    case 'usr':
      return (await client.users(limit)).data.map(({ id, name }) => candidate(id, name));
    case 'whk':
      return (await client.webhooks(limit)).data.map(({ id, url }) => candidate(id, url));
    case 'sch':
      return (await client.schedules(limit)).data.map(({ id, name }) => candidate(id, name));
    case 'dlv':
      return (await client.deliveries(limit)).data.map(({ id, status }) => candidate(id, status));
    default:
      return [];
  }
}

/** What somebody else wrote must not reach a terminal as it is. */
function candidate(value: string, about: string): Candidate {
  return { value, about: oneLine(about, ABOUT_LENGTH) };
}
