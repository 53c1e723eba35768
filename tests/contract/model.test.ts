import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createAnthropicModel } from '../../src/model/anthropic.ts';
import type { ModelOptions } from '../../src/model/connection.ts';
import type { Model, ModelEvent, ModelMessage, ModelRequest } from '../../src/model/model.ts';
import { createOpenAiModel } from '../../src/model/openai.ts';
import {
  call,
  cut,
  delay,
  error,
  hang,
  raw,
  type Script,
  type ScriptedModel,
  say,
  startScriptedModel,
  stop,
  think,
  usage,
} from '../support/scripted-model/scripted-model.ts';

const KEY = 'sk-test-0123456789';

const providers = [
  { provider: 'openai', create: createOpenAiModel },
  { provider: 'anthropic', create: createAnthropicModel },
];

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serve(
  script: Script,
  options: { apiKey?: string; models?: string[] } = {},
): Promise<ScriptedModel> {
  const server = await startScriptedModel({ script, ...options });
  closers.push(() => server.close());
  return server;
}

function requestOf(more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    system: 'You are a test.',
    messages: [{ role: 'user', text: 'Hello' }],
    tools: [],
    trace: { sessionId: 'ses_1', taskId: 'task_1', turn: 3 },
    ...more,
  };
}

async function collect(model: Model, request = requestOf(), signal = new AbortController().signal) {
  return collectWith(model, { request, signal, onEvent: () => undefined });
}

async function collectWith(
  model: Model,
  {
    request = requestOf(),
    signal,
    onEvent,
  }: { request?: ModelRequest; signal: AbortSignal; onEvent: () => unknown },
) {
  const events: ModelEvent[] = [];
  for await (const event of model.stream(request, signal)) {
    events.push(event);
    await onEvent();
  }
  return events;
}

function textIn(events: readonly ModelEvent[], type: 'text' | 'reasoning'): string {
  return events.map((event) => (event.type === type ? event.delta : '')).join('');
}

/** The whole answer, or a failed test that shows the failure. */
function answerOf(events: readonly ModelEvent[]) {
  const last = events.at(-1);
  if (last?.type !== 'finished') throw new Error(`no answer: ${JSON.stringify(last)}`);
  expect(events.filter((event) => event.type === 'finished' || event.type === 'failed')).toHaveLength(1);
  return last.answer;
}

function failureOf(events: readonly ModelEvent[]) {
  const last = events.at(-1);
  if (last?.type !== 'failed') throw new Error(`no failure: ${JSON.stringify(last)}`);
  expect(events.filter((event) => event.type === 'finished' || event.type === 'failed')).toHaveLength(1);
  expect(last.failure.message).toMatch(/^[A-Z].*\.$/);
  expect(last.failure.message).not.toContain(KEY);
  return last.failure;
}

describe.each(providers)('$provider', ({ provider, create }) => {
  function modelAt(server: { url: string; baseUrl?: string }, options: Partial<ModelOptions> = {}): Model {
    const baseUrl = provider === 'openai' ? `${server.url}/v1` : server.url;
    return create({ provider, model: 'm-1', apiKey: KEY, baseUrl, ...options });
  }

  async function answerTo(script: Script, request?: ModelRequest) {
    const server = await serve(script);
    const events = await collect(modelAt(server), request);
    return { server, events };
  }

  test('a text answer streams in pieces and ends with the whole of it', async () => {
    const text = 'The quick brown fox jumps over the lazy dog.';
    const { events } = await answerTo(() => [
      say(text),
      usage({ input: 100, output: 20, cached: 60, reasoning: 5 }),
    ]);
    expect(events.filter((event) => event.type === 'text').length).toBeGreaterThan(3);
    expect(textIn(events, 'text')).toBe(text);
    expect(answerOf(events)).toEqual({
      parts: [{ type: 'text', text }],
      stopReason: 'stop',
      usage: { input: 100, output: 20, cached: 60, reasoning: 5 },
      model: 'm-1',
    });
  });

  test('the request carries system, messages, tools, limits and trace headers', async () => {
    const parameters = { type: 'object', properties: { path: { type: 'string' } } };
    const tools = [{ name: 'read_file', description: 'Reads.', parameters }];
    const { server } = await answerTo(
      () => say('ok'),
      requestOf({ tools, temperature: 0.5, maxTokens: 123 }),
    );
    const [request] = server.requests;
    expect(request).toMatchObject({
      system: 'You are a test.',
      messages: [{ role: 'user', text: 'Hello' }],
      tools: ['read_file'],
      sessionId: 'ses_1',
      taskId: 'task_1',
      turn: 3,
      attempt: 1,
    });
    expect(request?.body).toMatchObject({ model: 'm-1', stream: true, temperature: 0.5, max_tokens: 123 });
    expect(JSON.stringify(request?.body)).toContain(JSON.stringify(parameters));
    expect(request?.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(modelAt(server).name).toBe(`${provider}/m-1`);
  });

  test('what is not set is not sent', async () => {
    const { server } = await answerTo(() => say('ok'), requestOf({ system: '' }));
    const body = server.requests[0]?.body;
    for (const field of ['temperature', 'tools', 'system']) expect(body).not.toHaveProperty(field);
    expect(server.requests[0]?.system).toBe('');
    expect(body.max_tokens).toBe(provider === 'openai' ? undefined : 4096);
    expect(body).not.toHaveProperty('max_completion_tokens');
  });

  test('without a key no Authorization header is sent', async () => {
    const server = await serve(() => say('ok'));
    const events = await collect(create({ provider, model: 'm-1', baseUrl: server.url }));
    answerOf(events);
    expect(server.requests[0]?.headers).not.toHaveProperty('authorization');
    expect(server.requests[0]?.headers).not.toHaveProperty('x-api-key');
  });

  test.each(['', '/', '/v1', '/v1/', '/v1/chat/completions'])(
    'a base URL that ends in "%s" is understood',
    async (end) => {
      const server = await serve(() => say('ok'));
      const path = provider === 'anthropic' ? end.replace('chat/completions', 'messages') : end;
      answerOf(await collect(create({ provider, model: 'm-1', baseUrl: server.url + path })));
    },
  );

  test('reasoning streams as reasoning and is kept apart from the text', async () => {
    const { events } = await answerTo(() => [think('Let me think about it.', 'proof'), say('Done.')]);
    expect(textIn(events, 'reasoning')).toBe('Let me think about it.');
    expect(textIn(events, 'text')).toBe('Done.');
    const [reasoning, text] = answerOf(events).parts;
    expect(reasoning).toMatchObject({ type: 'reasoning', text: 'Let me think about it.' });
    expect(text).toEqual({ type: 'text', text: 'Done.' });
  });

  test('reasoning goes back with the answer that it belongs to', async () => {
    const server = await serve((request) =>
      request.answers === 0 ? [think('Hm.', 'proof'), call('ls')] : say('ok'),
    );
    const { parts } = answerOf(await collect(modelAt(server)));
    const callId = parts.find((part) => part.type === 'tool')?.callId ?? '';
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Hello' },
      { role: 'assistant', parts },
      { role: 'tool', callId, text: 'a.txt', isError: false },
    ];
    answerOf(await collect(modelAt(server), requestOf({ messages })));
    const sent = server.requests[1]?.body.messages.find(
      (message: { role: string }) => message.role === 'assistant',
    );
    if (provider === 'openai') expect(sent).toMatchObject({ content: null, reasoning_content: 'Hm.' });
    else expect(sent.content[0]).toEqual({ type: 'thinking', thinking: 'Hm.', signature: 'proof' });
  });

  test('parallel calls whose arguments arrive interleaved are put together by index', async () => {
    const first = { path: 'src/a-file-with-a-long-name.ts', limit: 200 };
    const second = { command: 'printf "one\\ntwo" | wc -l', description: 'Counts lines' };
    const { events } = await answerTo(() => [
      say('Looking.'),
      call('read_file', first),
      call('bash', second),
      call('ls'),
    ]);
    const answer = answerOf(events);
    expect(answer.stopReason).toBe('tool_calls');
    const calls = answer.parts.filter((part) => part.type === 'tool');
    expect(calls.map((part) => [part.name, JSON.parse(part.arguments)])).toEqual([
      ['read_file', first],
      ['bash', second],
      ['ls', {}],
    ]);
    expect(new Set(calls.map((part) => part.callId)).size).toBe(3);
    const named = events.flatMap((event) => (event.type === 'tool' ? [event.name] : []));
    expect(named.toSorted()).toEqual(['bash', 'ls', 'read_file']);
  });

  test('a conversation with calls, results and steering is accepted as the API demands it', async () => {
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Context.' },
      { role: 'user', text: 'Do it.' },
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', text: 'unsigned' },
          { type: 'text', text: '  ' },
          { type: 'tool', callId: 'functions.ls:0', name: 'ls', arguments: '' },
          { type: 'tool', callId: 'c2', name: 'no such.tool', arguments: 'not json' },
        ],
      },
      { role: 'user', text: 'Hurry.' },
      { role: 'tool', callId: 'functions.ls:0', text: '', isError: false },
      { role: 'tool', callId: 'c2', text: 'Error: unknown tool', isError: true },
      { role: 'user', text: ' ' },
      { role: 'user', text: 'Please.' },
      { role: 'assistant', parts: [{ type: 'text', text: '' }] },
    ];
    const { server, events } = await answerTo(() => say('ok'), requestOf({ messages }));
    expect(server.refusals).toEqual([]);
    answerOf(events);
    const id = provider === 'openai' ? 'functions.ls:0' : 'functions_ls_0';
    const [request] = server.requests;
    expect(request?.messages.find((message) => message.role === 'assistant')).toEqual({
      role: 'assistant',
      text: '',
      calls: [
        { id, name: 'ls', arguments: '{}' },
        { id: 'c2', name: 'no_such_tool', arguments: '{"invalid_json":"not json"}' },
      ],
    });
    expect(request?.lastToolResults.map((result) => result.callId)).toEqual([id, 'c2']);
    const said = request?.messages.flatMap((message) =>
      message.role === 'user' ? message.text.split('\n\n') : [],
    );
    expect(said).toEqual(['Context.', 'Do it.', 'Hurry.', 'Please.']);
  });

  test.each([
    ['length', 'length'],
    ['refusal', 'refusal'],
    ['stop', 'stop'],
  ] as const)('the provider’s word for %s becomes %s', async (word, expected) => {
    const { events } = await answerTo(() => [say('…'), stop(word)]);
    expect(answerOf(events).stopReason).toBe(expected);
  });

  test('calls beside a plain stop count as calls', async () => {
    const { events } = await answerTo(() => [call('ls'), stop('stop')]);
    expect(answerOf(events).stopReason).toBe('tool_calls');
  });

  test('characters of several bytes survive every cut of the byte stream', async () => {
    const text = 'Zażółć gęślą jaźń 🦫 カピバラ 👩‍👩‍👧‍👦';
    const whole = await rawBody(provider, say(text));
    const server = await serve(() =>
      raw(async (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (let at = 0; at < whole.length; at += 3) {
          response.write(whole.subarray(at, at + 3));
          await new Promise((resolve) => setImmediate(resolve));
        }
      }),
    );
    expect(answerOf(await collect(modelAt(server))).parts).toEqual([{ type: 'text', text }]);
  });

  test.each([
    [401, 'terminal', 'provider_auth'],
    [403, 'terminal', 'provider_auth'],
    [402, 'terminal', 'provider_quota'],
    [404, 'terminal', 'model_not_found'],
    [400, 'terminal', 'bad_request'],
    [422, 'terminal', 'bad_request'],
    [413, 'terminal', 'context_overflow'],
    [408, 'retryable', 'rate_limited'],
    [409, 'retryable', 'rate_limited'],
    [429, 'retryable', 'rate_limited'],
    [500, 'retryable', 'provider_unavailable'],
    [502, 'retryable', 'provider_unavailable'],
    [503, 'retryable', 'provider_unavailable'],
    [504, 'retryable', 'provider_unavailable'],
    [529, 'retryable', 'provider_unavailable'],
  ])('status %i is %s: %s', async (status, kind, code) => {
    const { server, events } = await answerTo(() => error(status, { message: `no, and ${KEY} is\nsecret` }));
    expect(failureOf(events)).toMatchObject({ kind, code });
    expect(server.requests).toHaveLength(1);
  });

  test('a rate limit says when to come back', async () => {
    const { events } = await answerTo(() => error(429, { retryAfter: 7 }));
    expect(failureOf(events)).toMatchObject({ code: 'rate_limited', retryAfterMs: 7000 });
  });

  test('an error page instead of JSON is still a failure of its status', async () => {
    const { events } = await answerTo(() =>
      raw((response) => void response.writeHead(503).end('<h1>Bad</h1>')),
    );
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'provider_unavailable' });
  });

  test('a conversation that is too long is recognised', async () => {
    const message =
      provider === 'openai'
        ? "This model's maximum context length is 128000 tokens."
        : 'prompt is too long: 210000 tokens > 200000 maximum';
    const { events } = await answerTo(() => error(400, { message }));
    expect(failureOf(events)).toMatchObject({ kind: 'terminal', code: 'context_overflow' });
  });

  test('a wrong key is told with the variable that holds it', async () => {
    const server = await serve(() => say('ok'), { apiKey: 'another' });
    const { code, message } = failureOf(await collect(modelAt(server)));
    expect(code).toBe('provider_auth');
    const variable = `${provider.toUpperCase()}_API_KEY`;
    expect(message).toBe(`The key for provider ${provider} was refused (401): check ${variable}.`);
    const keyless = create({ provider, model: 'm-1', baseUrl: server.url });
    expect(failureOf(await collect(keyless)).message).toBe(
      `Provider ${provider} wants a key (401): set ${variable}.`,
    );
  });

  test('a key that no header can carry is told without showing it', async () => {
    const server = await serve(() => say('ok'));
    const { code, message } = failureOf(await collect(modelAt(server, { apiKey: 'first\nsecond' })));
    expect(code).toBe('provider_auth');
    expect(message).not.toContain('second');
  });

  test('an unknown model is told with its name and the endpoint', async () => {
    const server = await serve(() => say('ok'), { models: ['other'] });
    const { code, message } = failureOf(await collect(modelAt(server)));
    expect(code).toBe('model_not_found');
    expect(message).toContain('m-1');
    expect(message).toContain(server.url);
  });

  test('an endpoint where nothing listens is unreachable', async () => {
    const server = await startScriptedModel({ script: () => say('ok') });
    await server.close();
    const failure = failureOf(await collect(modelAt(server)));
    expect(failure).toMatchObject({ kind: 'retryable', code: 'provider_unreachable' });
    expect(failure.message).toContain('ECONNREFUSED');
  });

  test('a host without an address is unreachable', async () => {
    const failure = failureOf(await collect(modelAt({ url: 'http://no-such-host.invalid' })));
    expect(failure).toMatchObject({ kind: 'retryable', code: 'provider_unreachable' });
  });

  test('a connection that is closed before any answer is unreachable', async () => {
    const { events } = await answerTo(() => cut());
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'provider_unreachable' });
  });

  test('a base URL that is none, or that leads to a web page, has to be changed', async () => {
    const none = failureOf(await collect(create({ provider, model: 'm-1', baseUrl: 'not a url' })));
    expect(none).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
    const page = await serve(() =>
      raw((response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Hi</p>')),
    );
    expect(failureOf(await collect(modelAt(page)))).toMatchObject({ kind: 'terminal', code: 'bad_endpoint' });
  });

  test.each([
    ['in the middle of a text', [say('Half an ans'), cut()]],
    ['in the middle of a call', [call('bash', { command: 'x'.repeat(50) }), cut()]],
  ])('a stream cut %s is no answer', async (_, step) => {
    const { events } = await answerTo(() => step);
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
  });

  test('a stream that ends politely but too early is no answer', async () => {
    const whole = (await rawBody(provider, say('Half an answer'))).toString();
    const end =
      provider === 'openai' ? whole.indexOf('"finish_reason":"stop"') : whole.indexOf('message_stop');
    const half = whole.slice(0, whole.lastIndexOf('\n\n', end) + 2);
    const { events } = await answerTo(() => raw(eventStream(half)));
    expect(textIn(events, 'text')).toBe('Half an answer');
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
  });

  test('an empty stream and one that is not JSON are cut streams', async () => {
    const { events } = await answerTo(() => raw(eventStream('')));
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
    const broken = await answerTo(() => raw(eventStream('event: message_start\ndata: {"id": \n\n')));
    expect(failureOf(broken.events)).toMatchObject({ kind: 'retryable', code: 'stream_cut' });
  });

  test.each([
    [529, 'retryable', 'provider_unavailable'],
    [500, 'retryable', 'provider_unavailable'],
    [429, 'retryable', 'rate_limited'],
    [401, 'terminal', 'provider_auth'],
  ])('an error %i inside the stream ends it as %s: %s', async (status, kind, code) => {
    const { events } = await answerTo(() => [say('Half an ans'), error(status, { message: 'Overloaded' })]);
    expect(textIn(events, 'text')).toBe('Half an ans');
    expect(failureOf(events)).toMatchObject({ kind, code });
  });

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
    expect(failureOf(await events)).toMatchObject({ kind: 'cancelled', code: 'cancelled' });
    expect(performance.now() - at).toBeLessThan(1000);
    await server.waitForRequest((request) => request.outcome === 'abandoned', 1000);
  });

  test('a signal that is already aborted sends nothing', async () => {
    const { server } = await answerTo(() => say('ok'));
    const events = await collect(modelAt(server), requestOf(), AbortSignal.abort());
    expect(failureOf(events).kind).toBe('cancelled');
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
    expect(before).toMatchObject({ kind: 'retryable', code: 'provider_timeout' });
    expect(before.message).toContain('did not begin to answer within 0.08 s');
    const second = await serve(() => [say('And'), hang()]);
    const between = await collect(modelAt(second, { timeouts: { firstTokenMs: 60_000, idleMs: 80 } }));
    expect(failureOf(between)).toMatchObject({ kind: 'retryable', code: 'provider_timeout' });
    await second.waitForRequest((request) => request.outcome === 'abandoned', 1000);
  });

  test('keep-alive bytes are no silence, and a slow reader is none either', async () => {
    const whole = await rawBody(provider, say('Done.'));
    const server = await serve(() =>
      raw(async (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (let n = 0; n < 8; n += 1) {
          response.write(': still here\n\n');
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

/** The bytes that the scripted model sends for a step. */
async function rawBody(provider: string, step: ReturnType<typeof say>): Promise<Buffer> {
  const server = await serve(() => step);
  const path = provider === 'openai' ? 'chat/completions' : 'messages';
  const response = await fetch(`${server.baseUrl}/${path}`, {
    method: 'POST',
    body: JSON.stringify({
      model: 'm-1',
      stream: true,
      max_tokens: 10,
      messages: [{ role: 'user', content: 'x' }],
    }),
  });
  return Buffer.from(await response.arrayBuffer());
}

function eventStream(body: string): Parameters<typeof raw>[0] {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(body);
  };
}

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
