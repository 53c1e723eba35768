import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnthropicAnswer } from '../../src/model/anthropic-answer.ts';
import { ChatAnswer } from '../../src/model/chat-answer.ts';
import { DEFAULT_ANSWER_BYTES } from '../../src/model/connection.ts';
import { GrowingJson } from '../../src/model/growing-json.ts';
import type { ModelAnswer, ModelEvent, ModelMessage } from '../../src/model/model.ts';
import { OciMessageAnswer } from '../../src/model/oci-answer.ts';
import { OllamaAnswer } from '../../src/model/ollama-answer.ts';
import { OpenAiAnswer } from '../../src/model/openai-answer.ts';
import { type Collector, streamAnswer } from '../../src/model/stream.ts';
import { MAX_ID_LENGTH } from '../../src/model/tool-calls.ts';
import { raw, say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, eventStream, failureOf, kitOf, requestOf, serve } from './model-harness.ts';
import type { Fields } from './model-kind.ts';
import { anthropic, kinds } from './model-kinds.ts';

/** Answers that are JSON and nothing else that can be relied on: whatever comes, the session stays one that can be sent. */
const atAnthropic = kitOf(anthropic);

function messageStream(events: readonly Fields[]): string {
  const all = [
    { type: 'message_start', message: { model: 'm-1' } },
    ...events,
    { type: 'message_delta', delta: { stop_reason: 'tool_use' } },
    { type: 'message_stop' },
  ];
  return all.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
}

const begin = (index: unknown, content_block: unknown): Fields => ({
  ...{ type: 'content_block_start', index, content_block },
});
const add = (index: unknown, delta: unknown): Fields => ({ type: 'content_block_delta', index, delta });

async function messageOf(events: readonly Fields[]) {
  return (await atAnthropic.answerTo(() => raw(eventStream(messageStream(events))))).events;
}

/** The conversation behind an answer, with a result for each of its calls. */
function after({ parts }: ModelAnswer): ModelMessage[] {
  const results = parts.flatMap((part): ModelMessage[] =>
    part.type === 'tool' ? [{ role: 'tool', callId: part.callId, text: 'ok', isError: false }] : [],
  );
  return [{ role: 'user', text: 'Hello' }, { role: 'assistant', parts }, ...results];
}

/** Every provider takes what follows the answer. */
async function expectSendable(answer: ModelAnswer): Promise<void> {
  for (const each of kinds) {
    answerOf((await kitOf(each).answerTo(() => say('ok'), requestOf({ messages: after(answer) }))).events);
  }
}

describe('a block of Messages', () => {
  const call = (more: Fields) => ({ type: 'tool_use', input: {}, ...more });
  const callsOf = (answer: ModelAnswer) => answer.parts.filter((part) => part.type === 'tool');

  test.each([
    ['missing', undefined],
    ['null', null],
    ['empty', ''],
    ['a number', 7],
    ['too long', 'x'.repeat(MAX_ID_LENGTH + 1)],
    ['no printable ASCII', 'call\u0000'],
  ])('with an id that is %s gets one', async (_, id) => {
    const answer = answerOf(await messageOf([begin(0, call({ id, name: 'ls' }))]));
    expect(answer.parts).toEqual([
      { type: 'tool', callId: expect.stringMatching(/^call_[0-9a-f]{32}$/), name: 'ls', arguments: '{}' },
    ]);
    await expectSendable(answer);
  });

  test('with the longest id keeps it', async () => {
    const id = 'x'.repeat(MAX_ID_LENGTH);
    expect(callsOf(answerOf(await messageOf([begin(0, call({ id, name: 'ls' }))])))[0]?.callId).toBe(id);
  });

  test('with an id that another call has, also once it is sent, gets another', async () => {
    const ids = ['a.1', 'a.1', 'a_1', 'a-1'];
    const answer = answerOf(await messageOf(ids.map((id, index) => begin(index, call({ id, name: 'ls' })))));
    const calls = callsOf(answer).map((part) => part.callId);
    expect([calls[0], calls[3]]).toEqual(['a.1', 'a-1']);
    expect(new Set(calls.map((id) => id.replaceAll('.', '_'))).size).toBe(4);
    await expectSendable(answer);
  });

  test('without a name is a call of nothing, as in a chat completion', async () => {
    for (const name of [undefined, null, 3, {}]) {
      const events = await messageOf([begin(0, call({ id: 'c1', name }))]);
      expect(events.map((event) => event.type)).toEqual(['finished']);
      expect(callsOf(answerOf(events))).toMatchObject([{ callId: 'c1', name: '' }]);
      await expectSendable(answerOf(events));
    }
  });

  test('whose text is none is passed over, and what follows it is kept', async () => {
    const answer = answerOf(
      await messageOf([
        begin(0, { type: 'text' }),
        add(0, { type: 'text_delta' }),
        add(0, { type: 'text_delta', text: null }),
        begin(1, { type: 'text', text: 5 }),
        add(1, { type: 'text_delta', text: { a: 1 } }),
        begin(2, { type: 'thinking' }),
        add(2, { type: 'thinking_delta', thinking: 1 }),
        add(2, { type: 'signature_delta' }),
        begin(3, { type: 'redacted_thinking' }),
        begin(4, { type: 'text' }),
        add(4, { type: 'text_delta', text: 'ok' }),
      ]),
    );
    expect(answer.parts).toEqual([{ type: 'text', text: 'ok' }]);
  });

  test('without an index is the latest', async () => {
    const answer = answerOf(
      await messageOf([
        begin(undefined, { type: 'text', text: 'o' }),
        add(undefined, { type: 'text_delta', text: 'k' }),
        begin(null, call({ id: 'c1', name: 'ls' })),
        add(undefined, { type: 'input_json_delta', partial_json: '{"a":1}' }),
      ]),
    );
    expect(answer.parts).toEqual([
      { type: 'text', text: 'ok' },
      { type: 'tool', callId: 'c1', name: 'ls', arguments: '{"a":1}' },
    ]);
  });

  test('at an index that another had is another', async () => {
    const answer = answerOf(
      await messageOf([begin(0, { type: 'text', text: 'one' }), begin(0, call({ id: 'c1', name: 'ls' }))]),
    );
    expect(answer.parts.map((part) => part.type)).toEqual(['text', 'tool']);
  });

  test('that is no object is no answer', async () => {
    for (const block of [null, 'text', 5, []]) {
      expect(failureOf(await messageOf([begin(0, block)]))).toMatchObject({
        code: 'stream_cut',
        message: 'The stream of Provider anthropic held a block that is no object.',
      });
    }
  });

  test('whose arguments are nested too deep for JSON is no answer', async () => {
    let input: unknown = 1;
    for (let level = 0; level < 50_000; level += 1) input = [input];
    const events = await collectFrom(new AnthropicAnswer('m-1', 'messages '), [begin(0, call({ input }))]);
    expect(failureOf(events)).toMatchObject({ code: 'stream_cut' });
  });
});

async function collectFrom(collector: Collector<never>, chunks: readonly unknown[]): Promise<ModelEvent[]> {
  const events: ModelEvent[] = [];
  const stream = streamAnswer(
    {
      origin: { provider: 'env', model: 'm-1', endpoint: 'http://host.example' },
      timeouts: { firstTokenMs: 10_000, idleMs: 10_000 },
      collector,
      answerBytes: DEFAULT_ANSWER_BYTES,
      open: async () =>
        (async function* () {
          yield* chunks as never[];
        })(),
    },
    new AbortController().signal,
  );
  for await (const event of stream) events.push(event);
  return events;
}

const odd: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom(undefined, null, true, '', 0, -1, 1e300, 2 ** 53, '\0', '\uD83D', '\uDE00x'),
  },
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.jsonValue({ maxDepth: 3 }),
);
/** What belongs there, or anything else. */
const or = (...fitting: unknown[]) => fc.oneof(fc.constantFrom(...fitting), odd);
const index = fc.oneof({ weight: 3, arbitrary: fc.nat(2) }, odd);
const text = or('Hm. ', '🦫', '{"a":', '1}');

const blocks: fc.Arbitrary<unknown> = fc.oneof(
  fc.record({ type: fc.constant('text'), text }),
  fc.record({ type: fc.constant('thinking'), thinking: text, signature: or('proof') }),
  fc.record({ type: fc.constant('redacted_thinking'), data: or('ENC') }),
  fc.record({
    type: fc.constant('tool_use'),
    id: or('c1', 'c.1', 'c_1'),
    name: or('ls'),
    input: or({}, '{"a":1}'),
  }),
  fc.record({ type: or('text') }),
);
const deltas: fc.Arbitrary<unknown> = fc.oneof(
  fc.record({ type: fc.constant('text_delta'), text }),
  fc.record({ type: fc.constant('thinking_delta'), thinking: text }),
  fc.record({ type: fc.constant('signature_delta'), signature: or('proof') }),
  fc.record({ type: fc.constant('input_json_delta'), partial_json: text }),
  odd,
);
const messageEvents: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('content_block_start'), index, content_block: blocks }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('content_block_delta'), index, delta: deltas }) },
  fc.record({ type: fc.constant('content_block_start'), index, content_block: odd }),
  fc.record({ type: fc.constant('message_start'), message: or({ model: 5, usage: 'x' }) }),
  fc.record({
    type: fc.constant('message_delta'),
    delta: or({ stop_reason: 'tool_use' }),
    usage: or({ input_tokens: '9' }),
  }),
  odd,
);

const calls: fc.Arbitrary<unknown> = fc.record({
  index,
  id: or('c1', 'c.1', 'c_1'),
  function: fc.oneof(fc.record({ name: or('ls'), arguments: or('{"a":', '1}') }), odd),
});
const chatDeltas: fc.Arbitrary<unknown> = fc.record({
  content: fc.oneof(
    text,
    fc.array(fc.record({ type: or('text', 'thinking'), text, thinking: text }), { maxLength: 2 }),
  ),
  ...{ reasoning_content: or('Hm.'), reasoning: or('Hm.'), refusal: or('No.') },
  tool_calls: fc.oneof({ weight: 4, arbitrary: fc.array(calls, { maxLength: 3 }) }, odd),
});
const chunks: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      model: or('m-1'),
      choices: fc.tuple(fc.record({ delta: chatDeltas, finish_reason: or(null), usage: or({}) })),
      usage: or({ prompt_tokens: '9', prompt_tokens_details: 3 }),
    }),
  },
  fc.record({ choices: odd }),
  odd,
);

const ollamaPieces: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      model: or('m-1'),
      message: fc.record({
        ...{ content: text, thinking: text },
        tool_calls: fc.oneof({ weight: 4, arbitrary: fc.array(calls, { maxLength: 3 }) }, odd),
      }),
      done: or(false),
      ...{ done_reason: or('stop'), prompt_eval_count: or(9), eval_count: or('9') },
    }),
  },
  fc.record({ message: odd }),
  odd,
);

const ociCalls: fc.Arbitrary<unknown> = fc.record({
  ...{ id: or('c1', 'c.1', 'c_1'), name: or('ls'), arguments: or('{"a":', '1}') },
});
const ociChunks: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      message: fc.record({
        content: fc.oneof(
          fc.array(fc.record({ type: or('TEXT', 'THINKING'), text, thinking: text }), { maxLength: 2 }),
          odd,
        ),
        ...{ reasoningContent: or('Hm.'), refusal: or('No.') },
        toolCalls: fc.oneof({ weight: 4, arbitrary: fc.array(ociCalls, { maxLength: 3 }) }, odd),
      }),
      ...{ finishReason: or(null), usage: or({ promptTokens: '9', promptTokensDetails: 3 }) },
    }),
  },
  fc.record({ message: odd }),
  odd,
);

const parts = fc.array(
  fc.record({ type: or('output_text', 'refusal', 'summary_text'), text, refusal: text }),
  {
    maxLength: 2,
  },
);
const items: fc.Arbitrary<unknown> = fc.oneof(
  fc.record({ type: fc.constant('message'), content: fc.oneof(parts, odd), phase: or('commentary') }),
  fc.record({
    ...{ type: fc.constant('reasoning'), id: or('rs_1'), encrypted_content: or('ENC') },
    summary: fc.oneof(parts, odd),
  }),
  fc.record({
    ...{ type: fc.constant('function_call'), call_id: or('c1', 'c.1', 'c_1'), name: or('ls') },
    arguments: or('{"a":1}', {}),
  }),
  fc.record({ type: or('web_search_call') }),
);
const ITEM_EVENTS = ['response.output_item.added', 'response.output_item.done'] as const;
const DELTAS = ['output_text', 'refusal', 'reasoning_summary_text', 'function_call_arguments'] as const;
const responseEvents: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constantFrom(...ITEM_EVENTS), output_index: index, item: items }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      ...{ type: fc.constantFrom(...DELTAS.map((name) => `response.${name}.delta`)), delta: text },
      ...{ output_index: index, summary_index: index },
    }),
  },
  fc.record({ type: fc.constantFrom(...ITEM_EVENTS), output_index: index, item: odd }),
  fc.record({
    type: fc.constantFrom('response.completed', 'response.incomplete', 'response.created'),
    response: fc.oneof(
      fc.record({
        ...{ model: or('m-2'), output: fc.oneof(fc.array(items, { maxLength: 3 }), odd) },
        ...{ usage: or({ input_tokens: '9' }), incomplete_details: or({ reason: 'max_output_tokens' }) },
      }),
      odd,
    ),
  }),
  odd,
);

function expectStorable(answer: ModelAnswer): void {
  const ids = new Set<string>();
  for (const part of answer.parts) {
    expect(Object.values(part).every((value) => typeof value === 'string')).toBe(true);
    if (part.type !== 'tool') continue;
    expect(part.callId).toMatch(/^[!-~]+$/);
    ids.add(part.callId.replaceAll('.', '_'));
  }
  expect(ids.size).toBe(answer.parts.filter((part) => part.type === 'tool').length);
  expect(typeof answer.model).toBe('string');
  for (const count of Object.values(answer.usage)) expect(count).toSatisfy(Number.isInteger);
}

describe.each([
  {
    ...{ name: 'messages', events: messageEvents, ends: [{ type: 'message_stop' }] },
    create: () => new AnthropicAnswer('m-1', 'messages '),
  },
  {
    ...{
      name: 'chat completions',
      events: chunks,
      ends: [{ choices: [{ delta: {}, finish_reason: 'stop' }] }],
    },
    create: () => new ChatAnswer('m-1', 'chat '),
  },
  {
    ...{ name: 'lines of Ollama', events: ollamaPieces, ends: [{ done: true, done_reason: 'stop' }] },
    create: () => new OllamaAnswer('m-1'),
  },
  {
    ...{ name: 'messages of Oracle’s cloud', events: ociChunks, ends: [{ finishReason: 'stop' }] },
    create: () => new OciMessageAnswer('m-1', 'oci '),
  },
  {
    ...{ name: 'responses', events: responseEvents, ends: [{ type: 'response.completed', response: {} }] },
    create: () => new OpenAiAnswer('m-1', 'responses '),
  },
])('of whatever comes as $name', ({ events: pieces, ends, create }) => {
  const list = fc.array(pieces, { maxLength: 12 });

  test('is made an answer that can be stored, or one failure', async () => {
    await fc.assert(
      fc.asyncProperty(list, async (given) => {
        const events = await collectFrom(create() as Collector<never>, [...given, ...ends]);
        for (const event of events) if ('delta' in event) expect(typeof event.delta).toBe('string');
        const isWhole = events.at(-1)?.type === 'finished';
        if (isWhole) expectStorable(answerOf(events));
        else expect(failureOf(events)).toMatchObject({ kind: 'retryable' });
      }),
      { numRuns: 500 },
    );
  });

  test('can be sent back', async () => {
    const servers = await Promise.all(kinds.map(() => serve(() => say('ok'))));
    const models = kinds.map((each, at) => kitOf(each).modelAt(servers[at] as { url: string }));
    await fc.assert(
      fc.asyncProperty(list, async (given) => {
        const last = (await collectFrom(create() as Collector<never>, [...given, ...ends])).at(-1);
        if (last?.type !== 'finished') return;
        const messages = after(last.answer);
        for (const model of models) answerOf(await collect(model, requestOf({ messages })));
      }),
      { numRuns: 40 },
    );
  });
});

test('an error whose words are none is still one failure', async () => {
  let deep: unknown = 1;
  for (let level = 0; level < 20_000; level += 1) deep = [deep];
  for (const code of [deep, { toString: 1, valueOf: 1 }, true, null, '__proto__']) {
    for (const each of kinds) {
      const frame = each.errorFrame(nestedJson({ code, type: code, message: code }));
      const { events } = await kitOf(each).answerTo(() => raw(eventStream(frame, each.contentType)));
      // The SDKs of OpenAI and Anthropic write it anew, and cannot.
      const isLost = code === deep && !['ollama', 'oci'].includes(each.kind);
      expect(failureOf(events).code).toBe(isLost ? 'model_bug' : 'provider_unavailable');
    }
  }
});

/** `{"error": …}`, also where it is nested too deep for `JSON.stringify`. */
function nestedJson(error: Fields): string {
  const json = (value: unknown) =>
    Array.isArray(value) ? `${'['.repeat(20_000)}1${']'.repeat(20_000)}` : JSON.stringify(value);
  const inner = Object.entries(error).map(([key, value]) => `"${key}":${json(value)}`);
  return `{"type":"error","error":{${inner.join(',')}}}`;
}

test('a text that grows is known for JSON whenever it is, and never else', () => {
  const isJson = (text: string) => {
    try {
      return [JSON.parse(text)].length === 1;
    } catch {
      return false;
    }
  };
  const token = fc.constantFrom(...['{', '}', '[', ']', '"', '\\', ':', ',', ' ', '"a"', '{}', '1', 'null']);
  const pieces = fc.oneof(
    fc.array(token, { maxLength: 12 }),
    fc.json().map((text) => text.split('')),
  );
  fc.assert(
    fc.property(pieces, fc.nat(3), (given, every) => {
      const growing = new GrowingJson();
      given.forEach((piece, n) => {
        growing.add(piece);
        if (n % (every + 1) > 0) return;
        const isBareAndLong = /^\s*[^\s{["]/.test(growing.text) && growing.text.length > 32;
        expect(growing.isWhole()).toBe(!isBareAndLong && isJson(growing.text));
      });
    }),
    { numRuns: 2_000 },
  );
});
