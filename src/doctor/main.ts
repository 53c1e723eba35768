/** What is wrong on this machine, and how to mend it: the checks behind `capybara doctor`. */
import { execFile } from 'node:child_process';
import { rgPath } from '@vscode/ripgrep';
import { Client } from 'pg';
import { type Config, commandEnvironment } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { silentLog } from '../log.ts';
import { connectRedis, disconnectRedis, redisTarget } from '../redis.ts';
import { decideSandbox, sandboxSentence } from '../sandbox/choose.ts';
import { findGroupPlace, groupsSentence } from '../sandbox/group-place.ts';
import type { Profile } from '../sandbox/view.ts';
import { type Check, directory, reasonOf } from './check.ts';
import { ollamas } from './ollama.ts';
import { permissionRules } from './rules.ts';
import { server } from './server.ts';
import { sharedSnapshots } from './shared-snapshots.ts';
import { webSearch } from './web-search.ts';

export type { Check } from './check.ts';

const ANSWER_TIMEOUT_MS = 5_000;

/** Of a server where a database is configured, else of one's own Capybara. */
export async function examine(config: Config): Promise<Check[]> {
  const profile = config.databaseUrl === undefined ? 'local' : 'strict';
  return Promise.all([
    ...(await sandbox(config, profile)),
    program('ripgrep', rgPath, 'install Capybara anew: ripgrep comes with it'),
    program('git', 'git', 'install git'),
    directory('data directory', {
      path: config.dataDir,
      cure: 'set CAPYBARA_DATA_DIR to a directory of your own',
    }),
    ...(config.url === undefined ? [] : [server(config)]),
    ...webSearch(config),
    ...(await Promise.all(ollamas(config))).flat(),
    ...permissionRules(config, process.cwd()),
    ...(config.snapshots === undefined ? [] : [sharedSnapshots(config.snapshots)]),
    ...(config.databaseUrl === undefined ? [] : [postgres('Postgres', config.databaseUrl)]),
    ...(config.databaseDirectUrl === undefined
      ? []
      : [postgres('Postgres, direct', config.databaseDirectUrl)]),
    ...(config.redisUrl === undefined ? [] : [redis(config.redisUrl)]),
  ]);
}

async function sandbox(config: Config, profile: Profile): Promise<Check[]> {
  const name = 'sandbox';
  try {
    const choice = await decideSandbox(config.sandbox, {
      ...{ profile, docker: config.docker, dataDir: config.dataDir },
      ...{ environment: commandEnvironment(), unprivileged: config.commands.user },
    });
    const found = sandboxSentence(choice).replace(/\.$/, '');
    if (choice.name === 'none') return [{ name, state: 'warning', found }];
    return [{ name, state: 'ok', found }, controlGroups()];
  } catch (error) {
    return [{ name, state: 'wrong', found: messageOf(error).replace(/\.$/, '') }];
  }
}

/** Whether a worker that is started as this process was could give commands groups of their own. */
function controlGroups(): Check {
  const place = findGroupPlace(['memory', 'pids']);
  const found = groupsSentence(place).replace(/\.$/, '');
  return { name: 'control groups', state: place.works ? 'ok' : 'warning', found };
}

async function program(name: string, path: string, cure: string): Promise<Check> {
  const options = { timeout: ANSWER_TIMEOUT_MS, env: { PATH: commandEnvironment().PATH } };
  return new Promise((resolve) => {
    execFile(path, ['--version'], options, (error, stdout) => {
      if (error)
        resolve({ name, state: 'wrong', found: `${name} does not run (${error.message.trim()})`, cure });
      else resolve({ name, state: 'ok', found: stdout.split('\n')[0] ?? '' });
    });
  });
}

async function postgres(name: string, url: string): Promise<Check> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: ANSWER_TIMEOUT_MS });
  try {
    await client.connect();
    return { name, state: 'ok', found: `${where(url)} answers` };
  } catch (error) {
    const found = `${where(url)} does not answer (${reasonOf(error)})`;
    return { name, state: 'wrong', found, cure: 'start it, or set DATABASE_URL to the one that runs' };
  } finally {
    await client.end().catch(() => {});
  }
}

async function redis(url: string): Promise<Check> {
  const name = 'Redis';
  const target = redisTarget(url);
  const client = connectRedis(
    { url: target.url, log: silentLog },
    { retryStrategy: () => null, lazyConnect: true },
  );
  client.options.connectTimeout = ANSWER_TIMEOUT_MS;
  try {
    await client.connect();
    return { name, state: 'ok', found: `${where(url)} answers` };
  } catch (error) {
    const found = `${where(url)} does not answer (${reasonOf(error)})`;
    return { name, state: 'wrong', found, cure: 'start it, or set REDIS_URL to the one that runs' };
  } finally {
    await disconnectRedis(client);
  }
}

/** Without who and with what password. */
function where(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname}${port === '' ? '' : `:${port}`}${pathname}`;
}
