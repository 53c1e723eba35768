import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { runApi } from '../../src/api/main.ts';
import { listen } from '../../src/api/server.ts';
import { createClient } from '../../src/client/client.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log.ts';
import { bootstrap } from '../../src/store/bootstrap.ts';
import { builtinTools } from '../../src/tools/builtin.ts';
import { runWorker } from '../../src/worker/main.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { ENCRYPTION_KEY } from '../support/sealing.ts';
import { startTestApi, type TestApi } from './api-harness.ts';

let redis: TestRedis | undefined;
const databases: TestDatabase[] = [];

beforeAll(async () => {
  redis = await startRedis('the API on Redis');
});
afterAll(async () => {
  await redis?.stop();
  await Promise.all(databases.map((each) => each.drop()));
});

async function configure(env: Record<string, string>, options?: { empty: boolean }): Promise<Config> {
  const database = await createTestDatabase(options);
  databases.push(database);
  const variables = {
    DATABASE_URL: database.url,
    CAPYBARA_PORT: '0',
    OPENAI_API_KEY: 'sk-none',
    ...env,
  };
  return loadConfig({ env: variables, trustWorkingDirectory: false, home: '/nowhere' }).config;
}

async function submits(config: Config): Promise<void> {
  const running = await runApi(config, silentLog);
  const first = await bootstrap(config.databaseUrl ?? '');
  const response = await fetch(`${running.url}/v1/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${first?.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'x', workspace: { kind: 'empty' } }),
  });
  expect([response.status, ((await response.json()) as { model: string }).model]).toEqual([
    201,
    'openai/gpt-5.5',
  ]);
  await running.stop();
  await expect(fetch(`${running.url}/healthz`)).rejects.toThrow();
}

describe('a server of the API', () => {
  test('migrates an empty database, takes tasks, and stops', async () => {
    await submits(await configure({}, { empty: true }));
  });

  test('hands in what is due', async () => {
    const config = await configure({ CAPYBARA_SCHEDULES_SHORTEST_SECONDS: '1' });
    const running = await runApi(config, silentLog);
    const { apiKey } = (await bootstrap(config.databaseUrl ?? '')) ?? expect.unreachable();
    const client = createClient({ url: running.url, apiKey });
    const { id } = await client.createSchedule({ name: 'often', every: 1, task: { prompt: 'x' } });
    await expect.poll(async () => (await client.schedule(id)).lastTaskId, { timeout: 10_000 }).not.toBeNull();
    await running.stop();
  });

  test('runs on Redis where there is one', async ({ skip }) => {
    if (redis === undefined) return skip();
    await submits(await configure({ REDIS_URL: redis.url }));
  });

  test('listens on every address unless told otherwise', async () => {
    const running = await runApi(await configure({}), silentLog);
    expect(running.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200);
    await running.stop();
  });

  test('takes no local workspaces', async () => {
    const config = await configure({});
    const running = await runApi(config, silentLog);
    const first = await bootstrap(config.databaseUrl ?? '');
    const response = await fetch(`${running.url}/v1/tasks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${first?.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'x', workspace: { kind: 'local', path: '/srv/project' } }),
    });
    expect(((await response.json()) as { code: string }).code).toBe('local_workspace');
    await running.stop();
  });

  test('warns once of rules for tools that there are none of, and knows those that are added', async () => {
    const config = await configure({
      CAPYBARA_PERMISSIONS: '{"bsh(rm *)":"deny","sink":"ask","bash":"ask"}',
    });
    const warned: string[] = [];
    const log = { ...silentLog, warn: (_: object, message: string) => warned.push(message) };
    const sink = { ...(builtinTools()[0] ?? expect.unreachable()), name: 'sink' };
    await (await runApi(config, log, { moreTools: [sink] })).stop();
    expect(warned).toEqual([
      'Rules for tools that do not exist count for nothing: "bsh" (the nearest one is "bash")',
    ]);
  });

  test('does not start where what is sealed cannot be opened here', async () => {
    const config = await configure({ CAPYBARA_ENCRYPTION_KEY: ENCRYPTION_KEY });
    const running = await runApi(config, silentLog);
    const { apiKey } = (await bootstrap(config.databaseUrl ?? '')) ?? expect.unreachable();
    await createClient({ url: running.url, apiKey }).createWebhook({ url: 'https://hooks.example' });
    await running.stop();
    const { encryptionKey: _, ...without } = config;
    const refused = { code: 'no_encryption_key', exitCode: 3 };
    await expect(runApi(without, silentLog)).rejects.toMatchObject(refused);
    await expect(runWorker({ ...without, sandbox: 'off' }, silentLog)).rejects.toMatchObject(refused);
  });

  test('needs a database', async () => {
    const { databaseUrl: _, ...config } = await configure({});
    await expect(runApi(config, silentLog)).rejects.toMatchObject({ code: 'no_database', exitCode: 2 });
  });

  test('says in one sentence that the port is taken, and leaves nothing open', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '0.0.0.0', resolve));
    const { port } = other.address() as { port: number };
    const config = await configure({ CAPYBARA_PORT: String(port) });
    const refused = runApi(config, silentLog);
    await expect(refused).rejects.toMatchObject({
      code: 'port_in_use',
      exitCode: 3,
      message: expect.stringContaining(`Port ${port}`),
    });
    await new Promise((resolve) => other.close(resolve));
  });
});

describe('listening', () => {
  let it: TestApi;
  beforeAll(async () => {
    it = await startTestApi();
  });
  afterAll(() => it.close());

  test('needs an address of this machine', async () => {
    const api = createApi(it.deps);
    await expect(listen(api, { host: '192.0.2.1', port: 0 })).rejects.toMatchObject({ code: 'bad_host' });
    const server = await listen(api, { host: '::1', port: 0 });
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    await server.close();
  });

  test('ends politely: a stream is closed, a request in hand is answered', async () => {
    const api = createApi(it.deps);
    const server = await listen(api, { host: '127.0.0.1', port: 0 });
    const { sessionId } = await it.submit();
    const headers = { authorization: `Bearer ${it.me.apiKey}`, accept: 'text/event-stream' };
    const stream = await fetch(`${server.url}/v1/sessions/${sessionId}/events`, { headers });
    const lock = await it.db.pool.connect();
    await lock.query('BEGIN; LOCK TABLE task');
    const request = fetch(`${server.url}/v1/tasks`, { headers });
    // Not over the connection that holds the lock: what a transaction has once seen of the others it sees to its end.
    const waiting = () =>
      it.db.sql`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
    await expect.poll(waiting).toHaveLength(1);

    const closed = server.close();
    expect(await stream.text()).toContain('event: task.created');
    await lock.query('ROLLBACK');
    lock.release();
    expect((await request).status).toBe(200);
    await closed;
    const late = fetch(`${server.url}/healthz`);
    await expect(late).rejects.toThrow();
  });
});
