/** Events that are chosen by type and session, as a stream and as pages, and pages that are waited for. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { MAX_FILTERED_SESSIONS, MAX_TYPES_LENGTH } from '../../src/api/event-filter.ts';
import { MAX_WAIT_SECONDS } from '../../src/api/event-routes.ts';
import { listen } from '../../src/api/server.ts';
import { TailHub } from '../../src/api/tails.ts';
import { EventsPage, Problem } from '../../src/api/wire.ts';
import { createClient } from '../../src/client/client.ts';
import { SseParser } from '../../src/client/sse-parser.ts';
import { newId } from '../../src/clock.ts';
import { toPublicId } from '../../src/core/id.ts';
import { revokeKey } from '../../src/store/keys.ts';
import { transitionsSchema } from '../../src/store/transitions-schema.ts';
import { keyOf } from '../support/store.ts';
import { startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
beforeAll(async () => {
  it = await startTestApi();
});
afterAll(() => it.close());

/** A tree with the events 1 and 2, `session.created` and `task.created`. */
async function tree(): Promise<{ sessionId: string; rootId: string }> {
  const { sessionId } = await it.submit();
  return { sessionId, rootId: uuid('session', sessionId) };
}

/** Appends an event of each type, and tells the bus. */
async function append(rootId: string, types: readonly string[], session = rootId): Promise<void> {
  const events = types.map((type) => ({ type, session, data: {} }));
  const client = await it.db.pool.connect();
  // As a transition calls it, whose path it has.
  await client.query(`SET search_path TO ${transitionsSchema()}, public`);
  const { rows } = await client.query('SELECT append_events($1, $2) AS seq', [
    rootId,
    JSON.stringify(events),
  ]);
  client.release(true);
  const seq = Number(rows[0].seq);
  it.bus.publish({ type: 'events', rootId, seq });
}

function output(rootId: string, text: string, sessionId = rootId): void {
  it.bus.publish({ type: 'tool_output', rootId, sessionId, taskId: newId(), turn: 1, callId: 'c', text });
}

interface Stream {
  /** `5 task.failed`, ` tool.output`. */
  readonly frames: string[];
  readonly lastId: () => number;
  stop(): Promise<void>;
}

async function stream(sessionId: string, query: string, after = 0): Promise<Stream> {
  const stop = new AbortController();
  const headers = {
    ...{ accept: 'text/event-stream', 'accept-encoding': 'gzip' },
    ...{ authorization: `Bearer ${it.me.apiKey}`, 'last-event-id': String(after) },
  };
  const url = `${it.url}/v1/sessions/${sessionId}/events?${query}`;
  const response = await fetch(url, { headers, signal: stop.signal });
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
  expect(response.headers.get('content-encoding')).toBeNull();
  const parser = new SseParser();
  const frames: string[] = [];
  const ended = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? [])
      for (const { id = '', event } of parser.push(decoder.decode(chunk, { stream: true })))
        frames.push(`${id} ${event}`);
  })().catch(() => {});
  return {
    frames,
    lastId: () => Number(parser.lastId),
    stop: () => {
      stop.abort();
      return ended;
    },
  };
}

describe('a stream of chosen events', () => {
  test('has those of the types, keeps their numbers, and says how far it has come', async () => {
    const { sessionId, rootId } = await tree();
    await append(rootId, [
      'turn.started',
      'approval.requested',
      'turn.completed',
      'task.failed',
      'turn.started',
    ]);
    const chosen = await stream(sessionId, 'types=approval.*,task.failed');
    await expect.poll(chosen.lastId).toBe(7);
    await append(rootId, ['approval.resolved', 'turn.completed']);
    await expect.poll(chosen.lastId).toBe(9);
    await append(rootId, ['usage.recorded']);
    await expect.poll(chosen.lastId).toBe(10);
    expect(chosen.frames).toEqual(['4 approval.requested', '6 task.failed', '8 approval.resolved']);
    await chosen.stop();
  });

  test('has live frames of the types only', async () => {
    const { sessionId, rootId } = await tree();
    const [live, none] = [
      await stream(sessionId, 'types=tool.output'),
      await stream(sessionId, 'types=task.*'),
    ];
    await expect.poll(() => [live.lastId(), none.lastId()]).toEqual([2, 2]);
    output(rootId, 'x');
    await append(rootId, ['task.failed']);
    await expect.poll(() => none.frames).toEqual(['2 task.created', '3 task.failed']);
    expect(live.frames).toEqual([' tool.output']);
    await Promise.all([live.stop(), none.stop()]);
  });

  test('has those of the sessions only, live frames too', async () => {
    const { sessionId, rootId } = await tree();
    const child = newId();
    const [own, both] = [
      await stream(sessionId, `sessions=${sessionId}`),
      await stream(sessionId, `sessions=${sessionId},${toPublicId('session', child)}&types=task.*,tool.*`),
    ];
    await expect.poll(() => [own.lastId(), both.lastId()]).toEqual([2, 2]);
    await append(rootId, ['turn.started']);
    output(rootId, 'of the child', child);
    output(rootId, 'heard');
    await expect.poll(() => own.frames.at(-1)).toBe(' tool.output');
    expect(own.frames).toEqual(['1 session.created', '2 task.created', '3 turn.started', ' tool.output']);
    expect(both.frames).toEqual(['2 task.created', ' tool.output', ' tool.output']);
    await Promise.all([own.stop(), both.stop()]);
  });

  test('goes on behind what it came to, over a client’s reconnects', async () => {
    const { sessionId, rootId } = await tree();
    await append(rootId, ['turn.started', 'task.failed', 'turn.started']);
    const asked: (string | null)[] = [];
    const stop = new AbortController();
    const client = createClient({ url: it.url, apiKey: it.me.apiKey });
    const { readEvents } = await import('../../src/client/events.ts');
    const frames = readEvents({
      ...{ signal: stop.signal, firstDelayMs: 1 },
      open: async (after, signal) => {
        asked.push(String(after));
        const types = ['task.failed', 'task.succeeded'];
        const response = await client.openEvents(sessionId, after, { signal, types });
        // The first connection breaks once it has said how far it came.
        return asked.length > 1 ? response : new Response((await firstText(response, 'id: 5\n\n')) as string);
      },
    });
    const seen: string[] = [];
    for await (const frame of frames) {
      seen.push(frame.kind === 'event' ? `${frame.event.seq}` : frame.kind);
      if (frame.kind === 'lost') await append(rootId, ['task.succeeded']);
      if (seen.length === 3) break;
    }
    stop.abort();
    expect([seen, asked]).toEqual([
      ['4', 'lost', '6'],
      ['0', '5'],
    ]);
  });
});

/** What came up to a text. */
async function firstText(response: Response, end: string): Promise<string> {
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += new TextDecoder().decode(chunk);
    if (text.endsWith(end)) break;
  }
  return text;
}

async function page(sessionId: string, query: string): Promise<EventsPage> {
  const { status, json, headers } = await it.ask('GET', `/v1/sessions/${sessionId}/events?${query}`);
  expect([status, headers.get('cache-control'), headers.get('x-accel-buffering')]).toEqual([
    ...[200, 'no-cache, no-transform', 'no'],
  ]);
  return EventsPage.parse(json);
}

const shown = ({ data, nextCursor, seq }: EventsPage) => ({
  seqs: data.map((each) => each.seq),
  nextCursor,
  seq,
});

describe('a page of chosen events', () => {
  test('says how far it has looked, and where there is more', async () => {
    const { sessionId, rootId } = await tree();
    await append(rootId, ['task.failed', 'turn.started', 'task.failed', 'turn.started']);
    const query = 'types=task.failed';
    expect(shown(await page(sessionId, query))).toEqual({ seqs: [3, 5], nextCursor: null, seq: 6 });
    expect(shown(await page(sessionId, `${query}&limit=1`))).toEqual({ seqs: [3], nextCursor: '3', seq: 3 });
    expect(shown(await page(sessionId, `${query}&limit=1&cursor=3`))).toEqual({
      ...{ seqs: [5], nextCursor: null, seq: 6 },
    });
    expect(shown(await page(sessionId, `sessions=${toPublicId('session', newId())}`))).toEqual({
      ...{ seqs: [], nextCursor: null, seq: 6 },
    });
    expect(shown(await page(sessionId, ''))).toMatchObject({ seqs: [1, 2, 3, 4, 5, 6], seq: 6 });
  });

  test.each([
    ['types=task.sung', 'types'],
    ['types=', 'types'],
    ['types=*', 'types'],
    [`types=${'x'.repeat(MAX_TYPES_LENGTH + 1)}`, 'types'],
    ['sessions=task_1', 'sessions'],
    ['sessions=', 'sessions'],
    [`sessions=${Array(MAX_FILTERED_SESSIONS + 1).fill(`ses_${'1'.repeat(32)}`)}`, 'sessions'],
    [`wait=${MAX_WAIT_SECONDS + 1}`, 'wait'],
    ['wait=-1', 'wait'],
    ['wait=0.5', 'wait'],
    ['after=x', 'after'],
    ['after=3', 'after'],
  ])('is refused with %s', async (query, field) => {
    const { sessionId } = await tree();
    const { status, json } = await it.ask('GET', `/v1/sessions/${sessionId}/events?${query}`);
    expect([status, Problem.parse(json).field]).toEqual([400, field]);
  });

  test('takes what is just within the limits', async () => {
    const { sessionId } = await tree();
    const ids = Array(MAX_FILTERED_SESSIONS).fill(sessionId).join();
    const types = 'task.created,'
      .repeat(200)
      .slice(0, MAX_TYPES_LENGTH)
      .replace(/,[^,]*$/, '');
    const query = `sessions=${ids}&types=${types}&wait=${MAX_WAIT_SECONDS}`;
    expect(shown(await page(sessionId, query))).toEqual({ seqs: [2], nextCursor: null, seq: 2 });
  });
});

describe('a page that is waited for', () => {
  test('comes at once where there is something', async () => {
    const { sessionId } = await tree();
    expect(shown(await page(sessionId, 'wait=60'))).toEqual({ seqs: [1, 2], nextCursor: null, seq: 2 });
  });

  test('comes when there is something that was chosen', async () => {
    const { sessionId, rootId } = await tree();
    const waiting = page(sessionId, 'wait=60&after=2&types=task.failed');
    await append(rootId, ['turn.started']);
    await append(rootId, ['turn.completed']);
    await append(rootId, ['task.failed', 'usage.recorded']);
    expect(shown(await waiting)).toEqual({ seqs: [5], nextCursor: null, seq: 6 });
  });

  test('has no more than was asked for', async () => {
    const { sessionId, rootId } = await tree();
    const waiting = page(sessionId, 'wait=60&after=2&limit=1');
    await append(rootId, ['turn.started', 'turn.completed']);
    expect(shown(await waiting)).toEqual({ seqs: [3], nextCursor: '3', seq: 3 });
  });

  test('is empty when the time is over, and says how far it has looked', async () => {
    const { sessionId } = await tree();
    const before = performance.now();
    expect(shown(await page(sessionId, 'wait=1&after=2'))).toEqual({ seqs: [], nextCursor: null, seq: 2 });
    expect(performance.now() - before).toBeGreaterThan(990);
  });

  test('comes where the bus has lost the message', async () => {
    const { sessionId, rootId } = await tree();
    const waiting = page(sessionId, 'wait=60&after=2');
    await it.db.transition('append_events', rootId, [{ type: 'turn.started', session: rootId, data: {} }]);
    expect(shown(await waiting)).toEqual({ seqs: [3], nextCursor: null, seq: 3 });
  });

  test('is refused where its key is revoked meanwhile', async () => {
    const { sessionId } = await tree();
    const { id: keyId, apiKey: key } = await keyOf(it.db, { ...it.me, name: 'short' });
    const waiting = it.ask('GET', `/v1/sessions/${sessionId}/events?wait=60&after=2`, { key });
    await expect.poll(() => lastUsed(keyId)).not.toBeNull();
    await revokeKey(it.db, { ...it.me, keyId });
    expect(await waiting).toMatchObject({ status: 401, json: { code: 'invalid_key' } });
  });

  test('comes at once, empty, from a server that stops; then none is waited for', async () => {
    const { sessionId } = await tree();
    const other = await listen(createApi(it.deps), { host: '127.0.0.1', port: 0 });
    const client = createClient({ url: other.url, apiKey: it.me.apiKey });
    const waiting = client.eventsPage(sessionId, { wait: 60, after: 2 });
    // It has been told of once, so it waits.
    await client.eventsPage(sessionId, { wait: 1, after: 2 });
    await other.close();
    expect(await waiting).toEqual({ data: [], nextCursor: null, seq: 2 });
    const hub = new TailHub(it.deps);
    await hub.close();
    const request = { rootId: newId(), after: 0, keyId: newId() };
    await expect(hub.wait(request, undefined as never, 1)).rejects.toMatchObject({ status: 503 });
  });

  test('costs no query of its own, however many wait', async () => {
    const { sessionId } = await tree();
    let queries = 0;
    const sql: typeof it.db.sql = (strings, ...values) => {
      queries += 1;
      return it.db.sql(strings, ...values);
    };
    const other = await listen(createApi({ ...it.deps, db: { ...it.db, sql } }), {
      host: '127.0.0.1',
      port: 0,
    });
    const client = createClient({ url: other.url, apiKey: it.me.apiKey });
    const ask = () => client.eventsPage(sessionId, { wait: 60, after: 2 });
    const waiting = Array.from({ length: 50 }, ask);
    await client.eventsPage(sessionId, { wait: 1, after: 2 });
    const before = queries;
    await client.eventsPage(sessionId, { wait: 2, after: 2 });
    // Its own few, and one a second for all.
    expect(queries - before).toBeLessThan(15);
    await other.close();
    expect(await Promise.all(waiting)).toHaveLength(50);
  });
});

async function lastUsed(keyId: string): Promise<Date | null | undefined> {
  const [row] = await it.db.sql<{
    at: Date | null;
  }>`SELECT last_used_at AS at FROM api_key WHERE id = ${keyId}`;
  return row?.at;
}
