import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import { startPostgres } from '../../src/embedded/postgres.ts';
import { hasOrdinaryUser, ordinaryUser } from '../support/ordinary-user.ts';

const EVERY_POINT = process.env.CAPYBARA_TEST_EVERY_POINT === '1';
const CHILD = join(import.meta.dirname, '..', 'support', 'embedded-child.ts');
let directory: string;
let dataDir: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-embedded-'));
  dataDir = join(directory, 'data');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A cluster that somebody made before: to make one is most of what a first start costs. */
function wasUsed(): void {
  execFileSync('cp', ['-a', inject('usedDataDir'), dataDir]);
}

const start = (options: { fsync?: boolean } = { fsync: false }) =>
  startPostgres({ dataDir, log: () => {}, ...options });

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client(url);
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat();
  } finally {
    await client.end();
  }
}

/** The pid of the postmaster in the data directory, or undefined where none runs. */
function postmaster(): number | undefined {
  const file = join(dataDir, 'postgres', 'data', 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  return isAlive(pid) ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0) && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** The guard is the parent of the postmaster. */
function guardOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/PPid:\s+(\d+)/)?.[1]);
}

async function line(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('expected a pipe');
  const [text] = await once(createInterface({ input: child.stdout }), 'line');
  return text;
}

function startChild(user: { uid?: number; gid?: number } = {}, ...flags: string[]): ChildProcess {
  return spawn(process.execPath, [CHILD, dataDir, ...flags], {
    ...user,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function urlOf(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('expected a pipe');
  for await (const text of createInterface({ input: child.stdout })) {
    if (text.startsWith('postgresql://')) return text;
  }
  throw new Error('the child ended');
}

describe('a start', () => {
  test('initialises a cluster that keeps its data, durable, behind a password, on loopback alone', async () => {
    const first = await start({});
    await query(first.url, 'CREATE TABLE kept AS SELECT 7 AS n');
    expect(await query(first.url, "SELECT current_setting('fsync')")).toEqual(['on']);
    expect(await query(first.url, "SELECT current_setting('max_connections')")).toEqual(['200']);
    expect(await query(first.url, "SELECT current_setting('listen_addresses')")).toEqual(['127.0.0.1']);
    expect(await query(first.url, "SELECT upper('é'), current_setting('server_encoding')")).toEqual([
      'É',
      'UTF8',
    ]);
    const wrong = new URL(first.url);
    wrong.password = 'wrong';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
    await first.stop();
    expect(postmaster()).toBeUndefined();
    const second = await start();
    expect(await query(second.url, 'SELECT n FROM kept')).toEqual([7]);
    await second.stop();
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dataDir, 'postgres', 'password')).mode & 0o777).toBe(0o600);
  });

  test('gives Postgres nothing of its own environment', async () => {
    vi.stubEnv('CAPYBARA_API_KEY', 'secret');
    vi.stubEnv('PGPORT', '1');
    wasUsed();
    const postgres = await start();
    const pid = postmaster() ?? 0;
    for (const process of [pid, guardOf(pid)]) {
      expect(readFileSync(`/proc/${process}/environ`, 'utf8')).not.toMatch(/secret|PGPORT/);
    }
    await postgres.stop();
    vi.unstubAllEnvs();
  });

  test('finishes an initialisation that was cut off, whenever that was', async () => {
    for (const afterMs of [20, 250, 600]) {
      const child = startChild();
      await line(child);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      child.kill('SIGKILL');
      const postgres = await start();
      expect(await query(postgres.url, 'SELECT 1')).toEqual([1]);
      await postgres.stop();
      rmSync(dataDir, { recursive: true });
    }
  }, 60_000);

  test('goes on where postmaster.pid names a process that is not Postgres', async () => {
    wasUsed();
    const file = join(dataDir, 'postgres', 'data', 'postmaster.pid');
    writeFileSync(file, `${process.pid}\n${dataDir}\n1\n1\n\n127.0.0.1\n1 1\nready\n`);
    const postgres = await start();
    expect(isAlive(process.pid)).toBe(true);
    await postgres.stop();
  });
});

describe('the cluster', () => {
  beforeEach(wasUsed);

  test('ends with its parent, even killed, and the next start finds what was committed', async () => {
    for (let round = 1; round <= (EVERY_POINT ? 3 : 1); round += 1) {
      const child = startChild();
      const url = await urlOf(child);
      await query(url, `CREATE TABLE round_${round} ()`);
      child.kill('SIGKILL');
      const postgres = await start();
      expect(
        await query(postgres.url, "SELECT count(*)::int FROM pg_tables WHERE tablename ~ '^round_'"),
      ).toEqual([round]);
      await postgres.stop();
    }
    const child = startChild();
    await urlOf(child);
    const pid = postmaster() ?? 0;
    const guard = guardOf(pid);
    child.kill('SIGKILL');
    await vi.waitFor(() => expect([isAlive(pid), isAlive(guard)]).toEqual([false, false]), 5_000);
  });

  test('stays while its parent handles Ctrl-C in the terminal', async () => {
    const child = startChild({}, 'ignore-interrupt');
    const url = await urlOf(child);
    process.kill(-(child.pid ?? 0), 'SIGINT');
    process.kill(guardOf(postmaster() ?? 0), 'SIGTERM');
    expect(await query(url, 'SELECT pg_sleep(0.2)::text, 1')).toEqual(['', 1]);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    await (await start()).stop();
  });

  test('is stopped, and its end told, when its guard is killed', async () => {
    const postgres = await start();
    const pid = postmaster() ?? 0;
    process.kill(guardOf(pid), 'SIGKILL');
    await postgres.ended;
    expect(isAlive(pid)).toBe(false);
    await postgres.stop();
  });

  test('tells its end when it is killed, and starts again', async () => {
    const postgres = await start();
    process.kill(postmaster() ?? 0, 'SIGKILL');
    await postgres.ended;
    const next = await start();
    expect(await query(next.url, 'SELECT 1')).toEqual([1]);
    await next.stop();
  });

  test('never runs as root, and works below directories that only their owner may pass', async () => {
    const postgres = await start();
    const pid = postmaster() ?? 0;
    expect(statSync(`/proc/${pid}`).uid).not.toBe(0);
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(join(dataDir, 'postgres', 'data'));
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await postgres.stop();
  });

  test.runIf(hasOrdinaryUser)('runs for an ordinary user', async () => {
    rmSync(dataDir, { recursive: true });
    const { uid = process.getuid?.() ?? 0, gid = process.getgid?.() ?? 0 } = ordinaryUser;
    chownSync(directory, uid, gid);
    const child = startChild(ordinaryUser);
    expect(await query(await urlOf(child), 'SELECT 1')).toEqual([1]);
    const pid = postmaster() ?? 0;
    expect(statSync(`/proc/${pid}`).uid).toBe(uid);
    child.kill('SIGKILL');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), 5_000);
  });
});

describe('one sentence says what is wrong, with exit code 3, where', () => {
  const refusal = (message: RegExp) =>
    expect(start()).rejects.toMatchObject({
      name: 'UserError',
      exitCode: 3,
      message: expect.stringMatching(message),
    });

  test('the data directory is a file', async () => {
    writeFileSync(dataDir, '');
    await refusal(
      /^The data directory \S+ is not a directory: use one of your own with CAPYBARA_DATA_DIR\.$/,
    );
  });

  test('the database has lost its password', async () => {
    mkdirSync(join(dataDir, 'postgres', 'data'), { recursive: true });
    await refusal(/^The data directory .*postgres has a database but not its file "password": put it back/);
  });

  test('the files in the cluster directory are not a cluster', async () => {
    mkdirSync(join(dataDir, 'postgres', 'data'), { recursive: true });
    writeFileSync(join(dataDir, 'postgres', 'password'), 'x');
    writeFileSync(join(dataDir, 'postgres', 'data', 'notes.txt'), '');
    await refusal(/^The data directory .*postgres could not be initialised \(.*not empty/);
  });

  test('Postgres itself refuses', async () => {
    wasUsed();
    const configuration = join(dataDir, 'postgres', 'data', 'postgresql.conf');
    writeFileSync(configuration, 'no_such_setting = 1\n');
    await refusal(/^The embedded Postgres in .* did not start: .*no_such_setting/);
  });
});
