/** What load balancers see: whether a process can serve, and how it stops. */
import { Agent, request } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { READY_MS } from '../../src/api/readiness.ts';
import { listen } from '../../src/api/server.ts';
import { createLog, silentLog } from '../../src/log.ts';
import { createRedisQueueBackend } from '../../src/queue/redis.ts';
import type { Database } from '../../src/store/database.ts';
import { askerOf, startTestApi, type TestApi } from './api-harness.ts';

let it: TestApi;
beforeAll(async () => {
  it = await startTestApi();
});
afterAll(() => it.close());

describe('readiness', () => {
  test('tells of each thing that is needed', async () => {
    const { status, json } = await it.ask('GET', '/readyz', { key: null });
    expect([status, json]).toEqual([
      200,
      { status: 'ok', checks: { postgres: 'ok', queue: 'ok', migrations: 'ok' } },
    ]);
  });

  test('needs the database of this version', async () => {
    await it.db.sql`UPDATE _prisma_migrations SET rolled_back_at = clock_timestamp()`;
    const { status, json } = await it.ask('GET', '/readyz', { key: null });
    await it.db.sql`UPDATE _prisma_migrations SET rolled_back_at = NULL`;
    expect(status).toBe(503);
    expect(json).toMatchObject({
      code: 'not_ready',
      detail:
        'This process cannot serve now: migrations: the database is not that of this version: run `capybara migrate`.',
      checks: { postgres: 'ok', queue: 'ok' },
    });
    expect((await it.ask('GET', '/readyz', { key: null })).status).toBe(200);
  });

  test('does not wait for a Redis that takes connections and says nothing, and tells nobody where it is', async () => {
    const silent = await silentServer();
    const lines: string[] = [];
    const backend = createRedisQueueBackend({ url: `redis://127.0.0.1:${silent.port}`, log: silentLog });
    const queue = backend.queue();
    const log = createLog({ level: 'warn', destination: { write: (line) => lines.push(line) } });
    const server = await listen(createApi({ ...it.deps, queue, log }), { host: '127.0.0.1', port: 0 });
    const ask = askerOf(server.url, it.me);
    const began = performance.now();
    const [answer, other] = await Promise.all([ask('GET', '/readyz'), ask('GET', '/readyz')]);
    expect(performance.now() - began).toBeLessThan(READY_MS + 2_000);
    expect(performance.now() - began).toBeGreaterThanOrEqual(READY_MS - 50);
    const checks = { postgres: 'ok', queue: `no answer within ${READY_MS} ms`, migrations: 'ok' };
    expect([answer.status, answer.json.checks, other.json.checks]).toEqual([503, checks, checks]);
    expect(answer.text).not.toContain(String(silent.port));
    expect(lines.join('')).toContain('"check":"queue"');
    await server.close();
    await queue.close();
    await backend.close();
    silent.close();
  }, 20_000);
});

/** Other programs may be at work on this machine. */
const SLOW = { timeout: 20_000 };

describe('a server that stops', () => {
  test('sends streams elsewhere, answers what is in hand, and refuses what is new', async () => {
    const server = await listen(createApi(it.deps), { host: '127.0.0.1', port: 0, closeGraceMs: 60_000 });
    const ask = askerOf(server.url, it.me);
    const { sessionId } = await it.submit();
    const accept = { accept: 'text/event-stream', authorization: `Bearer ${it.me.apiKey}` };
    const stream = await fetch(`${server.url}/v1/sessions/${sessionId}/events`, { headers: accept });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await ended(server.url, agent);
    const lock = await it.db.pool.connect();
    await lock.query('BEGIN; LOCK TABLE task');
    const inHand = ask('GET', '/v1/tasks');
    await expect.poll(() => waiting(it.db), SLOW).toHaveLength(1);

    const closed = server.close();
    const text = await stream.text();
    expect(text).toMatch(/event: task\.created\n[\s\S]*\n\n: this server is stopping\nretry: \d+\n\n$/);
    const comesBack = Number(/retry: (\d+)\n\n$/.exec(text)?.[1]);
    expect(comesBack).toBeGreaterThanOrEqual(250);
    expect(comesBack).toBeLessThanOrEqual(2_000);
    const kept = await ended(server.url, agent);
    expect(kept).toEqual({ status: 503, connection: 'close', code: 'stopping' });
    const fresh = await ask('GET', '/readyz');
    expect([fresh.status, fresh.json.code, fresh.headers.get('retry-after')]).toEqual([503, 'stopping', '1']);

    await lock.query('ROLLBACK');
    lock.release();
    const answer = await inHand;
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close']);
    await closed;
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
    agent.destroy();
  });

  test('cuts off what takes longer than it waits', async () => {
    const closeGraceMs = 200;
    const server = await listen(createApi(it.deps), { host: '127.0.0.1', port: 0, closeGraceMs });
    const lock = await it.db.pool.connect();
    await lock.query('BEGIN; LOCK TABLE task');
    const inHand = askerOf(server.url, it.me)('GET', '/v1/tasks');
    const cut = expect(inHand).rejects.toThrow();
    await expect.poll(() => waiting(it.db), SLOW).toHaveLength(1);
    const began = performance.now();
    await server.close();
    const took = performance.now() - began;
    await lock.query('ROLLBACK');
    lock.release();
    await cut;
    expect(took).toBeGreaterThanOrEqual(closeGraceMs - 20);
  });
});

/** Not over the connection that holds the lock: what a transaction has once seen of the others it sees to its end. */
const waiting = (db: Database) =>
  db.sql`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;

/** A request over a connection that is kept. */
function ended(url: string, agent: Agent): Promise<{ status?: number; connection?: string; code?: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}/healthz`, { agent }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, connection: headers.connection ?? '', code: JSON.parse(text).code });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

async function silentServer(): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, close };
}
