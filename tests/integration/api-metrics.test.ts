/** What a Prometheus scrapes: the numbers of all teams, the same from every API, for those who run this Capybara. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { FLEET_CACHE_MS } from '../../src/api/metrics.ts';
import { isFromThisMachine } from '../../src/api/metrics-routes.ts';
import { listen } from '../../src/api/server.ts';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { BOUNDS, countMetrics, LAG_MS } from '../../src/store/metrics.ts';
import { aCall, askerOf, HandWorker, startTestApi, type TestApi, USAGE, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;
let now = 0;
/** As Prometheus reads it: samples by name and labels. */
type Scraped = Readonly<Record<string, number>>;

async function scrape(ask = it.ask): Promise<Scraped> {
  now += FLEET_CACHE_MS;
  const { status, text, headers } = await ask('GET', '/metrics', { key: null });
  expect([status, headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  return read(text);
}

function read(text: string): Scraped {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => {
      const [, name = '', value] = /^(\w+(?:\{.*\})?) (\S+)$/.exec(line) ?? expect.unreachable(line);
      return [name, Number(value)];
    }),
  );
}

beforeAll(async () => {
  it = await startTestApi(() => ({ clock: () => now }));
  worker = await new HandWorker(it.db).register();
});
afterAll(() => it.close());

describe('what is counted', () => {
  test('of a fleet that has done nothing is nothing', async () => {
    const scraped = await scrape();
    expect(scraped).toMatchObject({
      capybara_fleet_read: 1,
      capybara_queue_depth: 0,
      capybara_approvals_open: 0,
      capybara_deliveries_pending: 0,
      'capybara_workers{state="alive"}': 1,
      'capybara_workers{state="lost"}': 0,
      capybara_oldest_expired_lease_seconds: 0,
      capybara_sse_clients: 0,
    });
    expect(Object.keys(scraped).filter((name) => /^capybara.*_total/.test(name))).toEqual([]);
    expect(scraped.process_resident_memory_bytes).toBeGreaterThan(0);
    expect(scraped.nodejs_eventloop_lag_p99_seconds).toBeDefined();
  });

  test('are turns, tasks, tokens, money, times, and what waits, of all teams together', async () => {
    const other = await it.addPerson('theirs', 'Bo');
    for (const key of [it.me.apiKey, other.apiKey]) {
      const { json } = await it.ask('POST', '/v1/tasks', { key, body: { prompt: 'x' } });
      const held = await worker.claim(uuid('session', json.sessionId));
      await worker.answer(held, {
        usage: { ...USAGE, latencyMs: 2_000, firstTokenMs: 400, prices: { input: 2_500, output: 0 } },
        calls: [aCall({ status: 'awaiting_approval', approvalId: newId() })],
      });
    }
    const { sessionId } = await it.submit();
    await worker.finish(uuid('session', sessionId));
    await it.submit();
    const paused = await it.submit();
    await it.ask('POST', `/v1/tasks/${paused.id}/pause`);
    expect(await scrape()).toMatchObject({
      'capybara_turns_ended_total{outcome="done"}': 1,
      'capybara_turn_seconds_count{outcome="done"}': 1,
      'capybara_turn_seconds_bucket{outcome="done",le="+Inf"}': 1,
      'capybara_attempts_ended_total{outcome="settled"}': 1,
      'capybara_tasks_ended_total{status="succeeded",code=""}': 1,
      'capybara_model_requests_total{model="openai/m",outcome="answered"}': 3,
      'capybara_tokens_total{model="openai/m",kind="input",outcome="answered"}': 300,
      'capybara_tokens_total{model="openai/m",kind="cached",outcome="answered"}': 180,
      'capybara_tokens_total{model="openai/m",kind="output",outcome="answered"}': 60,
      'capybara_usd_total{model="openai/m",outcome="answered"}': 0.5,
      'capybara_model_latency_seconds_bucket{model="openai/m",le="0.1"}': 1,
      'capybara_model_latency_seconds_bucket{model="openai/m",le="1"}': 1,
      'capybara_model_latency_seconds_bucket{model="openai/m",le="2.5"}': 3,
      'capybara_model_first_token_seconds_bucket{model="openai/m",le="0.25"}': 1,
      'capybara_model_first_token_seconds_bucket{model="openai/m",le="0.5"}': 3,
      capybara_submit_to_first_request_seconds_count: 3,
      capybara_queue_depth: 2,
      'capybara_turns{status="queued"}': 2,
      'capybara_turns{status="running"}': 2,
      'capybara_tasks{status="queued",waiting_on=""}': 1,
      'capybara_tasks{status="paused",waiting_on=""}': 1,
      'capybara_tasks{status="running",waiting_on=""}': 2,
      capybara_approvals_open: 2,
    });
  });

  test('include what webhooks were sent, and are still to be', async () => {
    const { teamId } = it.me;
    for (const [status, due, ended] of [
      ['pending', '2026-01-01', null],
      ['delivered', null, 'now'],
      ['failed', null, 'now'],
    ])
      await it.db.sql`
        INSERT INTO webhook_delivery (id, team_id, task_id, root_id, seq, type, status, due_at, ended_at, answered)
        VALUES (${newId()}, ${teamId}, ${newId()}, ${newId()}, 1, 'task.succeeded', ${status}, ${due}::timestamptz,
                ${ended}::timestamptz, 200)`;
    const scraped = await scrape();
    expect(scraped).toMatchObject({
      'capybara_deliveries_ended_total{status="delivered"}': 1,
      'capybara_deliveries_ended_total{status="failed"}': 1,
      capybara_deliveries_pending: 1,
    });
    expect(scraped.capybara_delivery_oldest_seconds).toBeGreaterThanOrEqual(0);
  });

  test('say nothing of whose it was', async () => {
    now += FLEET_CACHE_MS;
    const { text } = await it.ask('GET', '/metrics');
    expect(text).toContain('capybara_tasks_ended_total');
    const ours = text.split('\n').filter((line) => line.startsWith('capybara') && !line.includes('route='));
    expect(ours.join('\n')).not.toMatch(/team|user|session|ses_|task_[0-9a-f]|ours|theirs|Ana|Bo\b/);
  });

  test('include a worker that is lost with a turn, until that is taken over', async () => {
    const lost = await new HandWorker(it.db).register();
    const { sessionId } = await it.submit();
    const held = await lost.claim(uuid('session', sessionId));
    await it.db.sql`
      UPDATE worker SET lease_expires_at = clock_timestamp() - interval '7 s' WHERE id = ${lost.id}`;
    const scraped = await scrape();
    expect(scraped['capybara_workers{state="lost"}']).toBe(1);
    expect(scraped.capybara_oldest_expired_lease_seconds).toBeGreaterThanOrEqual(7);
    await it.db
      .sql`UPDATE attempt SET ended_at = clock_timestamp(), outcome = 'lost' WHERE id = ${held.attemptId}`;
    expect(await scrape()).toMatchObject({
      'capybara_workers{state="lost"}': 0,
      'capybara_attempts_ended_total{outcome="lost"}': 1,
      capybara_oldest_expired_lease_seconds: 0,
    });
  });
});

describe('counters', () => {
  const counters = (scraped: Scraped) =>
    Object.fromEntries(
      Object.entries(scraped).filter(
        ([name]) =>
          /_(total|bucket|sum|count)(\{|$)/.test(name) && !/^(capybara_http|nodejs|process)/.test(name),
      ),
    );
  const mark = async () => (await it.db.sql<{ at: Date }>`SELECT counted_to AS at FROM metric_mark`)[0]?.at;

  test('are the same before and after a worker has counted them, and are never counted twice', async () => {
    const before = counters(await scrape());
    expect(Object.keys(before).length).toBeGreaterThan(50);
    await countMetrics(it.db);
    expect(await it.db.sql`SELECT FROM metric_total`).toEqual([]);
    const many = await Promise.all(Array.from({ length: 5 }, () => countMetrics(it.db, { lagMs: 0 })));
    expect(many).toContain(false);
    expect((await it.db.sql`SELECT FROM metric_total`).length).toBeGreaterThan(10);
    expect(counters(await scrape())).toEqual(before);
    const { sessionId } = await it.submit();
    await worker.finish(uuid('session', sessionId));
    await countMetrics(it.db, { lagMs: 0 });
    const after = await scrape();
    const name = 'capybara_turns_ended_total{outcome="done"}';
    expect(after[name]).toBe((before[name] ?? 0) + 1);
  });

  test('are counted a span at a time, and not what others may still be committing', async () => {
    await it.db.sql`UPDATE metric_mark SET counted_to = clock_timestamp() - interval '20 min'`;
    const began = await mark();
    expect(await countMetrics(it.db, { spanMs: 60_000 })).toBe(true);
    expect(Number(await mark()) - Number(began)).toBe(60_000);
    expect(await countMetrics(it.db)).toBe(false);
    const [row] = await it.db
      .sql`SELECT extract(epoch FROM clock_timestamp() - counted_to)::float8 * 1000 AS ms FROM metric_mark`;
    expect(row?.ms).toBeGreaterThanOrEqual(LAG_MS);
    expect(row?.ms).toBeLessThan(LAG_MS + 60_000);
  });

  test('have buckets that end where they say', () => {
    expect(BOUNDS.toSorted((a, b) => a - b)).toEqual([...BOUNDS]);
  });
});

describe('what is this API’s own', () => {
  test('is its requests by route and status, and its streams', async () => {
    const name = 'capybara_http_request_seconds_count{method="GET",route="/v1/tasks/:id",status="404"}';
    const before = (await scrape())[name] ?? 0;
    await it.ask('GET', `/v1/tasks/task_${'0'.repeat(32)}`);
    await it.ask('GET', '/nowhere/1');
    await it.ask('GET', '/nowhere/2');
    const { sessionId } = await it.submit();
    const leave = new AbortController();
    await fetch(`${it.url}/v1/sessions/${sessionId}/events`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${it.me.apiKey}` },
      signal: leave.signal,
    });
    await expect.poll(async () => (await scrape())[name]).toBe(before + 1);
    const open = await scrape();
    expect(open).toMatchObject({
      ...{ capybara_sse_clients: 1, capybara_long_polls: 0 },
      'capybara_http_request_seconds_count{method="GET",route="unknown",status="404"}': 2,
    });
    leave.abort();
    await expect.poll(async () => (await scrape()).capybara_sse_clients).toBe(0);
    expect(Object.keys(await scrape()).filter((each) => each.includes('/events'))).toEqual([]);
    const { seq } = (await it.ask('GET', `/v1/sessions/${sessionId}/events`)).json;
    const path = `/v1/sessions/${sessionId}/events?wait=60&after=${seq}`;
    const stop = new AbortController();
    const headers = { authorization: `Bearer ${it.me.apiKey}` };
    const waiting = fetch(`${it.url}${path}`, { headers, signal: stop.signal }).catch(() => 'left');
    await expect.poll(async () => (await scrape()).capybara_long_polls).toBe(1);
    expect((await scrape()).capybara_sse_clients).toBe(0);
    stop.abort();
    expect(await waiting).toBe('left');
    await expect.poll(async () => (await scrape()).capybara_long_polls).toBe(0);
  });

  test('is told while Postgres is away', async () => {
    const db = openDatabase({ url: 'postgres://127.0.0.1:1/none', log: silentLog, patienceMs: 100 });
    const server = await listen(createApi({ ...it.deps, db }), { host: '127.0.0.1', port: 0 });
    const scraped = await scrape(askerOf(server.url, it.me));
    expect(scraped.capybara_fleet_read).toBe(0);
    expect(scraped.process_resident_memory_bytes).toBeGreaterThan(0);
    expect(Object.keys(scraped)).not.toContain('capybara_queue_depth');
    await server.close();
    await db.close();
  });

  test('is not asked of Postgres more often than every few seconds', async () => {
    const first = await scrape();
    await it.submit();
    now += FLEET_CACHE_MS - 1;
    const cached = read((await it.ask('GET', '/metrics')).text);
    expect(cached.capybara_queue_depth).toBe(first.capybara_queue_depth);
    now += 1;
    const fresh = read((await it.ask('GET', '/metrics')).text);
    expect(fresh.capybara_queue_depth).toBe((first.capybara_queue_depth ?? 0) + 1);
  });
});

describe('who may read it', () => {
  const through = { 'x-forwarded-for': '203.0.113.9' };

  test('is whoever is on this machine, and elsewhere an administrator of the team that runs this', async () => {
    const ask = (key: string | null) => it.ask('GET', '/metrics', { key, headers: through });
    expect((await ask(null)).json?.code).toBe('missing_key');
    const reader = await it.addPerson('ours', 'Reads', ['read', 'submit', 'approve']);
    expect((await ask(reader.apiKey)).json?.code).toBe('missing_scope');
    expect((await ask(it.me.apiKey)).json?.code).toBe('not_operator');
    await it.db.sql`UPDATE team SET operates = true WHERE id = ${it.me.teamId}`;
    const { status, text } = await ask(it.me.apiKey);
    expect([status, text.includes('capybara_queue_depth')]).toEqual([200, true]);
    await it.db.sql`UPDATE team SET operates = false WHERE id = ${it.me.teamId}`;
  });

  test('is everybody where metrics.open says so', async () => {
    const api = createApi({ ...it.deps, metricsOpen: true });
    const server = await listen(api, { host: '127.0.0.1', port: 0 });
    expect((await fetch(`${server.url}/metrics`, { headers: through })).status).toBe(200);
    await server.close();
  });

  test.each([
    ['127.0.0.1', { host: 'localhost:7070' }, true],
    ['::1', { host: '[::1]:7070' }, true],
    ['::ffff:127.0.0.1', { host: '127.0.0.1' }, true],
    ['10.0.0.2', { host: 'localhost:7070' }, false],
    ['127.0.0.1', { host: 'capybara.example' }, false],
    ['127.0.0.1', {}, false],
    ['127.0.0.1', { host: 'localhost', forwarded: 'for=10.0.0.2' }, false],
    ['127.0.0.1', { host: 'localhost', 'x-real-ip': '10.0.0.2' }, false],
  ])('%s with %j is this machine: %s', (remoteAddress, headers, expected) => {
    expect(isFromThisMachine({ socket: { remoteAddress }, headers })).toBe(expected);
  });
});
