import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { ModelMessage } from '../../src/model/model.ts';
import { delay, hang, raw, say } from '../support/scripted-model/scripted-model.ts';
import {
  answerOf,
  closers,
  collect,
  collectWith,
  failureOf,
  kitOf,
  rawBody,
  requestOf,
  serve,
} from './model-harness.ts';
import { kinds } from './model-kinds.ts';

describe.each(kinds)('$provider', (each) => {
  const { provider, create, modelAt, answerTo } = kitOf(each);

  test.each([
    ['before the answer begins', [hang()]],
    ['in the middle of the answer', [say('And then'), hang()]],
    ['between the deltas', Array.from({ length: 500 }, (_, n) => [say(`${n} `), delay(10)]).flat()],
  ])('an abort %s ends it as cancelled within a second and closes the request', async (_, step) => {
    const server = await serve(() => step);
    const abort = new AbortController();
    let at = performance.now();
    const onEvent = () => {
      if (abort.signal.aborted) return;
      at = performance.now();
      abort.abort();
    };
    const events = collectWith(modelAt(server), { signal: abort.signal, onEvent });
    await server.waitForRequest(() => true);
    if (step.length === 1) onEvent();
    expect(failureOf(await events)).toMatchObject({
      kind: 'cancelled',
      code: 'cancelled',
      mayHaveCost: true,
    });
    expect(performance.now() - at).toBeLessThan(5_000);
    await server.waitForRequest((request) => request.outcome === 'abandoned', 5_000);
  });

  test('a signal that is already aborted sends nothing', async () => {
    const { server } = await answerTo(() => say('ok'));
    const events = await collect(modelAt(server), requestOf(), AbortSignal.abort());
    expect(failureOf(events)).toMatchObject({ kind: 'cancelled', mayHaveCost: false });
    expect(server.requests).toHaveLength(1);
  });

  test('a reader that stops early closes the request', async () => {
    const server = await serve(() => [say('One two three four five'), hang()]);
    for await (const event of modelAt(server).stream(requestOf(), new AbortController().signal)) {
      expect(event.type).toBe('text');
      break;
    }
    await server.waitForRequest((request) => request.outcome === 'abandoned', 1000);
  });

  test('silence before the first token and between two is a timeout', async () => {
    const first = await serve(() => hang());
    const timeouts = { firstTokenMs: 80, idleMs: 60_000 };
    const before = failureOf(await collect(modelAt(first, { timeouts })));
    expect(before).toMatchObject({ kind: 'retryable', code: 'provider_timeout', mayHaveCost: true });
    expect(before.message).toContain('did not begin to answer within 0.08 s');
    const second = await serve(() => [say('And'), hang()]);
    const between = await collect(modelAt(second, { timeouts: { firstTokenMs: 60_000, idleMs: 80 } }));
    expect(failureOf(between)).toMatchObject({ code: 'provider_timeout', mayHaveCost: true });
    await second.waitForRequest((request) => request.outcome === 'abandoned', 1000);
  });

  test('keep-alive bytes are no silence, and a slow reader is none either', async () => {
    const whole = await rawBody(each, say('Done.'));
    const server = await serve(() =>
      raw(async (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (let n = 0; n < 8; n += 1) {
          response.write(each.keepAlive);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        response.write(whole);
      }),
    );
    const model = modelAt(server, { timeouts: { firstTokenMs: 200, idleMs: 200 } });
    const events = await collectWith(model, {
      signal: new AbortController().signal,
      onEvent: () => new Promise((resolve) => setTimeout(resolve, 300)),
    });
    expect(answerOf(events).parts).toEqual([{ type: 'text', text: 'Done.' }]);
  });

  test('answers that follow each other use the same connections', async () => {
    const server = await serve((request) => say(`Answer ${request.number}`));
    const ports = new Set<number | undefined>();
    const counting = createServer((request, response) => {
      ports.add(request.socket.remotePort);
      forward(server.url, request, response);
    });
    await new Promise<void>((resolve) => counting.listen(0, '127.0.0.1', resolve));
    closers.push(async () => {
      counting.closeAllConnections();
      await new Promise((resolve) => counting.close(resolve));
    });
    const url = `http://127.0.0.1:${(counting.address() as AddressInfo).port}`;
    for (let n = 0; n < 6; n += 1) answerOf(await collect(modelAt({ url })));
    // The second one where the next request was faster than the last bytes of the answer before.
    expect(ports.size).toBeLessThanOrEqual(2);
  });

  test('a request says how long it is, also where it goes on with one that was sent', async () => {
    const server = await serve(() => say('Hm.'));
    const model = modelAt(server);
    const messages: ModelMessage[] = [];
    for (let round = 0; round < 3; round += 1) {
      messages.push({ role: 'user', text: `Grüße, ${round}. 😀` });
      const { parts } = answerOf(await collect(model, requestOf({ messages: [...messages] })));
      messages.push({ role: 'assistant', parts });
    }
    const lengths = server.requests.map(({ headers }) => Number(headers['content-length']));
    expect(lengths).toEqual(server.requests.map(({ body }) => Buffer.byteLength(JSON.stringify(body))));
    expect(server.requests.some(({ headers }) => 'transfer-encoding' in headers)).toBe(false);
    expect(server.requests.map((request) => request.messages.length)).toEqual([1, 3, 5]);
  });

  test('the SDK reads nothing from the environment and writes nothing to the console', async () => {
    const server = await serve(() => say('ok'));
    const traps = {
      OPENAI_CUSTOM_HEADERS: 'x-trap: 1\nauthorization: Bearer trap',
      OPENAI_ORG_ID: 'trap',
      OPENAI_PROJECT_ID: 'trap',
      OPENAI_BASE_URL: 'http://127.0.0.1:1',
      OPENAI_API_KEY: 'trap',
      OPENAI_LOG: 'debug',
      ANTHROPIC_CUSTOM_HEADERS: 'x-trap: 1\nauthorization: Bearer trap',
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:1',
      ANTHROPIC_API_KEY: 'trap',
      ANTHROPIC_AUTH_TOKEN: 'trap',
      ANTHROPIC_LOG: 'debug',
      OLLAMA_API_KEY: 'trap',
      OLLAMA_HOST: 'http://127.0.0.1:1',
      OCI_CONFIG_FILE: '/trap',
      OCI_CLI_PROFILE: 'trap',
      OCI_REGION: 'trap',
    };
    const written: unknown[] = [];
    const restore = trapEnvironment(traps, written);
    try {
      answerOf(await collect(modelAt(server, { model: 'claude-sonnet-4-5' })));
      answerOf(await collect(create({ provider, model: 'm-1', baseUrl: server.url })));
    } finally {
      restore();
    }
    expect(written).toEqual([]);
    expect(JSON.stringify(server.requests.map((request) => request.headers))).not.toContain('trap');
  });
});

function forward(
  ...[url, request, response]: [string, ...Parameters<Parameters<typeof createServer>[1] & object>]
) {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', async () => {
    const answer = await fetch(url + request.url, { method: 'POST', body: Buffer.concat(chunks) });
    response.writeHead(answer.status, { 'content-type': 'text/event-stream' });
    for await (const chunk of answer.body ?? []) response.write(chunk);
    response.end();
  });
}

/** Sets variables and takes over the console until the returned function is called. */
function trapEnvironment(variables: Record<string, string>, written: unknown[]): () => void {
  const before = { ...process.env };
  const methods = ['log', 'info', 'warn', 'error', 'debug'] as const;
  const originals = methods.map((method) => console[method]);
  Object.assign(process.env, variables);
  for (const method of methods) console[method] = (...args: unknown[]) => void written.push(args);
  return () => {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
    methods.forEach((method, n) => {
      const original = originals[n];
      if (original !== undefined) console[method] = original;
    });
  };
}
