/**
 * The files of the embedded cluster: who owns them, and their first initialisation.
 */
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { messageOf, UserError } from '../core/errors.ts';
import { dataDirError, openDataDir } from './data-dir.ts';
import { type Binaries, findBinaries, type RunAs } from './postgres-binaries.ts';

/** A cluster that is initialised, running or not. */
export interface Cluster {
  /** The directory that holds `data` and `password`. */
  readonly path: string;
  /** The same directory, as the programs of Postgres are to name it; descriptor 3 has to be open on `path`. */
  readonly place: string;
  /** `<path>/data`. */
  readonly dataPath: string;
  readonly user: string;
  readonly password: string;
  readonly binaries: Binaries;
  /** Postgres refuses to run as root: set exactly when this process is root. */
  readonly runAs: RunAs | undefined;
}

/** The whole environment of Postgres: nothing of Capybara's, and no PG* variable of the user's, reaches it. */
export const CLUSTER_ENV = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/bin:/bin' };

const USER = 'capybara';
/** Whom root runs Postgres as: the first that the machine has. */
const ROOT_RUNS_AS = ['postgres', 'nobody'];

/** Opens the cluster below a data directory, initialising it where it is absent. */
export async function openCluster(options: { dataDir: string; fsync?: boolean }): Promise<Cluster> {
  openDataDir(options.dataDir);
  const path = join(options.dataDir, 'postgres');
  const runAs = openClusterDir(path);
  const cluster: Cluster = {
    path,
    place: runAs !== undefined && process.platform === 'linux' ? '/proc/self/fd/3' : path,
    dataPath: join(path, 'data'),
    user: USER,
    password: openPassword(path, runAs),
    binaries: findBinaries({ runAs, ownCache: join(options.dataDir, 'programs') }),
    runAs,
  };
  removeUnfinished(path);
  if (!existsSync(join(cluster.dataPath, 'PG_VERSION'))) await initialise(cluster, options.fsync ?? true);
  return cluster;
}

/**
 * As root the directory belongs to the user that runs Postgres. That user cannot pass the 0700 directories above it, so
 * on Linux its programs reach it through an inherited descriptor (`place`).
 */
function openClusterDir(path: string): RunAs | undefined {
  const made = mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined;
  const { uid, gid } = statSync(path);
  const me = process.getuid?.() ?? uid;
  if (me !== 0) {
    if (uid !== me)
      throw dataDirError(path, `belongs to another user (uid ${uid}, this process is uid ${me})`);
    return undefined;
  }
  if (!made && uid !== 0) return { uid, gid };
  const runAs = unprivilegedUser();
  chownSync(path, runAs.uid, runAs.gid);
  return runAs;
}

/** From the passwd file: initdb wants a user that has a name. */
function unprivilegedUser(): RunAs {
  const accounts = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ROOT_RUNS_AS) {
    const [, , uid, gid] = accounts.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new UserError(
    'postgres_user',
    `Postgres does not run as root, and this machine has neither a user ${ROOT_RUNS_AS.join(' nor a user ')}: create one, or run Capybara as an ordinary user.`,
    3,
  );
}

function openPassword(path: string, runAs: RunAs | undefined): string {
  const file = join(path, 'password');
  if (!existsSync(file)) {
    if (existsSync(join(path, 'data')))
      throw dataDirError(
        path,
        'has a database but not its file "password"',
        'put it back, or start anew in another one',
      );
    const unfinished = `${file}.new`;
    writeFileSync(unfinished, randomBytes(24).toString('hex'), { mode: 0o600, flush: true });
    chmodSync(unfinished, 0o600);
    if (runAs !== undefined) chownSync(unfinished, runAs.uid, runAs.gid);
    renameSync(unfinished, file);
  }
  return readFileSync(file, 'utf8').trim();
}

/** The initdb of a process that was killed may still be writing: removal is retried until it has given up. */
function removeUnfinished(path: string): void {
  for (const name of readdirSync(path)) {
    if (!name.startsWith('data.new-')) continue;
    rmSync(join(path, name), { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

async function initialise(cluster: Cluster, fsync: boolean): Promise<void> {
  const unfinished = `data.new-${randomUUID()}`;
  const output = await runInitdb(cluster, unfinished, fsync);
  try {
    if (output !== undefined) throw new Error(output);
    renameSync(join(cluster.path, unfinished), cluster.dataPath);
  } catch (error) {
    rmSync(join(cluster.path, unfinished), { recursive: true, force: true });
    throw dataDirError(cluster.path, `could not be initialised (${messageOf(error)})`);
  }
}

/** `undefined` when it succeeded, else what it said. */
function runInitdb(cluster: Cluster, name: string, fsync: boolean): Promise<string | undefined> {
  const directory = openSync(cluster.path, 'r');
  const initdb = spawn(
    cluster.binaries.initdb,
    [
      `--pgdata=${join(cluster.place, name)}`,
      `--pwfile=${join(cluster.place, 'password')}`,
      `--username=${USER}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--no-locale',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      // The password is random, and nobody can guess it: to make guesses dear would cost every connection milliseconds.
      ...['--set', 'scram_iterations=1'],
      ...(fsync ? [] : ['--no-sync']),
    ],
    { ...cluster.runAs, cwd: '/', env: CLUSTER_ENV, stdio: ['ignore', 'ignore', 'pipe', directory] },
  );
  closeSync(directory);
  return new Promise((resolve) => {
    let said = '';
    initdb.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    initdb.on('error', (error) => resolve(error.message));
    initdb.on('close', (code) => resolve(code === 0 ? undefined : said.trim().replaceAll('\n', '; ')));
  });
}
