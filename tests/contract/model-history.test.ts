import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messagesOf } from '../../src/core/context.ts';
import type { Entry, NewEntry, Part } from '../../src/core/entry.ts';
import { sealOf } from '../../src/model/history.ts';
import type { Model } from '../../src/model/model.ts';
import { say } from '../support/scripted-model/scripted-model.ts';
import { answerOf, collect, kitOf, requestOf, serve } from './model-harness.ts';
import { kinds } from './model-kinds.ts';

/** A log, whoever wrote it and wherever it broke off, gives a request that each real API accepts. */
const words = fc.constantFrom('', ' \n', 'Hm.', 'x \ud800 y', '\u0000', '🙂');
const callId = fc.constantFrom(
  ...[
    'call_0',
    'call_1',
    'functions.bash:0',
    'functions_bash_0',
    'c',
    'c'.repeat(64),
    'c'.repeat(700),
    'é',
    'call_0_2',
  ],
);
const toolArguments = fc.constantFrom(
  '{}',
  '',
  '{"a":',
  '[1]',
  'null',
  '"x"',
  '{"a":"\\ud800"}',
  '[['.repeat(900),
);

/** `seal`: how what the provider itself signed begins. */
const partOf = (seal: string): fc.Arbitrary<Part> =>
  fc.oneof(
    words.map((text): Part => ({ type: 'text', text })),
    fc.record({ text: words, signature: signatureOf(seal) }).map(
      ({ text, signature: proof }): Part => ({
        ...{ type: 'reasoning', text },
        ...(proof === undefined ? {} : { signature: proof }),
      }),
    ),
    fc
      .record({
        callId,
        name: fc.constantFrom('bash', '', 'no such tool!', 'n'.repeat(90)),
        arguments: toolArguments,
      })
      .map((call): Part => ({ type: 'tool', ...call })),
  );
const signatureOf = (seal: string) =>
  fc.constantFrom(undefined, '', 'reasoning_content', 'messages other@else x', `${seal}reasoning_content`);
const said = words.map((text) => [{ type: 'text' as const, text }]);
const entryOf = (seal: string): fc.Arbitrary<NewEntry> =>
  fc.oneof(
    fc
      .array(partOf(seal), { maxLength: 4 })
      .map((parts): NewEntry => ({ kind: 'assistant', parts, stopReason: 'length' })),
    fc.record({ parts: said, id: callId }).map(
      ({ parts, id }): NewEntry => ({
        ...{ kind: 'tool_result', callId: id, status: 'failed', parts },
      }),
    ),
    said.map((parts): NewEntry => ({ kind: 'user', parts })),
    said.map((parts): NewEntry => ({ kind: 'notice', parts })),
  );

const logsOf = (seal: string) =>
  fc.array(entryOf(seal), { maxLength: 12 }).map((entries) => {
    const first: NewEntry = { kind: 'user', parts: [{ type: 'text', text: 'Go.' }] };
    const last: NewEntry = { kind: 'user', parts: [{ type: 'text', text: 'And?' }] };
    return [first, ...entries, last].map((each, index) => ({ ...each, position: index + 1 }) as Entry);
  });

/** What a random log has once in a thousand. */
const blankResult: Entry[] = [
  { kind: 'user', parts: [{ type: 'text', text: 'Go.' }], position: 1 },
  {
    ...{ kind: 'assistant', stopReason: 'tool_calls', position: 2 },
    parts: [{ type: 'tool', callId: 'call_1', name: 'bash', arguments: '{}' }],
  },
  {
    ...{ kind: 'tool_result', callId: 'call_1', status: 'failed', position: 3 },
    parts: [{ type: 'text', text: ' \n' }],
  },
  { kind: 'user', parts: [{ type: 'text', text: 'And?' }], position: 4 },
];

const SEALED: Readonly<Record<string, string>> = { anthropic: 'messages', env: 'chat' };
/** Where the two sides take turns, as the templates of many models want it. */
const turnsOf = ({ messages = [] }: { readonly messages?: readonly { readonly role: string }[] }) =>
  messages.map(({ role }) => role);

describe.each(kinds)('$provider', (each) => {
  test('accepts whatever log there is, written at once or bit by bit', { timeout: 60_000 }, async () => {
    const server = await serve(() => say('ok'));
    const { modelAt, provider } = kitOf(each);
    const seal = sealOf(SEALED[provider] ?? 'none', { provider, endpoint: server.url });
    await fc.assert(
      fc.asyncProperty(logsOf(seal), fc.nat({ max: 13 }), async (log, cut) => {
        // Else whatever is tried after a refusal, to make it smaller, fails too.
        const before = server.refusals.length;
        const bitByBit = modelAt(server);
        const toldBy = async (model: Model, entries: readonly Entry[]) => {
          answerOf(await collect(model, requestOf({ messages: messagesOf(entries) })));
          return server.requests.at(-1)?.body;
        };
        await toldBy(bitByBit, log.slice(0, 1 + cut));
        const body = await toldBy(bitByBit, log);
        expect(server.refusals.slice(before).map(({ message }) => message)).toEqual([]);
        expect(await toldBy(modelAt(server), log)).toEqual(body);
        const sides = turnsOf(body);
        for (const [at, side] of sides.entries())
          if (side !== 'tool' && sides[at + 1] === side)
            expect(`${at}: ${side}, ${side}`).toBe('taking turns');
      }),
      { numRuns: Number(process.env.RUNS ?? 15), examples: [[blankResult, 0]] },
    );
  });
});
