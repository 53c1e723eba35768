import { describe, expect, test } from 'vitest';
import type { ModelAnswer, ModelMessage } from '../../src/model/model.ts';
import { call, error, raw, say, stop, think } from '../support/scripted-model/scripted-model.ts';
import {
  answerOf,
  collect,
  eventStream,
  failureOf,
  kitOf,
  requestOf,
  serve,
  textIn,
} from './model-harness.ts';
import { type Fields, sseFrames } from './model-kind.ts';
import { openai } from './model-kinds.ts';

/** What the Responses API alone has. */
const { modelAt, answerTo } = kitOf(openai);

const hello = { role: 'user' as const, text: 'Hello' };

async function eventsOf(events: readonly Fields[]) {
  return (await answerTo(() => raw(eventStream(sseFrames(events))))).events;
}

const added = (output_index: number, item: Fields) => ({
  ...{ type: 'response.output_item.added', output_index, item },
});
const done = (output_index: number, item: Fields) => ({
  ...{ type: 'response.output_item.done', output_index, item },
});
const ended = (response: Fields = {}, type = 'completed') => ({ type: `response.${type}`, response });
const message = (text: string, more: Fields = {}): Fields => ({
  ...{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text }], ...more },
});
const reasoning = (id: string, ...summary: string[]): Fields => ({
  ...{ type: 'reasoning', id, encrypted_content: `ENC-${id}` },
  summary: summary.map((text) => ({ type: 'summary_text', text })),
});
const called = (call_id: unknown, args: unknown = '{}'): Fields => ({
  ...{ type: 'function_call', id: `fc_${call_id}`, call_id, name: 'ls', arguments: args },
});

function resultsOf({ parts }: ModelAnswer): ModelMessage[] {
  return parts.flatMap((part): ModelMessage[] =>
    part.type === 'tool' ? [{ role: 'tool', callId: part.callId, text: 'ok', isError: false }] : [],
  );
}

/** The items that go back of an answer to the server that gave it. */
async function sentBack(events: readonly Fields[]): Promise<Fields[]> {
  const body = sseFrames(events);
  const server = await serve(({ answers, number }) =>
    number === 1 && answers === 0 ? raw(eventStream(body)) : say('ok'),
  );
  const answer = answerOf(await collect(modelAt(server)));
  const messages: ModelMessage[] = [
    hello,
    { role: 'assistant', parts: answer.parts },
    ...resultsOf(answer),
    { role: 'user', text: 'Go on' },
  ];
  answerOf(await collect(modelAt(server), requestOf({ messages })));
  expect(server.refusals).toEqual([]);
  return server.requests[1]?.body.input.slice(1, -1);
}

test('a request leaves nothing at the server, and asks for reasoning that can be sent back', async () => {
  const tools = [{ name: 'ls', description: 'Lists.', parameters: { type: 'object' } }];
  const { server } = await answerTo(() => say('ok'), requestOf({ tools }));
  expect(server.requests[0]?.body).toEqual({
    model: 'm-1',
    instructions: 'You are a test.',
    tools: [{ type: 'function', ...tools[0], strict: false }],
    include: ['reasoning.encrypted_content'],
    prompt_cache_key: 'ses_1',
    store: false,
    stream: true,
    input: [{ role: 'user', content: 'Hello' }],
  });
});

test('a model that reasons gets no temperature at OpenAI, and an older one is not asked for reasoning', async () => {
  const server = await serve(() => say('ok'));
  const ask = async (model: string, temperature?: boolean) => {
    const settings = temperature === undefined ? {} : { temperature };
    answerOf(await collect(modelAt(server, { model, settings }), requestOf({ temperature: 0 })));
    return server.requests.at(-1)?.body;
  };
  expect(await ask('m-1')).toMatchObject({ temperature: 0 });
  expect(await ask('gpt-5.5', false)).not.toHaveProperty('temperature');
  expect(await ask('gpt-4.1')).not.toHaveProperty('include');
});

describe('reasoning', () => {
  test('goes back as it came, before the call that it led to', async () => {
    const first = reasoning('rs_1', 'Hm.', 'And\n\nso.');
    const second = reasoning('rs_2');
    const input = await sentBack([
      added(0, { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'half' }),
      { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: 0, delta: 'Hm.' },
      {
        type: 'response.reasoning_summary_text.delta',
        output_index: 0,
        summary_index: 1,
        delta: 'And\n\nso.',
      },
      done(0, first),
      done(1, called('c1')),
      done(2, second),
      done(3, called('c2', '{"a":1}')),
      ended(),
    ]);
    expect(input).toEqual([
      first,
      { type: 'function_call', call_id: 'c1', name: 'ls', arguments: '{}' },
      second,
      { type: 'function_call', call_id: 'c2', name: 'ls', arguments: '{"a":1}' },
      { type: 'function_call_output', call_id: 'c1', output: 'ok' },
      { type: 'function_call_output', call_id: 'c2', output: 'ok' },
    ]);
  });

  test('streams its summary with a blank line between the parts', async () => {
    const events = await eventsOf([
      added(0, { type: 'reasoning', id: 'rs_1', summary: [] }),
      { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: 0, delta: 'Hm' },
      { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: 0, delta: '.' },
      { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index: 1, delta: 'So.' },
      ended(),
    ]);
    expect(textIn(events, 'reasoning')).toBe('Hm.\n\nSo.');
    // Nothing that could be sent back came with it.
    expect(answerOf(events).parts).toEqual([{ type: 'reasoning', text: 'Hm.\n\nSo.' }]);
  });

  test('that led to nothing, of an answer that was cut, stays here', async () => {
    const cut = ended({ incomplete_details: { reason: 'max_output_tokens' } }, 'incomplete');
    expect(await sentBack([done(0, message('Well.')), done(1, reasoning('rs_1')), cut])).toEqual([
      { role: 'assistant', content: 'Well.' },
    ]);
    expect(await sentBack([done(0, reasoning('rs_1')), done(1, message('  ')), cut])).toEqual([]);
  });

  test('and the phase of each message go back with it', async () => {
    const input = await sentBack([
      done(0, message('I look.', { phase: 'commentary' })),
      done(1, reasoning('rs_1')),
      done(2, message('Done.', { phase: 'final_answer' })),
      ended(),
    ]);
    expect(input).toEqual([
      { role: 'assistant', content: 'I look.', phase: 'commentary' },
      reasoning('rs_1'),
      { role: 'assistant', content: 'Done.', phase: 'final_answer' },
    ]);
  });
});

describe('an answer', () => {
  test('of which only whole items came, or only the end, is whole', async () => {
    const items = [reasoning('rs_1', 'Hm.'), message('ok'), called('c1')];
    const usage = {
      ...{ input_tokens: 10, input_tokens_details: { cached_tokens: 4 } },
      ...{ output_tokens: 5, output_tokens_details: { reasoning_tokens: 2 } },
    };
    const end = { model: 'm-2', usage };
    const told = await eventsOf([...items.map((item, at) => done(at, item)), ended(end)]);
    const nameless = await eventsOf([
      ...items.map((item) => ({ type: 'response.output_item.done', item })),
      ended(end),
    ]);
    const atEnd = await eventsOf([ended({ ...end, output: items })]);
    for (const events of [told, nameless, atEnd]) {
      expect(textIn(events, 'text')).toBe('ok');
      expect(answerOf(events)).toMatchObject({
        parts: [{ type: 'reasoning', text: 'Hm.' }, { text: 'ok' }, { callId: 'c1' }],
        ...{ stopReason: 'tool_calls', model: 'm-2' },
        usage: { input: 10, output: 5, cached: 4, reasoning: 2 },
      });
    }
  });

  test.each([
    ['max_output_tokens', 'length'],
    ['content_filter', 'refusal'],
    ['a word of tomorrow', 'length'],
  ])('that is incomplete for %s ended as %s', async (reason, expected) => {
    const end = ended({ incomplete_details: { reason } }, 'incomplete');
    const answer = answerOf(await eventsOf([done(0, message('Half')), end]));
    expect(answer).toMatchObject({ parts: [{ text: 'Half' }], stopReason: expected });
  });

  test('that was cut in the middle of a call keeps what came of it', async () => {
    const { events } = await answerTo(() => [call('ls', '{"pa'), stop('length')]);
    const answer = answerOf(events);
    expect(answer).toMatchObject({ parts: [{ name: 'ls', arguments: '{"pa' }], stopReason: 'length' });
  });

  test('that refuses says so in words, streamed or whole', async () => {
    const streamed = await eventsOf([
      added(0, { type: 'message', content: [] }),
      { type: 'response.refusal.delta', output_index: 0, delta: 'I will ' },
      { type: 'response.refusal.delta', output_index: 0, delta: 'not.' },
      ended(),
    ]);
    const content = [{ type: 'refusal', refusal: 'I will not.' }];
    for (const events of [streamed, await eventsOf([done(0, { type: 'message', content }), ended()])]) {
      expect(textIn(events, 'text')).toBe('I will not.');
      expect(answerOf(events)).toMatchObject({ parts: [{ text: 'I will not.' }], stopReason: 'refusal' });
    }
  });

  test('of nothing is empty, and no failure', async () => {
    expect(answerOf(await eventsOf([ended({ output: [] })]))).toMatchObject({
      parts: [],
      stopReason: 'stop',
    });
  });

  test('with ids of calls that are doubled or none has one for each', async () => {
    const ids = ['same', 'same', '', undefined, 7];
    const answer = answerOf(await eventsOf([...ids.map((id, at) => done(at, called(id))), ended()]));
    const calls = answer.parts.flatMap((part) => (part.type === 'tool' ? [part.callId] : []));
    expect(calls[0]).toBe('same');
    expect(new Set(calls).size).toBe(ids.length);
  });

  test('keeps arguments that are no JSON as the model wrote them, and sends them back as an object', async () => {
    const input = await sentBack([done(0, called('c1', 'not json')), ended()]);
    expect(input[0]).toMatchObject({ arguments: '{"invalid_json":"not json"}' });
  });
});

describe('a failure', () => {
  test.each([
    [{ code: 'server_error', message: 'Oh.' }, 'retryable', 'provider_unavailable'],
    [{ code: 'rate_limit_exceeded', message: 'Slow.' }, 'retryable', 'rate_limited'],
    [{ code: 'insufficient_quota', message: 'Pay.' }, 'terminal', 'provider_quota'],
    [{ code: 'context_length_exceeded', message: 'Long.' }, 'terminal', 'context_overflow'],
    [{ code: 'invalid_prompt', message: 'No.' }, 'terminal', 'bad_request'],
    [{ code: 'image_parse_error', message: 'No image.' }, 'terminal', 'bad_request'],
    [{ code: 'a word of tomorrow', message: 'Hm.' }, 'retryable', 'provider_unavailable'],
    [null, 'retryable', 'provider_unavailable'],
  ])('%j is %s: %s, whether the response or the stream failed', async (said, kind, code) => {
    const failed = ended({ status: 'failed', error: said }, 'failed');
    const streams = [
      failed,
      ...(said === null
        ? []
        : [
            { type: 'error', ...said },
            { type: 'error', error: said },
          ]),
    ];
    for (const event of streams) {
      const failure = failureOf(await eventsOf([done(0, message('Half')), event]));
      expect(failure).toMatchObject({ kind, code, mayHaveCost: true });
      if (said !== null) expect(failure.message).toContain(said.message.replace('.', ''));
    }
  });

  test('of a request says what the server said', async () => {
    const message = "Unsupported parameter: 'temperature' is not supported with this model.";
    const { events } = await answerTo(() => error(400, { message }));
    expect(failureOf(events)).toMatchObject({ code: 'bad_request' });
    expect(failureOf(events).message).toContain("Unsupported parameter: 'temperature'");
  });

  test('an item that is no object is no answer', async () => {
    for (const item of [null, 'text', 5, []]) {
      const failure = failureOf(
        await eventsOf([{ type: 'response.output_item.done', output_index: 0, item }]),
      );
      expect(failure.message).toBe('The stream of Provider openai held an item that is no object.');
    }
  });
});

test('a conversation that grows begins with the same bytes at every turn', async () => {
  const server = await serve(({ answers }) => [think('Hm.', `proof-${answers}`), call('ls', { answers })]);
  const messages: ModelMessage[] = [hello];
  for (let turn = 0; turn < 5; turn += 1) {
    const answer = answerOf(await collect(modelAt(server), requestOf({ messages: [...messages] })));
    messages.push({ role: 'assistant', parts: answer.parts }, ...resultsOf(answer));
  }
  const bodies = server.requests.map(({ body }) => JSON.stringify(body).slice(0, -']}'.length));
  bodies.slice(1).forEach((body, at) => {
    expect(body.startsWith(bodies[at] as string)).toBe(true);
  });
  expect(bodies.at(-1)).toContain('proof-3');
});
