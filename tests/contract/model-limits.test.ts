import { once } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { ChatAnswer, type Chunk } from '../../src/model/chat-answer.ts';
import { DEFAULT_ANSWER_BYTES, type ModelOptions } from '../../src/model/connection.ts';
import type { ModelMessage } from '../../src/model/model.ts';
import { streamAnswer } from '../../src/model/stream.ts';
import { MAX_CALLS, ToolCallDrafts } from '../../src/model/tool-calls.ts';
import { raw, say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, eventStream, failureOf, kitOf, requestOf, serve } from './model-harness.ts';
import type { Fields } from './model-kind.ts';
import { chat, kinds } from './model-kinds.ts';

/** What is too large for the store or for the stack costs neither the answer nor the requests after it. */
const MOST = 2_147_483_647;
/** What an answer's beginning holds. */
const HEAD_BYTES = 'id'.length + 'ls'.length;

/** An object of this many levels as JSON: lists in an object, with brackets in a string that count for nothing. */
function nested(levels: number): string {
  return `{"a\\"[[{":${'['.repeat(levels - 1)}"]}\\\\"${']'.repeat(levels - 1)}}`;
}

describe.each(kinds)('$provider', (each) => {
  const { provider, answerTo } = kitOf(each);

  test('a count of tokens is kept up to what the store holds, and is that beyond', async () => {
    for (const count of [MOST - 1, MOST, MOST + 1, 1e300]) {
      const body = each.frames(each.pieces.counted(count));
      const { events } = await answerTo(() => raw(eventStream(body, each.contentType)));
      const { usage } = answerOf(events);
      expect([usage.input, usage.output]).toEqual([Math.min(count, MOST), Math.min(count, MOST)]);
    }
  });

  async function sentArguments(text: string): Promise<unknown> {
    const messages: ModelMessage[] = [
      { role: 'user', text: 'Hello' },
      { role: 'assistant', parts: [{ type: 'tool', callId: 'c1', name: 'bash', arguments: text }] },
      { role: 'tool', callId: 'c1', text: 'no', isError: true },
    ];
    const { server, events } = await answerTo(() => say('ok'), requestOf({ messages }));
    answerOf(events);
    return each.argumentsIn(server.requests[0]?.body);
  }

  test('arguments of 500 levels are sent as they are, deeper ones as text', async () => {
    expect(await sentArguments(nested(500))).toEqual(JSON.parse(nested(500)));
    for (const levels of [501, 20_000]) {
      expect(await sentArguments(nested(levels))).toEqual({ invalid_json: nested(levels) });
    }
  });

  test('arguments with a string of a megabyte are sent as they are', async () => {
    const text = JSON.stringify({ text: '[\\"'.repeat(350_000) });
    expect(await sentArguments(text)).toEqual(JSON.parse(text));
  });

  test('a request that cannot be built is not called an answer', async () => {
    let deep: Record<string, unknown> = {};
    for (let level = 0; level < 20_000; level += 1) deep = { deep };
    const tools = [{ name: 'deep', description: 'Deep', parameters: deep }];
    const { server, events } = await answerTo(() => say('ok'), requestOf({ tools }));
    const failure = failureOf(events);
    expect(failure).toMatchObject({ kind: 'bug', code: 'model_bug' });
    expect(failure.message).toContain(`The request to Provider ${provider} could not be built: `);
    expect(server.requests).toHaveLength(0);
  });
});

describe.each(kinds)('an answer of $provider that does not end', (each) => {
  const { provider, modelAt } = kitOf(each);
  const MIB = 1024 * 1024;
  const { head, tail, ...pieces } = each.pieces;

  const oneCall = (at: number) => pieces.call(at, `id_${at}`, `tool_${at}`, { a: 1 });

  async function eventsOf(body: readonly Fields[], options: Partial<ModelOptions> = {}) {
    const server = await serve(() =>
      raw(eventStream(each.frames([...head, ...body, ...tail]), each.contentType)),
    );
    return collect(modelAt(server, { answerBytes: MIB, ...options }));
  }

  test.each(['text', 'reasoning', 'arguments'] as const)(
    'is read up to its limit of %s, and fails one byte later',
    async (kind) => {
      // Two bytes each, beside those of the call.
      const rest = 'é'.repeat((MIB - HEAD_BYTES) / 2 - 10);
      const make = pieces[kind];
      answerOf(await eventsOf([make(rest), make('x'.repeat(20))]));
      const events = await eventsOf([make(rest), make('x'.repeat(21))]);
      expect(failureOf(events)).toEqual({
        kind: 'terminal',
        code: 'answer_too_long',
        message:
          `Provider ${provider} went on answering beyond 1 MiB (CAPYBARA_MODEL_ANSWER_MIB): ` +
          'set --max-tokens, or ask for less at once.',
        mayHaveCost: true,
      });
    },
  );

  test('is 16 MiB long at most where nothing else is said', async () => {
    const make = pieces.text;
    const most = Array(16).fill(make('x'.repeat(MIB - 1)));
    answerOf(await eventsOf(most, { answerBytes: DEFAULT_ANSWER_BYTES }));
    const events = await eventsOf([...most, make('x'.repeat(MIB))], { answerBytes: DEFAULT_ANSWER_BYTES });
    expect(failureOf(events).message).toContain('beyond 16 MiB');
  });

  test.each([
    ['pieces of nothing', each.frames(Array(500).fill(pieces.nothing))],
    ['a line without an end', `data: ${'x'.repeat(10_000)}`],
    ['what keeps a connection alive', each.keepAlive.repeat(10_000)],
    ['calls', ''],
  ])('is closed where it is %s', async (_, piece) => {
    const closed = Promise.withResolvers<void>();
    let calls = 0;
    const server = await serve(() =>
      raw(async (response) => {
        response.writeHead(200, { 'content-type': each.contentType });
        response.on('close', closed.resolve);
        while (!response.destroyed) {
          calls += 1;
          const written = response.write(piece || each.frames([oneCall(calls)]));
          if (!written) await Promise.race([once(response, 'drain'), closed.promise]);
        }
      }),
    );
    const events = await collect(modelAt(server, { answerBytes: 100_000 }));
    expect(failureOf(events).code).toBe('answer_too_long');
    await closed.promise;
  });

  test('as an error, or as blank JSON, is read no further than it can be told', async () => {
    for (const [status, type, piece] of [
      [500, 'text/plain', 'x'.repeat(10_000)],
      [200, 'application/json', ' '.repeat(10_000)],
    ] as const) {
      const closed = Promise.withResolvers<void>();
      const server = await serve(() =>
        raw(async (response) => {
          response.writeHead(status, { 'content-type': type });
          response.on('close', closed.resolve);
          while (!response.destroyed)
            if (!response.write(piece)) await Promise.race([once(response, 'drain'), closed.promise]);
        }),
      );
      failureOf(await collect(modelAt(server)));
      await closed.promise;
    }
  });

  test('holds 128 calls; those beyond are left out, with what belongs to them', async () => {
    const ask = (count: number) => Array.from({ length: count }, (_, at) => oneCall(at + 10));
    // One is in the beginning already.
    for (const [asked, taken] of [
      [MAX_CALLS - 2, MAX_CALLS - 1],
      [MAX_CALLS - 1, MAX_CALLS],
      [MAX_CALLS + 5, MAX_CALLS],
    ] as const) {
      const events = await eventsOf(ask(asked));
      const { parts, stopReason } = answerOf(events);
      const calls = parts.filter((part) => part.type === 'tool');
      expect([calls.length, stopReason]).toEqual([taken, 'tool_calls']);
      expect(calls.at(-1)).toMatchObject({ name: `tool_${taken + 8}`, arguments: '{"a":1}' });
      expect(events.filter((event) => event.type === 'tool')).toHaveLength(taken);
    }
  });
});

test('an id and a name that are repeated with every piece of a call count once', async () => {
  const repeated = {
    index: 0,
    id: 'i'.repeat(50),
    function: { name: 'n'.repeat(50), arguments: ' '.repeat(99) },
  };
  const calls = Array(1_000).fill({ choices: [{ index: 0, delta: { tool_calls: [repeated] } }] });
  const answerBytes = 100_000;
  const server = await serve(() => raw(eventStream(chat.frames([...calls, ...chat.pieces.tail]))));
  answerOf(await collect(kitOf(chat).modelAt(server, { answerBytes })));
});

test('arguments are parsed once, however often their name is repeated', () => {
  for (const [first, piece] of [
    ['{"content":"', 'ab"cd}ef '],
    ['{]', '{]'],
    ['{"a":[', '1],"b":[[],'],
  ] as const) {
    const drafts = new ToolCallDrafts();
    const parse = vi.spyOn(JSON, 'parse');
    for (let n = 0; n < 2_000; n += 1)
      drafts.take({ index: 0, function: { name: 'bash', arguments: n === 0 ? first : piece } });
    const parsed = parse.mock.calls.filter(([text]) => text.length > 100);
    parse.mockRestore();
    expect(parsed.length).toBeLessThanOrEqual(1);
    expect(drafts.parts()).toHaveLength(1);
  }
});

test.each(kinds)('a status that no standard knows is that of $provider, no bug', async (each) => {
  const { events } = await kitOf(each).answerTo(() =>
    raw((response) => void response.writeHead(999).end('no')),
  );
  expect(failureOf(events)).toMatchObject({ kind: 'retryable', code: 'provider_unavailable' });
});

test('an answer that does not grow ends, whatever keeps its connection alive; a slow one does not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const endOf = async (piece: string) => {
    const collector = new ChatAnswer('m-1', '');
    async function* chunks(abort: AbortSignal, onBytes: (bytes: number) => void): AsyncGenerator<Chunk> {
      for (let n = 0; n < 40; n += 1) {
        await vi.advanceTimersByTimeAsync(500);
        onBytes(1);
        abort.throwIfAborted();
        yield { choices: [{ delta: { content: n % 10 === 0 ? piece : '' } }] } as Chunk;
      }
      yield { choices: [{ delta: {}, finish_reason: 'stop' }] } as unknown as Chunk;
    }
    const timeouts = { firstTokenMs: 1_000, idleMs: 1_000 };
    const origin = { provider: 'env', model: 'm-1', endpoint: 'http://host.example' };
    const open = async (abort: AbortSignal, onBytes: (bytes: number) => void) => chunks(abort, onBytes);
    const call = { origin, timeouts, answerBytes: 1_000, collector, open };
    const { signal } = new AbortController();
    return (await Array.fromAsync(streamAnswer<Chunk>(call, signal))).at(-1);
  };
  try {
    expect(await endOf('x')).toMatchObject({ type: 'finished' });
    expect(await endOf('')).toMatchObject({
      failure: {
        ...{ kind: 'retryable', code: 'provider_timeout', mayHaveCost: true },
        message: 'Provider env kept the connection open and said nothing more for 10 s.',
      },
    });
  } finally {
    vi.useRealTimers();
  }
});
