/** What is wrong on this machine, and how to mend it: the checks behind `capybara doctor`. */
import { rgPath } from '@vscode/ripgrep';
import { type Config, commandEnvironment, type LoadedConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { answers, type Check, directory, type Probe, withoutStop } from './check.ts';
import { ownClock } from './clock.ts';
import { disks } from './disk.ts';
import { embedded } from './embedded.ts';
import { git, versionLine } from './git.ts';
import { encryptionKey, keyFiles, providerKeys } from './keys.ts';
import { mcpServers } from './mcp.ts';
import { ollamas } from './ollama.ts';
import { postgres } from './postgres.ts';
import { queue } from './redis.ts';
import { permissionRules } from './rules.ts';
import { capybara, node } from './runtime.ts';
import { sandbox } from './sandbox.ts';
import { server } from './server.ts';
import { sharedSnapshots } from './shared-snapshots.ts';
import { misspeltVariables } from './variables.ts';
import { webSearch } from './web-search.ts';

export type { Check } from './check.ts';

/**
 * What is there, side by side; nothing is waited for long. `loaded`: the settings, or why they cannot be read, and then only the
 * machine is looked at.
 */
export function examine(loaded: LoadedConfig | UserError): Promise<Check[]> {
  const [first, ...machine] = THIS_MACHINE;
  if (loaded instanceof UserError)
    return answers([first, { name: 'settings', ask: () => [unread(loaded)] }, ...machine]);
  return answers([first, ...machine, ...ofSettings(loaded)]);
}

function unread({ message }: UserError): Check {
  return { name: 'settings', state: 'wrong', found: withoutStop(message) };
}

const THIS_MACHINE: readonly [Probe, ...Probe[]] = [
  { name: 'Capybara', ask: () => [capybara()] },
  { name: 'Node', ask: () => [node()] },
  { name: 'ripgrep', ask: async () => [await ripgrep()] },
  { name: 'git', ask: async () => [await git()] },
  { name: 'clock', ask: () => [ownClock()] },
];

async function ripgrep(): Promise<Check> {
  const name = 'ripgrep';
  const said = await versionLine(rgPath);
  if (typeof said === 'string') return { name, state: 'ok', found: said };
  const cure = 'install Capybara anew: ripgrep comes with it';
  return { name, state: 'wrong', found: `it does not run (${said.message.trim()})`, cure };
}

function ofSettings(loaded: LoadedConfig): Probe[] {
  const { config } = loaded;
  return [
    { name: 'sandbox', ask: () => sandbox(config) },
    { name: 'data directory', ask: () => [dataDirectory(config)] },
    { name: 'disk', ask: () => disks(config) },
    { name: 'server', ask: () => capybaraOf(config) },
    { name: 'Postgres', ask: () => postgres(config) },
    { name: 'queue', ask: () => queue(config) },
    { name: 'shared snapshots', ask: async () => snapshotsOf(config) },
    { name: 'providers', ask: () => providerKeys(config) },
    ...ollamas(config).map((checks) => ({ name: 'Ollama', ask: () => checks })),
    { name: 'encryption key', ask: () => encryptionKey(config) },
    { name: 'key files', ask: () => keyFiles(loaded) },
    { name: 'environment', ask: () => misspeltVariables(commandEnvironment()) },
    { name: 'web search', ask: () => webSearch(config) },
    { name: 'MCP', ask: () => mcpServers(config, process.cwd()) },
    { name: 'permissions', ask: () => permissionRules(config, process.cwd()) },
  ];
}

/** The one that the CLI would talk to; a server's machine needs none. */
function capybaraOf({ url, apiKey, databaseUrl, dataDir }: Config): Promise<Check[]> | [] {
  if (url !== undefined) return server({ url, apiKey });
  return databaseUrl === undefined ? embedded(dataDir) : [];
}

async function snapshotsOf({ snapshots }: Config): Promise<Check[]> {
  return snapshots === undefined ? [] : [await sharedSnapshots(snapshots)];
}

function dataDirectory({ dataDir }: Config): Check {
  return directory('data directory', {
    path: dataDir,
    cure: 'set CAPYBARA_DATA_DIR to a directory of your own',
  });
}
