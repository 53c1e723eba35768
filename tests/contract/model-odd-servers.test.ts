import { describe, expect, test } from 'vitest';
import type { Part } from '../../src/core/entry.ts';
import { sealOf } from '../../src/model/history.ts';
import type { ModelEvent, ModelMessage } from '../../src/model/model.ts';
import { raw, say, startScriptedModel } from '../support/scripted-model/scripted-model.ts';
import {
  answerOf,
  closers,
  collect,
  eventStream,
  failureOf,
  kitOf,
  requestOf,
  serve,
} from './model-harness.ts';
import type { Kind } from './model-kind.ts';
import { anthropic, chat } from './model-kinds.ts';

/** Chat Completions servers as they really are, and blocks of Messages that the scripted model has no words for. */
const [atChat, atAnthropic] = [kitOf(chat), kitOf(anthropic)];

type Fields = Record<string, unknown>;

function chunk(delta: Fields, finish: string | null = null, more: Fields = {}): Fields {
  return { id: 'x', model: 'm-1', choices: [{ index: 0, delta, finish_reason: finish }], ...more };
}

function frames(chunks: readonly unknown[]): string {
  return `${chunks.map((data) => `data: ${JSON.stringify(data)}\n\n`).join('')}data: [DONE]\n\n`;
}

async function eventsOf(chunks: readonly unknown[]) {
  const { events } = await atChat.answerTo(() => raw(eventStream(frames(chunks))));
  return events;
}

async function callsOf(deltas: readonly Fields[], finish = 'tool_calls') {
  const chunks = deltas.map((delta) => chunk({ tool_calls: [delta] }));
  const answer = answerOf(await eventsOf([...chunks, chunk({}, finish)]));
  const calls = answer.parts.filter((part) => part.type === 'tool');
  expect(calls.every((part) => part.callId !== '')).toBe(true);
  expect(new Set(calls.map((part) => part.callId)).size).toBe(calls.length);
  return { answer, calls, short: calls.map((part) => `${part.name} ${part.arguments}`) };
}

describe('tool calls', () => {
  const a = { name: 'read_file', arguments: '{"path":"a"}' };
  const b = { name: 'bash', arguments: '{"command":"ls"}' };
  const both = ['read_file {"path":"a"}', 'bash {"command":"ls"}'];

  test('without an index, the id tells calls apart, and a delta without either continues the last', async () => {
    const deltas = [
      { id: 'c1', function: { name: 'read_file', arguments: '{"pa' } },
      { function: { arguments: 'th":"a"}' } },
      { id: 'c2', function: b },
    ];
    const { short, calls } = await callsOf(deltas);
    expect(short).toEqual(both);
    expect(calls.map((part) => part.callId)).toEqual(['c1', 'c2']);
  });

  test('without index and id, whole calls are told apart by their names', async () => {
    expect((await callsOf([{ function: a }, { function: b }, { function: b }])).short).toEqual([
      ...both,
      both[1],
    ]);
  });

  test('without ids, a name that is repeated within a call begins another only where its arguments are whole', async () => {
    const repeating = (...pieces: string[]) =>
      pieces.map((piece) => ({ index: 0, function: { name: 'write_file', arguments: piece } }));
    const pieces = ['{"path":"a}","con', 'tent":"\\"]}', '{"}', '\n', '{"path":"b"}', 'null', '"{}"', '7'];
    expect((await callsOf(repeating(...pieces))).calls.map((part) => part.arguments)).toEqual([
      '{"path":"a}","content":"\\"]}{"}',
      '\n{"path":"b"}',
      'null',
      '"{}"',
      '7',
    ]);
  });

  test('with one index for all calls, another id is another call', async () => {
    const deltas = [
      { index: 0, id: 'c1', function: a },
      { index: 0, id: 'c2', function: b },
    ];
    expect((await callsOf(deltas)).short).toEqual(both);
  });

  test('id and name repeated in every delta are no new call and no longer name', async () => {
    const pieces = ['', '{"path"', ':"a"}'];
    const deltas = pieces.map((text) => ({
      index: 0,
      id: 'c1',
      function: { name: 'read_file', arguments: text },
    }));
    expect((await callsOf(deltas)).short).toEqual(['read_file {"path":"a"}']);
  });

  test('an id that differs in deltas without a name is still the same call', async () => {
    const deltas = [
      { index: 0, id: 'x1', function: { name: 'read_file', arguments: '{"path"' } },
      { index: 0, id: 'x2', function: { arguments: ':"a"}' } },
    ];
    const { short, calls } = await callsOf(deltas);
    expect(short).toEqual(['read_file {"path":"a"}']);
    expect(calls[0]?.callId).toBe('x1');
  });

  test('a name in several deltas is put together', async () => {
    const deltas = [
      { index: 0, id: 'c1', function: { name: 'read_' } },
      { index: 0, function: { name: 'file' } },
      { index: 0, function: { arguments: '{"path":"a"}' } },
    ];
    expect((await callsOf(deltas)).short).toEqual(['read_file {"path":"a"}']);
  });

  test('empty, missing and doubled ids are replaced by unique ones', async () => {
    const deltas = [
      { index: 0, id: '', function: a },
      { index: 1, function: b },
      { index: 2, id: 'same', function: a },
      { index: 3, id: 'same', function: b },
    ];
    const { calls } = await callsOf(deltas);
    expect(calls).toHaveLength(4);
    expect(calls[2]?.callId).toBe('same');
  });

  test('an id that comes after the name is taken', async () => {
    const deltas = [
      { index: 0, function: { name: 'bash' } },
      { index: 0, id: 'late', function: { arguments: b.arguments } },
    ];
    expect((await callsOf(deltas)).calls[0]?.callId).toBe('late');
  });

  test('arguments may be missing, null or an object', async () => {
    const deltas = [
      { index: 0, id: 'c1', function: { name: 'ls' } },
      { index: 1, id: 'c2', function: { name: 'ls', arguments: null } },
      { index: 2, id: 'c3', function: { name: 'bash', arguments: { command: 'ls' } } },
    ];
    expect((await callsOf(deltas)).short).toEqual(['ls {}', 'ls {}', 'bash {"command":"ls"}']);
  });

  test('all calls in one delta, ended with "stop", are calls', async () => {
    const tool_calls = [
      { index: 0, id: 'c1', function: a },
      { index: 1, id: 'c2', function: b },
    ];
    const answer = answerOf(await eventsOf([chunk({ tool_calls }, 'stop')]));
    expect(answer.stopReason).toBe('tool_calls');
    expect(answer.parts).toHaveLength(2);
  });

  test('broken arguments are kept as the model wrote them', async () => {
    const { answer, short } = await callsOf(
      [{ index: 0, id: 'c1', function: { name: 'ls', arguments: '{"pa' } }],
      'length',
    );
    expect(short).toEqual(['ls {"pa']);
    expect(answer.stopReason).toBe('length');
  });
});

describe('usage and endings', () => {
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 5,
    prompt_cache_hit_tokens: 4,
    completion_tokens_details: { reasoning_tokens: 2 },
  };
  const counted = { input: 10, output: 5, cached: 4, reasoning: 2 };

  test('usage counts in a chunk of its own, beside a choice, or inside one', async () => {
    const alone = [chunk({ content: 'ok' }, 'stop'), { id: 'x', choices: [], usage }];
    const beside = [chunk({ content: 'ok' }, 'stop', { usage })];
    const inside = [{ choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: 'stop', usage }] }];
    for (const chunks of [alone, beside, inside])
      expect(answerOf(await eventsOf(chunks)).usage).toEqual(counted);
  });

  test.each([
    { prompt_tokens_details: { cached_tokens: 40, cache_write_tokens: 50 } },
    { cache_read_input_tokens: 40, cache_creation_input_tokens: 50 },
  ])('what was read from a cache and written to one is told as %j', async (said) => {
    const chunks = [chunk({ content: 'ok' }, 'stop', { usage: { prompt_tokens: 100, ...said } })];
    expect(answerOf(await eventsOf(chunks)).usage).toMatchObject({
      input: 100,
      cached: 40,
      cacheWritten: 50,
    });
  });

  test('no usage, or a senseless one, counts as zero', async () => {
    const none = { input: 0, output: 0, cached: 0, reasoning: 0 };
    expect(answerOf(await eventsOf([chunk({ content: 'ok' }, 'stop')])).usage).toEqual(none);
    const senseless = { prompt_tokens: -3, completion_tokens: null };
    expect(answerOf(await eventsOf([chunk({ content: 'ok' }, 'stop', { usage: senseless })])).usage).toEqual(
      none,
    );
  });

  test('an answer that was finished outlives the connection that breaks after it', async () => {
    const server = await startScriptedModel({
      script: () =>
        raw(async (response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.write(`data: ${JSON.stringify(chunk({ content: 'ok' }, 'stop'))}\n\n`);
          await new Promise((resolve) => setImmediate(resolve));
          response.destroy();
        }),
    });
    closers.push(() => server.close());
    expect(answerOf(await collect(atChat.modelAt(server))).parts).toEqual([{ type: 'text', text: 'ok' }]);
  });

  test.each(['error', 'abort', 'insufficient_system_resource'])(
    'finish_reason %s is no answer',
    async (word) => {
      const failure = failureOf(await eventsOf([chunk({ content: 'Half' }), chunk({}, word)]));
      expect(failure).toMatchObject({ code: 'provider_unavailable', mayHaveCost: true });
    },
  );

  test.each([
    ['model_length', 'length'],
    ['sensitive', 'refusal'],
    ['eos', 'stop'],
  ])('finish_reason %s becomes %s', async (word, expected) => {
    expect(answerOf(await eventsOf([chunk({ content: 'ok' }, word)])).stopReason).toBe(expected);
  });

  test('a refusal is text that ends as a refusal', async () => {
    const answer = answerOf(await eventsOf([chunk({ refusal: 'I will not.' }), chunk({}, 'stop')]));
    expect(answer).toMatchObject({ parts: [{ type: 'text', text: 'I will not.' }], stopReason: 'refusal' });
  });

  test('an error object with a number as code has that status', async () => {
    const events = await eventsOf([
      chunk({ content: 'Half' }),
      { error: { message: 'slow down', code: 429 } },
    ]);
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'rate_limited' });
  });

  test('an error object without any known word is worth a retry', async () => {
    const events = await eventsOf([{ error: { message: 'something broke' } }]);
    expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'provider_unavailable' });
  });
});

test.each([
  [
    'mistralai/devstral-2',
    ['assistant', 'tool', 'assistant', 'user', 'assistant', 'tool', 'assistant', 'user'],
  ],
  ['m-1', ['assistant', 'tool', 'user', 'assistant', 'tool', 'user']],
])('%s is told %j where somebody speaks behind a result', async (name, roles) => {
  const server = await serve(() => say('ok'));
  const messages = ['a', 'b'].flatMap((callId): ModelMessage[] => [
    { role: 'assistant', parts: [{ type: 'tool', callId, name: 'ls', arguments: '{}' }] },
    { role: 'tool', callId, text: '1', isError: false },
    { role: 'user', text: 'And?' },
  ]);
  const model = atChat.modelAt(server, { model: name });
  answerOf(await collect(model, requestOf({ system: '', messages })));
  expect(server.requests[0]?.body.messages.map(({ role }: { role: string }) => role)).toEqual(roles);
});

describe('reasoning', () => {
  test('reasoning under its other name, or as a part of a list, is reasoning', async () => {
    const listed = [
      { type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] },
      { type: 'text', text: 'ok' },
    ];
    for (const deltas of [[{ reasoning: 'Hm.' }, { content: 'ok' }], [{ content: listed }]]) {
      const events = await eventsOf([...deltas.map((delta) => chunk(delta)), chunk({}, 'stop')]);
      expect(events[0]).toEqual({ type: 'reasoning', delta: 'Hm.' });
      expect(answerOf(events).parts).toEqual([
        { type: 'reasoning', text: 'Hm.' },
        { type: 'text', text: 'ok' },
      ]);
    }
  });

  async function sentParts(signed: (seal: { chat: string; messages: string }) => Part[]) {
    const server = await serve(() => say('ok'));
    const sealFor = (wire: string, { provider }: Kind) => sealOf(wire, { provider, endpoint: server.url });
    const parts = signed({ chat: sealFor('chat', chat), messages: sealFor('messages', anthropic) });
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Hello' },
      { role: 'assistant', parts: [...parts, { type: 'text', text: 'ok' }] },
      { role: 'user', text: 'Go on' },
    ];
    for (const { modelAt } of [atChat, atAnthropic])
      answerOf(await collect(modelAt(server), requestOf({ messages })));
    return [server.requests[0]?.body.messages[2], server.requests[1]?.body.messages[1]];
  }

  test('what one provider signed is not sent to the other', async () => {
    const [completion, message] = await sentParts((seal) => [
      { type: 'reasoning', text: 'signed', signature: `${seal.messages}proof` },
      { type: 'reasoning', text: 'compatible', signature: `${seal.chat}reasoning_content` },
      { type: 'reasoning', text: 'of another host', signature: 'messages anthropic@other.example proof' },
      { type: 'reasoning', text: 'of another name', signature: seal.messages.replace('anthropic', 'b') },
      { type: 'reasoning', text: 'of nobody', signature: 'proof' },
      { type: 'reasoning', text: 'neither' },
    ]);
    expect(completion).toEqual({ role: 'assistant', content: 'ok', reasoning_content: 'compatible' });
    expect(message.content).toEqual([
      { type: 'thinking', thinking: 'signed', signature: 'proof' },
      { type: 'text', text: 'ok' },
    ]);
  });

  test('thinking in which an answer was cut does not go back: nothing may end with it', async () => {
    const server = await serve(() => say('ok'));
    const signature = `${sealOf('messages', { provider: 'anthropic', endpoint: server.url })}proof`;
    const thought: Part = { type: 'reasoning', text: 'Hm.', signature };
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Go.' },
      { role: 'assistant', parts: [thought] },
      { role: 'user', text: 'And?' },
      { role: 'assistant', parts: [thought, { type: 'text', text: 'Well.' }, thought] },
      { role: 'user', text: 'On.' },
    ];
    answerOf(await collect(atAnthropic.modelAt(server), requestOf({ messages })));
    const sent = server.requests[0]?.body.messages as { role: string; content: { type: string }[] }[];
    expect(sent.map(({ role, content }) => [role, ...content.map(({ type }) => type)])).toEqual([
      ['user', 'text', 'text'],
      ['assistant', 'thinking', 'text'],
      ['user', 'text'],
    ]);
  });

  test('thinking that Anthropic redacted goes back as it came, and blocks that nobody asked for are ignored', async () => {
    const events = [
      { type: 'message_start', message: { model: 'm-1', usage: { input_tokens: 3, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'redacted_thinking', data: 'ENC' } },
      {
        type: 'content_block_start',
        index: 1,
        content_block: { type: 'server_tool_use', id: 's', name: 'web' },
      },
      { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{}' } },
      { type: 'content_block_start', index: 2, content_block: { type: 'text', text: 'o' } },
      { type: 'content_block_delta', index: 2, delta: { type: 'text_delta', text: 'k' } },
      {
        type: 'content_block_start',
        index: 3,
        content_block: { type: 'thinking', thinking: 'Hm', signature: '' },
      },
      { type: 'content_block_delta', index: 3, delta: { type: 'signature_delta', signature: 'late' } },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } },
      { type: 'unheard_of' },
      { type: 'message_stop' },
    ];
    const body = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
    const { events: seen } = await atAnthropic.answerTo(() => raw(eventStream(body)));
    const answer = answerOf(seen);
    expect(answer.usage).toEqual({ input: 3, output: 9, cached: 0, reasoning: 0 });
    expect(answer.parts.filter((part) => part.type === 'text')).toEqual([{ type: 'text', text: 'ok' }]);
    const [, message] = await sentParts((seal) =>
      answer.parts.flatMap((part) =>
        part.type === 'reasoning'
          ? [{ ...part, signature: part.signature?.replace(/^messages \S+ /, seal.messages) ?? '' }]
          : [],
      ),
    );
    expect(message.content.slice(0, 2)).toEqual([
      { type: 'redacted_thinking', data: 'ENC' },
      { type: 'thinking', thinking: 'Hm', signature: 'late' },
    ]);
  });

  const proven = (events: readonly ModelEvent[]): ModelMessage[] => [
    { role: 'user', text: 'Hello' },
    { role: 'assistant', parts: answerOf(events).parts },
    { role: 'tool', callId: 'c1', text: 'a.txt', isError: false },
  ];

  /** An answer, and the assistant's message that goes back to the same server, and to another. */
  async function backAndForth(deltas: readonly Fields[]) {
    const body = frames([...deltas.map((delta) => chunk(delta)), chunk({}, 'tool_calls')]);
    const ask = { role: 'user' as const, text: 'Hello' };
    const server = await serve(({ answers }) => (answers === 0 ? raw(eventStream(body)) : say('ok')));
    const first = await collect(atChat.modelAt(server), requestOf({ messages: [ask] }));
    answerOf(await collect(atChat.modelAt(server), requestOf({ messages: proven(first) })));
    const other = await atChat.answerTo(() => say('ok'), requestOf({ messages: proven(first) }));
    answerOf(other.events);
    return [server.requests[1]?.body.messages[2], other.server.requests[0]?.body.messages[2]];
  }

  test('details in pieces are put together and go back to whoever sent them', async () => {
    const detail = (more: Fields) => ({ reasoning_details: [{ index: 0, format: 'x', ...more }] });
    const [back, elsewhere] = await backAndForth([
      { reasoning: 'Hm', ...detail({ type: 'reasoning.text', text: 'Hm' }) },
      { reasoning: '.', ...detail({ type: 'reasoning.text', text: '.', signature: 'sig' }) },
      detail({ type: 'reasoning.encrypted', data: 'EN' }),
      detail({ type: 'reasoning.encrypted', data: 'C', id: 'r1' }),
      { reasoning_details: [null, 7, {}] },
      { tool_calls: [{ index: 0, id: 'c1', function: { name: 'ls', arguments: '{}' } }] },
    ]);
    expect(back.reasoning_details).toEqual([
      { index: 0, format: 'x', type: 'reasoning.text', text: 'Hm.', signature: 'sig' },
      { index: 0, format: 'x', type: 'reasoning.encrypted', data: 'ENC', id: 'r1' },
    ]);
    expect(elsewhere).not.toHaveProperty('reasoning_details');
  });

  test('what Gemini says beside a call goes back beside it', async () => {
    const extra_content = { google: { thought_signature: 'ENC' } };
    const called = { index: 0, id: 'c1', type: 'function', function: { name: 'ls', arguments: '{}' } };
    const [back, elsewhere] = await backAndForth([{ tool_calls: [{ ...called, extra_content }] }]);
    expect(back.tool_calls).toMatchObject([{ id: 'c1', extra_content }]);
    expect(elsewhere.tool_calls[0]).not.toHaveProperty('extra_content');
  });
});
