/** A real Postgres in real trouble, under the API and the worker of a server. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { runApi } from '../../src/api/main.ts';
import { loadConfig } from '../../src/config.ts';
import { type Postgres, startPostgres } from '../../src/embedded/postgres.ts';
import { silentLog } from '../../src/log.ts';
import { ensureEmbeddedKey } from '../../src/store/bootstrap.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { mintKey } from '../../src/store/keys.ts';
import { migrate } from '../../src/store/migrate.ts';
import { runWorker } from '../../src/worker/main.ts';
import { type Line, lineTo } from '../store/reply-thief.ts';
import { type ScriptedModel, say, startScriptedModel } from '../support/scripted-model/scripted-model.ts';
import { checkWitnesses } from '../support/store.ts';
import { type Answered, type Asking, askerOf } from './api-harness.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** The API's own limits (3 s of repeating, 5 s in all), for a key and for what was asked, on a busy machine. */
const ANSWERED_MS = 9_000;
const DISK_BYTES = 400 * 1024 * 1024;
const TOO_MANY_CONNECTIONS = '53300';

let dir: string;
let postgres: Postgres;
let line: Line;
let db: Database;
let model: ScriptedModel;
let server: { readonly url: string; stop(): Promise<void> };
let worker: { stop(): Promise<void> };
let isDiskSmall = false;
const apiKey = mintKey();

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'capybara-trouble-'));
  isDiskSmall = mountSmallDisk(dir);
  postgres = await startCluster();
  await migrate(postgres.url, { log: () => {} });
  line = await lineTo(postgres.url);
  db = openDatabase({ url: line.url, log: silentLog });
  await ensureEmbeddedKey(db, apiKey);
  model = await startScriptedModel({ script: () => say('Done.') });
  const env = {
    DATABASE_URL: line.url,
    CAPYBARA_MODEL_ENDPOINT: model.baseUrl,
    CAPYBARA_MODEL: 'env/m',
    CAPYBARA_PORT: '0',
    CAPYBARA_SANDBOX: 'off',
  };
  const { config } = loadConfig({
    env: { ...env, CAPYBARA_DATA_DIR: join(dir, 'own') },
    cwd: dir,
    home: dir,
  });
  server = await runApi(config, silentLog);
  worker = await runWorker(config, silentLog);
});

afterEach(async () => expect(await checkWitnesses(db)).toEqual([]));

afterAll(async () => {
  await worker?.stop();
  await server?.stop();
  await model?.close();
  await db?.close();
  await line?.close();
  await postgres?.stop();
  if (isDiskSmall) execFileSync('umount', [dir]);
  rmSync(dir, { recursive: true, force: true });
});

const startCluster = () => startPostgres({ dataDir: dir, log: () => {}, fsync: false });

/** False: only root can, and not in every container. */
function mountSmallDisk(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'none', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Also after a crash: the line leads to the new one. */
async function restart(): Promise<void> {
  await postgres.stop();
  postgres = await startCluster();
  line.leadTo(postgres.url);
}

/** An answer within seconds, which is either what was wanted or 503 as the API promises it. */
async function ask(method: string, path: string, asking: Asking = {}): Promise<Answered> {
  const began = performance.now();
  const me = { teamId: '', userId: '', apiKey };
  const answer = await askerOf(server.url, me)(method, path, asking);
  expect(performance.now() - began, `${method} ${path}`).toBeLessThan(ANSWERED_MS);
  if (answer.status < 400) return answer;
  const code = path === '/readyz' ? 'not_ready' : 'database_unavailable';
  expect([path, answer.status, answer.json?.code]).toEqual([path, 503, code]);
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(answer.headers.get('retry-after')).toBe('1');
  return answer;
}

const create = (prompt = 'x') => ask('POST', '/v1/tasks', { body: { prompt, workspace: { kind: 'empty' } } });

/** Every task that was accepted ends well; nothing was asked for twice, and no worker counts as lost. */
async function allSucceed(ids: readonly string[]): Promise<void> {
  await vi.waitFor(
    async () => {
      for (const id of ids) {
        const { json } = await ask('GET', `/v1/tasks/${id}`);
        expect(json?.status).toBe('succeeded');
      }
    },
    { timeout: 60_000, interval: 200 },
  );
  expect(await db.sql`SELECT type FROM event WHERE type = 'turn.recovered'`).toEqual([]);
}

const accepted = (answers: readonly Answered[]): string[] =>
  answers.filter(({ status }) => status === 201).map(({ json }) => json.id);

test('a restart under load delays, and loses and doubles nothing', async () => {
  const before = model.requests.length;
  let isOver = false;
  const load = Array.from({ length: 4 }, async () => {
    const answers: Answered[] = [];
    while (!isOver) answers.push(await create());
    return answers;
  });
  await delay(500);
  await restart();
  await delay(1_500);
  isOver = true;
  const answers = (await Promise.all(load)).flat();
  await allSucceed(accepted(answers));
  expect(answers.length).toBeGreaterThan(4);
  // A request that was refused may have been committed: its task runs as well.
  const [row] = await db.sql`SELECT count(*)::int AS tasks FROM task`;
  await vi.waitFor(() => expect(model.requests.length - before).toBe(row?.tasks), 30_000);
});

test.each(['down', 'freeze'] as const)('every route answers 503 within seconds (%s)', async (how) => {
  const task = (await create()).json;
  await allSucceed([task.id]);
  const session = `/v1/sessions/${task.sessionId}`;
  const nothing = '0'.repeat(32);
  const reads = [
    ...['/v1/tasks', '/v1/sessions', '/v1/approvals', '/v1/workers', '/v1/usage', '/readyz'],
    ...['', '/entries', '/tool-calls', '/events'].map((path) => `${session}${path}`),
    ...[`/v1/tasks/${task.id}`, `/v1/outputs/out_${nothing}`],
  ];
  line[how]();
  const answers = await Promise.all([
    ...reads.map((path) => ask('GET', path)),
    ask('GET', `${session}/events`, { headers: { accept: 'text/event-stream' } }),
    create(),
    ask('POST', `/v1/tasks/${task.id}/cancel`),
    ask('POST', `${session}/messages`, { body: { text: 'And?' } }),
    ask('POST', `/v1/approvals/apr_${nothing}`, { body: { decision: 'allow' } }),
  ]);
  line.up();
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503));
  await vi.waitFor(async () => expect((await ask('GET', '/readyz')).status).toBe(200), 10_000);
});

test('where another client holds every connection, the API says 503 and all go on afterwards', async () => {
  line.down();
  const hog = await holdConnections();
  line.up();
  const refused = await create();
  expect(refused.json).toMatchObject({ detail: expect.stringContaining('no connection to spare') });
  expect((await ask('GET', '/v1/workers')).status).toBe(503);
  await hog.release();
  await vi.waitFor(async () => expect((await ask('GET', '/readyz')).status).toBe(200), 15_000);
  await allSucceed(accepted([await create()]));
});

/** Every connection but those that are kept for superusers, and then those. */
async function holdConnections() {
  const clients: Client[] = [];
  const release = () => Promise.all(clients.map((client) => client.end()));
  onTestFinished(async () => void (await release().catch(() => {})));
  for (;;) {
    const client = new Client(postgres.url);
    client.on('error', () => {});
    try {
      await client.connect();
      clients.push(client);
    } catch (error) {
      if ((error as { code?: string }).code === TOO_MANY_CONNECTIONS) return { release };
      throw error;
    }
  }
}

test('what waits for a lock is 503 to a client, and repeated by a worker whose statement was ended', async () => {
  const [running] = accepted([await create()]);
  await allSucceed([running as string]);
  const locker = new Client(postgres.url);
  await locker.connect();
  await locker.query('BEGIN; LOCK TABLE turn IN ACCESS EXCLUSIVE MODE');
  expect((await create()).status).toBe(503);
  const { rows } = await locker.query(
    "SELECT pg_cancel_backend(pid) AS ended FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
  );
  expect(rows.length).toBeGreaterThan(0);
  await locker.query('COMMIT');
  await locker.end();
  await allSucceed(accepted([await create()]));
});

test('a Postgres that takes no changes is 503 to whoever makes one, and is read', async () => {
  const admin = new Client(postgres.url);
  await admin.connect();
  const readOnly = async (value: 'on' | 'off') => {
    await admin.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
    await admin.query('SELECT pg_reload_conf()');
  };
  await readOnly('on');
  await vi.waitFor(async () => expect((await create()).json?.detail).toContain('takes no changes'), 15_000);
  expect((await ask('GET', '/v1/tasks')).status).toBe(200);
  await admin.query('SET default_transaction_read_only = off');
  await readOnly('off');
  await admin.end();
  await vi.waitFor(async () => expect((await create()).status).toBe(201), 15_000);
});

test('a disk that is full is 503, and what was accepted goes on when there is room', async (context) => {
  if (!isDiskSmall) context.skip('a disk that is small needs root and tmpfs');
  const filler = join(dir, 'filler');
  fill(filler);
  const prompt = () => randomBytes(40_000).toString('base64');
  const answers: Answered[] = [];
  const giveUpAt = performance.now() + 30_000;
  while (!answers.some(({ status }) => status === 503) && performance.now() < giveUpAt)
    answers.push(...(await Promise.all(Array.from({ length: 8 }, () => create(prompt())))));
  expect(answers.map(({ status }) => status)).toContain(503);
  rmSync(filler);
  // Without room for its log Postgres may have ended altogether.
  const ended = await Promise.race([postgres.ended, delay(2_000)]);
  if (ended !== undefined) await restart();
  await vi.waitFor(async () => expect((await ask('GET', '/readyz')).status).toBe(200), 20_000);
  await allSucceed(accepted([...answers, await create()]));
});

function fill(path: string): void {
  for (let size = DISK_BYTES; size > 64 * 1024; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // A part of it was written: the rest goes in smaller pieces.
    }
  }
}
