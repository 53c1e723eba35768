import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { listen } from '../../src/api/server.ts';
import { MAX_HELD_FRAMES, TAIL_PAGE, Tail } from '../../src/api/tail.ts';
import { TailHub } from '../../src/api/tails.ts';
import { Event } from '../../src/api/wire.ts';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { SseParser } from '../../src/client/sse-parser.ts';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { revokeKey } from '../../src/store/keys.ts';
import { settleTurn } from '../../src/store/turns.ts';
import { keyOf } from '../support/store.ts';
import { HandWorker, startTestApi, type TestApi, uuid } from './api-harness.ts';

let it: TestApi;
let worker: HandWorker;

beforeAll(async () => {
  it = await startTestApi();
  worker = await new HandWorker(it.db).register();
});
afterAll(() => it.close());

interface Frame {
  readonly id?: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
  readonly data: any;
}

/** A client that reads until it stops. */
class Reader {
  readonly frames: Frame[] = [];
  readonly ended: Promise<void>;
  comments = 0;
  readonly #stop: AbortController;

  private constructor(response: Response, stop: AbortController) {
    this.#stop = stop;
    this.ended = this.#read(response);
  }

  static async open(
    url: string,
    sessionId: string,
    after?: number,
    { query = '', key = it.me.apiKey } = {},
  ): Promise<Reader> {
    const stop = new AbortController();
    const response = await fetch(`${url}/v1/sessions/${sessionId}/events${query}`, {
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${key}`,
        ...(after === undefined ? {} : { 'last-event-id': String(after) }),
      },
      signal: stop.signal,
    });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    return new Reader(response, stop);
  }

  get seqs(): number[] {
    return this.frames.flatMap(({ id }) => (id === undefined ? [] : [Number(id)]));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  async #read(response: Response): Promise<void> {
    const parser = new SseParser();
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        const text = decoder.decode(chunk, { stream: true });
        this.comments += text.match(/^:$/gm)?.length ?? 0;
        for (const { data, ...frame } of parser.push(text))
          this.frames.push({ ...frame, data: JSON.parse(data) });
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }
}

function upTo(seq: number, from = 1): number[] {
  return Array.from({ length: seq - from + 1 }, (_, index) => from + index);
}

/** Writes events into a session's tree as fast as it takes them: `count` of them, as one commit each. */
async function write(rootId: string, count: number, data: object = {}): Promise<void> {
  const body = { type: 'agent.state_changed', session: rootId, data: { state: 'thinking', ...data } };
  for (let written = 0; written < count; written++) {
    const seq = await it.db.transition<string>('append_events', rootId, [body]);
    it.bus.publish({ type: 'events', rootId, seq: Number(seq) });
  }
}

async function lastSeq(rootId: string): Promise<number> {
  const [row] = await it.db.sql<{
    seq: number;
  }>`SELECT last_seq::int AS seq FROM tree WHERE root_id = ${rootId}`;
  return row?.seq ?? 0;
}

describe('a tail', () => {
  test('gets what has happened, then what happens, as events of the wire', async () => {
    const { id: taskId, sessionId } = await it.submit();
    const reader = await Reader.open(it.url, sessionId);
    await expect.poll(() => reader.seqs).toEqual([1, 2]);
    const seq = await worker.finish(uuid('session', sessionId));
    it.bus.publish({ type: 'events', rootId: uuid('session', sessionId), seq });
    await expect.poll(() => reader.seqs).toEqual(upTo(seq));
    const events = reader.frames.map(({ data }) => Event.parse(data));
    expect(events[0]).toMatchObject({ seq: 1, type: 'session.created', sessionId });
    expect(events.map(({ type }) => type)).toEqual(reader.frames.map(({ event }) => event));
    expect(events.find(({ type }) => type === 'task.succeeded')).toMatchObject({ taskId });
    const { json } = await it.ask('GET', `/v1/sessions/${sessionId}/events`);
    expect(reader.frames.map(({ data }) => data)).toEqual(json.data);
    await reader.stop();
  });

  test('begins behind Last-Event-ID, else behind ?after=, also where nothing is yet', async () => {
    const { sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    await write(rootId, 3);
    const both = await Reader.open(it.url, sessionId, 3, { query: '?after=1' });
    const query = await Reader.open(it.url, sessionId, undefined, { query: '?after=4' });
    const ahead = await Reader.open(it.url, sessionId, 5);
    await expect.poll(() => [both.seqs, query.seqs]).toEqual([[4, 5], [5]]);
    await write(rootId, 4);
    await expect.poll(() => ahead.seqs).toEqual([6, 7, 8, 9]);
    expect(both.seqs).toEqual(upTo(9, 4));
    await Promise.all([both, query, ahead].map((reader) => reader.stop()));
  });

  test('gets more than a page at once', async () => {
    const { sessionId } = await it.submit();
    const body = {
      type: 'agent.state_changed',
      session: uuid('session', sessionId),
      data: { state: 'idle' },
    };
    const many = Array.from({ length: 2 * TAIL_PAGE }, () => body);
    await it.db.transition('append_events', uuid('session', sessionId), many);
    const reader = await Reader.open(it.url, sessionId);
    await expect.poll(() => reader.seqs.length).toBe(2 * TAIL_PAGE + 2);
    expect(reader.seqs).toEqual(upTo(2 * TAIL_PAGE + 2));
    await reader.stop();
  });

  test('gets each event once across reconnects while others write', async () => {
    const { sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    const writers = Promise.all([write(rootId, 100), write(rootId, 100), write(rootId, 100)]);
    const seen: number[] = [];
    for (let connection = 0; seen.length < 302; connection++) {
      const reader = await Reader.open(it.url, sessionId, seen.at(-1) ?? 0);
      const enough = Math.min(302 - seen.length, 7 + 40 * (connection % 3));
      await expect
        .poll(() => reader.seqs.length, { interval: 5, timeout: 10_000 })
        .toBeGreaterThanOrEqual(enough);
      await reader.stop();
      seen.push(...reader.seqs);
    }
    await writers;
    expect(seen).toEqual(upTo(302));
  });

  test('is one of fifty that all see the same', async () => {
    const { sessionId } = await it.submit();
    const opened = Array.from({ length: 50 }, () => Reader.open(it.url, sessionId));
    const readers = await Promise.all(opened);
    await write(uuid('session', sessionId), 40);
    for (const reader of readers) await expect.poll(() => reader.seqs, { timeout: 10_000 }).toEqual(upTo(42));
    await Promise.all(readers.map((reader) => reader.stop()));
  });

  test('that is not a stream’s is refused like any other request', async () => {
    const headers = { accept: 'text/event-stream' };
    const none = await it.ask('GET', `/v1/sessions/ses_${'0'.repeat(32)}/events`, { headers });
    expect([none.status, none.json.code]).toEqual([404, 'not_found']);
    const { sessionId } = await it.submit();
    const bad = await it.ask('GET', `/v1/sessions/${sessionId}/events`, {
      headers: { ...headers, 'last-event-id': 'x' },
    });
    expect([bad.status, bad.json.code]).toEqual([400, 'invalid_after']);
    const future = await it.ask('GET', `/v1/sessions/${sessionId}/events`, {
      headers: { ...headers, 'last-event-id': '3' },
    });
    expect([future.status, future.json]).toMatchObject([
      400,
      {
        code: 'invalid_after',
        detail: 'The last sequence number seen is 3, but the last of this tree is 2.',
      },
    ]);
    expect((await it.ask('HEAD', `/v1/sessions/${sessionId}/events`, { headers })).status).toBe(200);
  });
});

describe('when messages of the bus are lost', () => {
  test('events still come', async () => {
    // The channel is a database's: on another one nothing of ours is heard.
    const bus = createPostgresBus({ url: inject('postgresUrl'), log: silentLog });
    const deaf = await listen(createApi({ ...it.deps, bus }), { host: '127.0.0.1', port: 0 });
    const { sessionId } = await it.submit();
    const reader = await Reader.open(deaf.url, sessionId);
    await expect.poll(() => reader.seqs).toEqual([1, 2]);
    const seq = await worker.finish(uuid('session', sessionId));
    await expect.poll(() => reader.seqs, { timeout: 10_000, interval: 10 }).toEqual(upTo(seq));
    await deaf.close();
    await reader.ended;
    await bus.close();
  });

  test('a bus that cannot be reached keeps no tail waiting', async () => {
    const url = new URL(it.databaseUrl);
    url.port = '1';
    const bus = createPostgresBus({ url: url.href, log: silentLog });
    const deaf = await listen(createApi({ ...it.deps, bus }), { host: '127.0.0.1', port: 0 });
    const { sessionId } = await it.submit();
    const reader = await Reader.open(deaf.url, sessionId);
    await expect.poll(() => reader.seqs, { timeout: 5_000 }).toEqual([1, 2]);
    await bus.close();
    await deaf.close();
    await reader.ended;
  });
});

describe('live frames', () => {
  function delta(rootId: string, attemptId: string, offset: number, text: string) {
    const ids = { rootId, sessionId: rootId, taskId: newId(), turn: 1 };
    it.bus.publish({ type: 'delta', ...ids, attemptId, channel: 'text', offset, text });
  }

  test('come without an id, from the attempt in hand only, behind the events before them', async () => {
    const { sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    const reader = await Reader.open(it.url, sessionId);
    const held = await worker.claim(rootId);
    it.bus.publish({ type: 'events', rootId, seq: await lastSeq(rootId) });
    delta(rootId, held.attemptId, 0, 'Hel');
    delta(rootId, newId(), 0, 'ghost');
    delta(rootId, held.attemptId, 3, 'lo\ud83d');
    const ids = { rootId, sessionId: rootId, taskId: newId(), turn: 1 };
    it.bus.publish({ type: 'tool_output', ...ids, callId: 'c1', text: 'line\n' });
    await expect.poll(() => reader.frames.at(-1)?.event).toBe('tool.output');
    const live = reader.frames.filter(({ id }) => id === undefined);
    expect(live.map(({ event, data }) => [event, data.data])).toEqual([
      ['message.delta', { attemptId: held.attemptId, channel: 'text', offset: 0, text: 'Hel' }],
      ['message.delta', { attemptId: held.attemptId, channel: 'text', offset: 3, text: 'lo\ud83d' }],
      ['tool.output', { callId: 'c1', text: 'line\n' }],
    ]);
    expect(live[0]?.data).toMatchObject({ type: 'message.delta', sessionId, turn: 1 });
    const types = reader.frames.map(({ event }) => event);
    expect(types.indexOf('turn.started')).toBeLessThan(types.indexOf('message.delta'));

    const resultPosition = await worker.answer(held);
    const end = { kind: 'finish', status: 'succeeded', resultPosition } as const;
    await settleTurn(it.db, held, { results: [], end, nextTurnId: newId() });
    it.bus.publish({ type: 'events', rootId, seq: await lastSeq(rootId) });
    delta(rootId, held.attemptId, 5, 'too-late');
    it.bus.publish({ type: 'tool_output', ...ids, callId: 'c2', text: '' });
    await expect.poll(() => reader.frames.at(-1)?.data.data.callId).toBe('c2');
    expect(JSON.stringify(reader.frames)).not.toContain('too-late');
    await reader.stop();
  });

  test('of other trees, and marks to cancel, reach nobody', async () => {
    const [ours, theirs] = [await it.submit(), await it.submit()];
    const reader = await Reader.open(it.url, ours.sessionId);
    await expect.poll(() => reader.seqs).toEqual([1, 2]);
    delta(uuid('session', theirs.sessionId), newId(), 0, 'not ours');
    const rootId = uuid('session', ours.sessionId);
    it.bus.publish({ type: 'cancel', rootId, taskId: newId() });
    delta(rootId, newId(), 0, 'ours');
    await expect.poll(() => reader.frames.at(-1)?.data.data.text).toBe('ours');
    expect(reader.frames).toHaveLength(3);
    await reader.stop();
  });

  test.each([
    [MAX_HELD_FRAMES, MAX_HELD_FRAMES],
    [MAX_HELD_FRAMES + 1, MAX_HELD_FRAMES],
  ])('of which %i wait for a read come as %i', async (published, came) => {
    let finishRead: (events: []) => void = () => {};
    const reading = new Promise<[]>((resolve) => {
      finishRead = resolve;
    });
    const { sessionId } = await it.submit();
    let tail: Tail | undefined;
    const server = createServer((_request, response) => {
      tail = new Tail({ after: 0, keyId: newId(), response, log: silentLog, read: () => reading });
      void tail.start();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const reader = await Reader.open(`http://127.0.0.1:${port}`, sessionId);
    for (let number = 0; number < published; number++) {
      tail?.live({ type: 'tool.output', sessionId, text: `event: tool.output\ndata: ${number}\n\n` });
    }
    finishRead([]);
    await reading;
    await new Promise((resolve) => setImmediate(resolve));
    tail?.end('over');
    await reader.ended;
    expect(reader.frames.map(({ data }) => data)).toEqual(upTo(came - 1, 0));
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('a client that does not read', () => {
  let server: Server;
  let port: number;
  const sockets: Socket[] = [];

  beforeAll(async () => {
    server = createServer(createApi(it.deps));
    server.on('connection', (socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('costs one page of memory at most, and gets everything once it reads', async () => {
    const { sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    const client = connect({ port, host: '127.0.0.1' });
    client.pause();
    client.write(
      `GET /v1/sessions/${sessionId}/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n` +
        `authorization: Bearer ${it.me.apiKey}\r\n\r\n`,
    );
    await expect.poll(() => sockets.length).toBeGreaterThan(0);
    const body = { type: 'agent.state_changed', session: rootId, data: { state: 'x'.repeat(2_000) } };
    const page = Array.from({ length: TAIL_PAGE }, () => body);
    let seq = 0;
    for (let pages = 0; pages < 60; pages++) {
      seq = Number(await it.db.transition('append_events', rootId, page));
      it.bus.publish({ type: 'events', rootId, seq });
      const text = 'y'.repeat(10_000);
      const ids = { rootId, sessionId: rootId, taskId: newId(), turn: 1, callId: 'c' };
      it.bus.publish({ type: 'tool_output', ...ids, text });
    }
    const buffered = () => Math.max(...sockets.map((socket) => socket.writableLength));
    await expect.poll(buffered, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(buffered()).toBeLessThan(TAIL_PAGE * 2_500);

    const parser = new SseParser();
    const seqs: number[] = [];
    client.setEncoding('utf8');
    client.on('data', (text: string) => {
      // Chunk sizes of HTTP stand on lines of their own, and are no fields.
      const unchunked = text.replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, '').replaceAll('\r\n', '');
      for (const { id } of parser.push(unchunked)) if (id !== undefined) seqs.push(Number(id));
    });
    client.resume();
    await expect.poll(() => seqs.at(-1), { timeout: 20_000 }).toBe(seq);
    expect(buffered()).toBeLessThan(TAIL_PAGE * 2_500);
    client.destroy();
    await expect.poll(() => sockets.every((socket) => socket.destroyed)).toBe(true);
  });
});

describe('the hub', () => {
  test('says with comments that a silent stream lives', async () => {
    const { sessionId } = await it.submit();
    const rootId = uuid('session', sessionId);
    const hub = new TailHub({ ...it.deps, heartbeatMs: 20, compareMs: 20 });
    const { id: keyId } = await keyOf(it.db, { ...it.me, name: 'test' });
    const server = createServer((_request, response) => void hub.open({ rootId, after: 0, keyId }, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const reader = await Reader.open(`http://127.0.0.1:${port}`, sessionId);
    await expect.poll(() => reader.comments).toBeGreaterThan(2);
    expect(reader.seqs).toEqual([1, 2]);
    await hub.close();
    await reader.ended;
    await expect(hub.open({ rootId, after: 0, keyId: newId() }, undefined as never)).rejects.toMatchObject({
      status: 503,
    });
    await new Promise((resolve) => server.close(resolve));
  });

  test.each(['is revoked', 'expires'])(
    'ends a stream whose key %s, says why, and leaves the others open',
    async (how) => {
      const { sessionId } = await it.submit();
      const { id: keyId, apiKey: key } = await keyOf(it.db, { ...it.me, name: 'short' });
      const [reader, other] = [
        await Reader.open(it.url, sessionId, undefined, { key }),
        await Reader.open(it.url, sessionId),
      ];
      await expect.poll(() => reader.seqs).toEqual([1, 2]);
      if (how === 'is revoked') await revokeKey(it.db, { ...it.me, keyId });
      else await it.db.sql`UPDATE api_key SET expires_at = clock_timestamp() WHERE id = ${keyId}`;
      await reader.ended;
      expect(reader.frames.at(-1)).toMatchObject({
        event: 'stream.ended',
        data: { status: 401, code: 'invalid_key' },
      });
      expect(reader.frames.at(-1)?.id).toBeUndefined();
      await write(uuid('session', sessionId), 1);
      await expect.poll(() => other.seqs).toEqual([1, 2, 3]);
      await other.stop();
    },
  );

  test('asks Postgres nothing once its last tail has gone', async () => {
    const { sessionId } = await it.submit();
    const reader = await Reader.open(it.url, sessionId);
    await expect.poll(() => reader.seqs).toEqual([1, 2]);
    await reader.stop();
    const again = await Reader.open(it.url, sessionId, 1);
    await expect.poll(() => again.seqs).toEqual([2]);
    await again.stop();
  });

  test('survives a Postgres that breaks in the middle of a stream', async () => {
    const { sessionId } = await it.submit();
    const reader = await Reader.open(it.url, sessionId);
    await expect.poll(() => reader.seqs).toEqual([1, 2]);
    await it.db.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await write(uuid('session', sessionId), 5);
    await expect.poll(() => reader.seqs, { timeout: 5_000 }).toEqual(upTo(7));
    await reader.stop();
  });
});
