import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messagesOf } from '../../src/core/context.ts';
import type { Entry, NewEntry, Part } from '../../src/core/entry.ts';
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
const signature = fc.constantFrom(
  ...[undefined, '', 'reasoning_content', 'messages other@else ', 'chat env@127.0.0.1:1 reasoning_content'],
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

const part: fc.Arbitrary<Part> = fc.oneof(
  words.map((text): Part => ({ type: 'text', text })),
  fc.record({ text: words, signature }).map(
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
const said = words.map((text) => [{ type: 'text' as const, text }]);
const entry: fc.Arbitrary<NewEntry> = fc.oneof(
  fc
    .array(part, { maxLength: 4 })
    .map((parts): NewEntry => ({ kind: 'assistant', parts, stopReason: 'length' })),
  fc.record({ parts: said, id: callId }).map(
    ({ parts, id }): NewEntry => ({
      ...{ kind: 'tool_result', callId: id, status: 'failed', parts },
    }),
  ),
  said.map((parts): NewEntry => ({ kind: 'user', parts })),
  said.map((parts): NewEntry => ({ kind: 'notice', parts })),
);

const logs = fc.array(entry, { maxLength: 12 }).map((entries) => {
  const first: NewEntry = { kind: 'user', parts: [{ type: 'text', text: 'Go.' }] };
  const last: NewEntry = { kind: 'user', parts: [{ type: 'text', text: 'And?' }] };
  return [first, ...entries, last].map((each, index) => ({ ...each, position: index + 1 }) as Entry);
});

describe.each(kinds)('$provider', (each) => {
  test('accepts whatever log there is', { timeout: 60_000 }, async () => {
    const server = await serve(() => say('ok'));
    const model = kitOf(each).modelAt(server);
    await fc.assert(
      fc.asyncProperty(logs, async (log) => {
        const events = await collect(model, requestOf({ messages: messagesOf(log) }));
        expect(server.refusals.map(({ message }) => message)).toEqual([]);
        answerOf(events);
      }),
      { numRuns: Number(process.env.RUNS ?? 25) },
    );
  });
});
