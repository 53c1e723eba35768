/**
 * A Postgres of Capybara's own, for one machine. Below the data directory:
 *
 * - `postgres/data`: the cluster. It is initialised beside and renamed, so where it exists it is whole.
 * - `postgres/password`: of its only user, mode 0600.
 *
 * One process at a time may call `startPostgres` on a data directory: whoever calls it holds the directory's lock
 * (`data-dir.ts`), so a cluster found running there was left behind, and is stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { keptCode } from '../compiled-code.ts';
import { UserError } from '../core/errors.ts';
import { CLUSTER_ENV, type Cluster, openCluster } from './postgres-cluster.ts';
import type { GuardOrder } from './postgres-guard.ts';
import { stopLeftover } from './postgres-leftover.ts';

export interface PostgresOptions {
  /** Capybara's data directory, absolute. Created where absent. */
  readonly dataDir: string;
  /** Takes each line that Postgres writes. */
  readonly log: (line: string) => void;
  /** `false` only for tests: faster, and a power failure may corrupt the cluster. */
  readonly fsync?: boolean;
}

export interface Postgres {
  readonly url: string;
  /** Fast shutdown: open transactions are rolled back. Resolves when the cluster is gone. */
  stop(): Promise<void>;
  /** Resolves when the cluster has ended, asked or not, with the last lines it wrote. */
  readonly ended: Promise<string>;
}

/** What a start may trip over that passes: another program took the port, a killed cluster is not quite gone. */
const PASSING =
  /could not bind|Address already in use|lock file "postmaster.pid" already exists|shared memory block/;
const START_ATTEMPTS = 20;
const RETRY_MS = 250;
const LAST_LINES = 8;

/**
 * Starts the embedded Postgres on a free port of 127.0.0.1, initialised where it never was. It ends with this process,
 * even when this process is killed.
 *
 * @throws UserError `data_dir`, `postgres_binaries` or `postgres_start`, exit code 3.
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const cluster = await openCluster(options);
  let failure = '';
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt += 1) {
    if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    await stopLeftover(cluster.dataPath);
    const started = await launch(cluster, await freePort(), options);
    if (typeof started !== 'string') return started;
    failure = started;
    if (!PASSING.test(failure)) break;
  }
  throw new UserError(
    'postgres_start',
    `The embedded Postgres in ${options.dataDir} did not start: ${failure || 'it said nothing'}.`,
    3,
  );
}

/** The running cluster, or why it did not start. */
async function launch(cluster: Cluster, port: number, options: PostgresOptions): Promise<Postgres | string> {
  const guard = spawnGuard(cluster, port, options.fsync ?? true);
  const lastLines: string[] = [];
  const ready = new Promise<undefined>((resolve) => {
    if (guard.stderr === null) return;
    createInterface({ input: guard.stderr }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > LAST_LINES) lastLines.shift();
      options.log(line);
      if (line.includes('database system is ready to accept connections')) resolve(undefined);
    });
  });
  const ended = endOf(guard, cluster.dataPath).then((error) => error ?? lastLines.join('; '));
  const failure = await Promise.race([ready, ended]);
  if (failure !== undefined) return failure;
  return {
    url: `postgresql://${cluster.user}:${cluster.password}@127.0.0.1:${port}/postgres`,
    ended,
    stop: async () => {
      guard.stdin?.end();
      await ended;
    },
  };
}

/** Resolves when guard and cluster are gone: with the reason where the guard could not be started. */
async function endOf(guard: ChildProcess, dataPath: string): Promise<string | undefined> {
  guard.stdin?.on('error', () => {});
  const error = await new Promise<string | undefined>((resolve) => {
    guard.on('error', ({ message }) => resolve(message));
    guard.on('close', () => resolve(undefined));
    // Whoever kills the guard leaves the cluster running, which keeps the pipe open: then there is no `close`.
    guard.on('exit', (_, signal) => {
      if (signal !== null) resolve(undefined);
    });
  });
  await stopLeftover(dataPath);
  return error;
}

function spawnGuard(cluster: Cluster, port: number, fsync: boolean): ChildProcess {
  const program = fileURLToPath(new URL(`./postgres-guard${extname(import.meta.url)}`, import.meta.url));
  const order: GuardOrder = {
    command: cluster.binaries.postgres,
    args: ['-D', join(cluster.place, 'data'), ...settings(port, fsync)],
    env: CLUSTER_ENV,
    cwd: '/',
    ...cluster.runAs,
  };
  const directory = openSync(cluster.path, 'r');
  try {
    return spawn(process.execPath, [program, JSON.stringify(order)], {
      detached: true,
      cwd: '/',
      env: { ...CLUSTER_ENV, ...keptCode() },
      stdio: ['pipe', 'ignore', 'pipe', directory],
    });
  } finally {
    closeSync(directory);
  }
}

function settings(port: number, fsync: boolean): string[] {
  const values = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '64MB',
    // A container's /dev/shm is too small for parallel queries, and nothing here needs them.
    max_parallel_workers_per_gather: 0,
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    // Without fsync nothing is kept for long, and nobody has to tidy up.
    ...(fsync ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', autovacuum: 'off' }),
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** A port nobody listens on now. Someone may take it before Postgres does: the start is then tried again. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('expected a TCP port');
  return address.port;
}
