import { type Dispatcher, getGlobalDispatcher, setGlobalDispatcher } from 'undici';
import { afterEach, describe, expect, test } from 'vitest';
import type { Part } from '../../src/core/entry.ts';
import type { ModelOptions } from '../../src/model/connection.ts';
import type { ModelMessage } from '../../src/model/model.ts';
import { call, raw, say, stop, think, usage } from '../support/scripted-model/scripted-model.ts';
import {
  answerOf,
  collect,
  collectWith,
  failureOf,
  KEY,
  kitOf,
  rawBody,
  requestOf,
  serve,
  textIn,
} from './model-harness.ts';
import type { Kind } from './model-kind.ts';
import { anthropic, chat, kinds } from './model-kinds.ts';
import { sources } from './model-sources.ts';

describe.each(kinds)('$provider', (each) => {
  const { provider, create, modelAt, answerTo } = kitOf(each);
  const known = (name: 'cached' | 'reasoning', count: number) => ({
    [name]: each.lacks.includes(name) ? 0 : count,
  });

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
      usage: { input: 100, output: 20, ...known('cached', 60), ...known('reasoning', 5) },
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
    expect(request?.model).toBe('m-1');
    expect(each.limitsIn(request?.body)).toEqual({ temperature: 0.5, maxTokens: 123 });
    expect(JSON.stringify(request?.body)).toContain(JSON.stringify(parameters));
    const isSigned = each.lacks.includes('key');
    const signature = expect.stringMatching(/^Signature version="1",keyId=/);
    expect(request?.headers.authorization).toEqual(isSigned ? signature : `Bearer ${KEY}`);
    expect(modelAt(server).name).toBe(`${provider}/m-1`);
  });

  test('what is not set is not sent', async () => {
    const { server } = await answerTo(() => say('ok'), requestOf({ system: '' }));
    const [request] = server.requests;
    for (const field of each.optional) expect(request?.body).not.toHaveProperty(field);
    expect(request?.system).toBe('');
    expect(each.limitsIn(request?.body)).toEqual({ maxTokens: each.defaultMaxTokens });
  });

  test.skipIf(each.lacks.includes('key'))('without a key no Authorization header is sent', async () => {
    const server = await serve(() => say('ok'));
    const events = await collect(create({ provider, model: 'm-1', baseUrl: server.url }));
    answerOf(events);
    expect(server.requests[0]?.headers).not.toHaveProperty('authorization');
    expect(server.requests[0]?.headers).not.toHaveProperty('x-api-key');
  });

  test.each(each.ends)('a base URL that ends in "%s" is understood', async (end) => {
    const server = await serve(() => say('ok'));
    answerOf(await collect(create({ provider, model: 'm-1', baseUrl: server.url + end })));
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
    expect(each.reasoningIn(server.requests[1]?.body)).toEqual(each.reasoning);
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
    const id = each.sentId('functions.ls:0');
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
    ['refusal', each.lacks.includes('refusal') ? 'stop' : 'refusal'],
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
    const whole = await rawBody(each, say(text));
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
});

describe.each(sources)('an answer of $name', ({ answering, failing }) => {
  const parts: Part[] = [
    { type: 'reasoning', text: 'Let me think about it.' },
    { type: 'text', text: 'The capybara 🦫 is the largest living rodent, and gets along with everyone.' },
    { type: 'tool', callId: 'c1', name: 'ls', arguments: '{"path":"src"}' },
    { type: 'tool', callId: 'c2', name: 'bash', arguments: '{"command":"pwd"}' },
  ];

  test('comes in pieces and in order, and ends with the whole of it', async () => {
    const events = await collect(await answering(parts));
    const told = events.map((event) => (event.type === 'tool' ? event.name : event.type));
    const order = told.filter((each, at) => each !== told[at - 1]);
    expect(order).toEqual(['reasoning', 'text', 'ls', 'bash', 'finished']);
    expect(told.filter((each) => each === 'text').length).toBeGreaterThan(1);
    const said = (['reasoning', 'text'] as const).map((type) => ({ type, text: textIn(events, type) }));
    expect(said).toEqual(parts.slice(0, 2));
    expect(answerOf(events)).toMatchObject({ parts, stopReason: 'tool_calls' });
  });

  test('ends as cancelled where its signal is aborted, also in its middle', async () => {
    const model = await answering(parts);
    expect(await collect(model, requestOf(), AbortSignal.abort())).toMatchObject([
      { type: 'failed', failure: { kind: 'cancelled', mayHaveCost: false } },
    ]);
    const abort = new AbortController();
    const events = await collectWith(model, { signal: abort.signal, onEvent: () => abort.abort() });
    expect(failureOf(events)).toMatchObject({ kind: 'cancelled', code: 'cancelled' });
    expect(events.map(({ type }) => type)).toEqual(['reasoning', 'failed']);
  });

  test('that fails says so with its only event, and throws nothing', async () => {
    expect(await collect(await failing())).toMatchObject([
      { type: 'failed', failure: { mayHaveCost: false } },
    ]);
  });
});

describe('at the providers’ own addresses', () => {
  const before = getGlobalDispatcher();
  afterEach(() => setGlobalDispatcher(before));

  /** Sends what goes to a provider's own host to the scripted model. */
  async function redirected({ provider, create }: Kind, options: Partial<ModelOptions> = {}) {
    const server = await serve(() => say('ok'), { apiKey: KEY });
    const hosts: string[] = [];
    const paths: string[] = [];
    const redirect = (dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] => {
      return (options, handler) => {
        hosts.push(new URL(String(options.origin)).host);
        paths.push(String(options.path));
        return dispatch({ ...options, origin: server.url }, handler);
      };
    };
    setGlobalDispatcher(before.compose(redirect));
    const model = create({ provider, model: 'm-1', apiKey: KEY, ...options });
    answerOf(await collect(model, requestOf({ temperature: 1, maxTokens: 99 })));
    return { hosts, paths, request: server.requests[0] };
  }

  test('OpenAI gets max_completion_tokens', async () => {
    const { hosts, request } = await redirected({ ...chat, provider: 'openai' });
    expect(hosts).toEqual(['api.openai.com']);
    expect(request?.body).toMatchObject({ max_completion_tokens: 99, temperature: 1 });
    expect(request?.body).not.toHaveProperty('max_tokens');
  });

  test.each([
    ['', '/openai/v1/chat/completions'],
    ['?api-version=2024-10-21', '/openai/deployments/m-1/chat/completions?api-version=2024-10-21'],
  ])('Azure with "%s" gets its key under its own name at %s', async (query, path) => {
    const baseUrl = `https://team.openai.azure.com${query}`;
    const { paths, request } = await redirected(chat, { baseUrl });
    expect(paths).toEqual([path]);
    expect(request?.headers).toMatchObject({ 'api-key': KEY });
    expect(request?.headers).not.toHaveProperty('authorization');
    expect(request?.body).toMatchObject({ max_completion_tokens: 99 });
  });

  test('Anthropic gets no temperature and its key once', async () => {
    const { hosts, request } = await redirected(anthropic);
    expect(hosts).toEqual(['api.anthropic.com']);
    expect(request?.body).toMatchObject({ max_tokens: 99 });
    expect(request?.body).not.toHaveProperty('temperature');
    expect(request?.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(request?.headers).not.toHaveProperty('x-api-key');
  });
});

test('an answer of many calls is marked at its beginning too, for what Anthropic’s cache looks back on is short', async () => {
  const parts = Array.from({ length: 10 }, (_, at) => ({
    ...{ type: 'tool' as const, callId: `c${at}`, name: 'ls', arguments: '{}' },
  }));
  const marksOf = async (count: number) => {
    const results = parts.slice(0, count).map(({ callId }) => ({
      ...{ role: 'tool' as const, callId, text: 'ok', isError: false },
    }));
    const answer = { role: 'assistant' as const, parts: parts.slice(0, count) };
    const messages: ModelMessage[] = [{ role: 'user', text: 'Go.' }, answer, ...results];
    const { server } = await kitOf(anthropic).answerTo(() => say('ok'), requestOf({ messages }));
    const blocks = server.requests[0]?.body.messages.flatMap(
      ({ content }: { content: unknown[] }) => content,
    );
    return blocks.flatMap((block: object, at: number) => ('cache_control' in block ? [at] : []));
  };
  expect(await marksOf(9)).toEqual([18]);
  expect(await marksOf(10)).toEqual([1, 20]);
});

test('system and the end of the conversation are marked for Anthropic’s prompt cache', async () => {
  const { server } = await kitOf(anthropic).answerTo(() => say('ok'));
  const body = server.requests[0]?.body;
  const cache_control = { type: 'ephemeral' };
  expect(body.system).toEqual([{ type: 'text', text: 'You are a test.', cache_control }]);
  expect(body.messages.at(-1).content.at(-1)).toMatchObject({ text: 'Hello', cache_control });
});
