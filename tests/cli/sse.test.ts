import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { type Frame, type ReadOptions, readEvents } from '../../src/client/events.ts';
import { SseParser } from '../../src/client/sse-parser.ts';
import {
  event,
  openStream,
  problem,
  type Received,
  type ScriptedApi,
  SESSION_ID,
  sendEvents,
  startScriptedApi,
  TASK_ID,
} from './scripted-api.ts';

describe('the parser', () => {
  const stream =
    ': hello\n\nid: 1\nevent: a\ndata: {"x":\ndata: 1}\n\nevent: b\r\ndata:2\r\n\r\nid: 3\rdata: 3\r\rdata: half';

  test('reads messages however the chunks are cut', () => {
    const whole = new SseParser().push(stream);
    expect(whole).toEqual([
      { id: '1', event: 'a', data: '{"x":\n1}' },
      { event: 'b', data: '2' },
      { id: '3', event: 'message', data: '3' },
    ]);
    for (const size of [1, 2, 3, 7]) {
      const parser = new SseParser();
      const chunks = stream.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      expect(chunks.flatMap((chunk) => parser.push(chunk))).toEqual(whole);
    }
  });
});

describe('the reader', () => {
  let api: ScriptedApi;
  let stop: AbortController;
  const route = `GET /v1/sessions/${SESSION_ID}/events`;

  beforeEach(async () => {
    api = await startScriptedApi();
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await api.close();
  });

  function read(options: Partial<ReadOptions> = {}): AsyncGenerator<Frame> {
    const client = createClient(() => ({ url: api.url }));
    return readEvents({
      open: (after, signal) => client.openEvents(SESSION_ID, after, { signal }),
      signal: stop.signal,
      firstDelayMs: 1,
      maxDelayMs: 5,
      ...options,
    });
  }

  /** One script per connection; the last one serves all later ones. */
  function serve(...scripts: ((response: ServerResponse, request: Received) => void)[]): void {
    let connections = 0;
    api.on(route, (request, response) => {
      const script = scripts[Math.min(connections, scripts.length - 1)];
      connections += 1;
      script?.(response, request);
    });
  }

  async function take(frames: AsyncGenerator<Frame>, count: number): Promise<Frame[]> {
    const taken: Frame[] = [];
    for await (const frame of frames) if (taken.push(frame) === count) break;
    return taken;
  }

  const seqs = (frames: Frame[]) =>
    frames.map((frame) => (frame.kind === 'event' ? frame.event.seq : frame.kind));

  test('goes on from the last event where the connection drops, and hands on each once', async () => {
    serve(
      (response) => {
        openStream(response);
        sendEvents(response, [event(1, 'task.created'), event(2, 'task.started')]);
        response.write('id: 3\nevent: task.succeeded\nda', () => response.destroy());
      },
      (response) => {
        openStream(response);
        sendEvents(response, [event(2, 'task.started'), event(3, 'turn.started')]);
        response.end();
      },
      (response) => sendEvents(openStream(response), [event(4, 'task.succeeded')]),
    );
    expect(seqs(await take(read(), 6))).toEqual([1, 2, 'lost', 3, 'lost', 4]);
    const asked = api.received.map(({ headers }) => headers['last-event-id']);
    expect(asked).toEqual([undefined, '2', '3']);
    expect(api.received[0]?.headers.accept).toBe('text/event-stream');
  });

  test('waits for a server that is away, tells it once, and asks where it went', async () => {
    serve((response) => {
      sendEvents(openStream(response), [event(1, 'task.created')]);
      response.end();
    });
    let recoveries = 0;
    const frames = read({
      recover: async () => {
        recoveries += 1;
        if (recoveries === 3) api = await startScriptedApi(api.port);
        if (recoveries === 3)
          serve((response) => sendEvents(openStream(response), [event(2, 'task.started')]));
      },
    });
    const first = await take(read(), 1);
    await api.close();
    const rest = await take(frames, 2);
    expect(seqs([...first, ...rest])).toEqual([1, 'lost', 2]);
    expect(recoveries).toBe(3);
  });

  test('tries again where the server cannot serve now', async () => {
    serve(
      (response) => problem(response, 503, 'unavailable', 'Not now.'),
      (response) => response.writeHead(502).end('<html>'),
      (response) => sendEvents(openStream(response), [event(1, 'task.created')]),
    );
    expect(await take(read(), 2)).toMatchObject([{ kind: 'lost', reason: 'Not now.' }, { kind: 'event' }]);
  });

  test('waits as long as the server asks it to, within a limit', async () => {
    const refuse = (seconds: string) => (response: ServerResponse) => {
      response.setHeader('retry-after', seconds);
      problem(response, 429, 'rate_limited', 'Not now.');
    };
    const give = (response: ServerResponse) => sendEvents(openStream(response), [event(1, 'task.created')]);
    serve(refuse('1'), give);
    const before = performance.now();
    await take(read(), 2);
    expect(performance.now() - before).toBeGreaterThan(900);
    serve(refuse('3600'), give);
    expect(seqs(await take(read({ maxAskedMs: 5 }), 2))).toEqual(['lost', 1]);
  });

  test('comes back when the stream said, also after a try that failed, within a limit', async () => {
    const asking = (response: ServerResponse) => {
      openStream(response).write('retry: 300\n\n');
      sendEvents(response, [event(1, 'task.created')]);
      response.end();
    };
    const give = (response: ServerResponse) => sendEvents(openStream(response), [event(2, 'task.started')]);
    const away = (response: ServerResponse) => problem(response, 503, 'unavailable', 'Not now.');
    serve(asking, away, give);
    const before = performance.now();
    expect(seqs(await take(read(), 3))).toEqual([1, 'lost', 2]);
    expect(performance.now() - before).toBeGreaterThan(590);
    serve(asking, give);
    const bounded = performance.now();
    await take(read({ maxAskedMs: 5 }), 3);
    expect(performance.now() - bounded).toBeLessThan(250);
  });

  test('ends where another than Capybara answers, and says with what', async () => {
    const portal = (contentType?: string) => (response: ServerResponse) =>
      response.writeHead(200, contentType ? { 'content-type': contentType } : {}).end('<html>Sign in</html>');
    serve(portal('text/html; charset=utf-8'));
    await expect(take(read(), 1)).rejects.toMatchObject({
      code: 'bad_answer',
      exitCode: 3,
      message: `The Capybara at ${api.url} answered 200 with "text/html; charset=utf-8" where an event stream (text/event-stream) was expected: check the address, and that no sign-in page or proxy of the network answers in its place.`,
    });
    serve(portal());
    await expect(take(read(), 1)).rejects.toThrow(/ with no Content-Type where /);
    serve((response) => {
      response.writeHead(200, { 'content-type': 'Text/Event-Stream;charset=utf-8' });
      sendEvents(response, [event(1, 'task.created')]);
    });
    expect(seqs(await take(read(), 1))).toEqual([1]);
  });

  test('takes a silent connection for dead', async () => {
    serve(
      (response) => sendEvents(openStream(response), [event(1, 'task.created')]),
      (response) => sendEvents(openStream(response), [event(2, 'task.started')]),
    );
    const frames = await take(read({ idleMs: 50 }), 3);
    expect(seqs(frames)).toEqual([1, 'lost', 2]);
    expect(frames[1]).toMatchObject({ reason: 'nothing came for 0 s' });
  });

  test('ends where trying again cannot help', async () => {
    serve((response) => problem(response, 404, 'not_found', 'There is no such session.'));
    await expect(take(read(), 1)).rejects.toMatchObject({
      message: 'There is no such session.',
      exitCode: 2,
    });
    serve((response) => problem(response, 401, 'unauthorized', 'No.'));
    await expect(take(read(), 1)).rejects.toMatchObject({ exitCode: 3 });
  });

  test('hands on live frames, and passes over what a newer server may say', async () => {
    const frame = (data: unknown, type = 'message.delta') =>
      `event: ${type}\ndata: ${JSON.stringify({ type, sessionId: SESSION_ID, taskId: TASK_ID, turn: 1, data })}\n\n`;
    serve((response) => {
      openStream(response);
      response.write(frame({ attemptId: 'a', channel: 'text', offset: 0, text: 'hi' }));
      response.write(frame({ callId: 'c', text: 'out' }, 'tool.output'));
      response.write(frame({}, 'message.sung'));
      response.write('data: not json\n\n');
      response.write(`id: 1\ndata: {"seq":1,"type":"task.sung","at":"x"}\n\n`);
      sendEvents(response, [event(2, 'task.created')]);
    });
    const frames = await take(read(), 3);
    expect(frames.map(({ kind }) => kind)).toEqual(['live', 'live', 'event']);
    expect(frames[1]).toMatchObject({ live: { type: 'tool.output', data: { callId: 'c', text: 'out' } } });
  });

  test('does not pass over a known event that it cannot read', async () => {
    serve((response) => {
      openStream(response).write('id: 1\ndata: {"seq":1,"type":"task.created"}\n\n');
    });
    await expect(take(read(), 1)).rejects.toThrow(/^Event 1 is not what this version understands/);
  });

  test('starts behind `after`, and returns when it is stopped', async () => {
    serve((response) => sendEvents(openStream(response), [event(8, 'task.created')]));
    const frames = read({ after: 7 });
    expect(seqs([(await frames.next()).value as Frame])).toEqual([8]);
    const next = frames.next();
    stop.abort();
    expect((await next).done).toBe(true);
    expect(api.received[0]?.headers['last-event-id']).toBe('7');
  });

  test('returns when it is stopped between two tries', async () => {
    await api.close();
    const frames = read({ firstDelayMs: 60_000, maxDelayMs: 60_000 });
    await frames.next();
    const next = frames.next();
    stop.abort();
    expect((await next).done).toBe(true);
  });
});
