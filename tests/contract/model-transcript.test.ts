import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messagesOf } from '../../src/core/context.ts';
import type { Entry, NewEntry, Part } from '../../src/core/entry.ts';
import { type Round, roundsOf } from '../../src/model/history.ts';
import { Transcript } from '../../src/model/transcript.ts';

const wire = (round: Round) => (round.role === 'user' && round.texts.includes('left out') ? [] : [round]);

const text = fc.constantFrom('a', '', 'left out', '"quoted"', '\u2028');
const textParts = fc.array(fc.record({ type: fc.constant('text' as const), text }), { maxLength: 2 });
const callIds = ['one', 'two'];
const toolPart = fc.record({
  type: fc.constant('tool' as const),
  callId: fc.constantFrom(...callIds),
  name: fc.constant('look'),
  arguments: fc.constant('{}'),
});
const entry: fc.Arbitrary<NewEntry> = fc.oneof(
  fc.record({ kind: fc.constantFrom('user' as const, 'notice' as const), parts: textParts }),
  fc.record({
    kind: fc.constant('assistant' as const),
    parts: fc.array(
      fc.oneof(
        toolPart as fc.Arbitrary<Part>,
        textParts.map(([part]): Part => part ?? { type: 'text', text: 'b' }),
      ),
      {
        maxLength: 3,
      },
    ),
    stopReason: fc.constant('stop' as const),
  }),
  fc.record({
    kind: fc.constant('tool_result' as const),
    parts: textParts,
    callId: fc.constantFrom(...callIds),
    status: fc.constantFrom('succeeded' as const, 'failed' as const),
  }),
);
const log = fc
  .array(entry, { maxLength: 30 })
  .map((entries) => entries.map((made, index): Entry => ({ ...made, position: index + 1 })));
const SETTINGS = { model: 'm' };
const messagesIn = (request: readonly Uint8Array[]) => JSON.parse(Buffer.concat(request).toString()).messages;
const anew = (entries: readonly Entry[]) => entries.map((made) => ({ ...made }));

describe('a transcript', () => {
  test('of a log that grows is at every length what it would be if written anew', () => {
    fc.assert(
      fc.property(log, fc.array(fc.nat(30), { minLength: 1, maxLength: 10 }), (entries, lengths) => {
        const transcript = new Transcript(wire);
        for (const length of lengths.toSorted((a, b) => a - b)) {
          const now = entries.slice(0, length);
          const written = messagesIn(transcript.requestOf(SETTINGS, { messages: messagesOf(now) }));
          expect(written).toEqual(roundsOf(messagesOf(anew(now))).flatMap(wire));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('writes what stands before the last answer once', () => {
    let written = 0;
    const transcript = new Transcript((round) => {
      written += 1;
      return [round];
    });
    const entries: Entry[] = [{ kind: 'user', position: 1, parts: [{ type: 'text', text: 'Go.' }] }];
    for (let turn = 1; turn <= 100; turn += 1) {
      written = 0;
      transcript.requestOf(SETTINGS, { messages: messagesOf(entries) });
      expect(written, `turn ${turn}`).toBeLessThanOrEqual(4);
      const callId = `call_${turn}`;
      const parts = [{ type: 'tool' as const, callId, name: 'look', arguments: '{}' }];
      entries.push({ kind: 'assistant', position: entries.length + 1, parts, stopReason: 'tool_calls' });
      entries.push({
        kind: 'tool_result',
        position: entries.length + 1,
        parts: [],
        callId,
        status: 'succeeded',
      });
    }
  });

  test('keeps what is done at the end out of what is kept', () => {
    const mark = (messages: object[]) => messages.map((message) => ({ ...message, last: true }));
    const transcript = new Transcript((round) => [{ role: round.role }], { atEnd: mark });
    const said = { kind: 'user' as const, parts: [{ type: 'text' as const, text: 'Go.' }] };
    const answer = { kind: 'assistant' as const, parts: said.parts, stopReason: 'stop' as const };
    const entries: Entry[] = [said, answer, said, answer, said].map((made, index) => ({
      ...made,
      position: index + 1,
    }));
    for (const length of [1, 3, 5]) {
      const marked = messagesIn(
        transcript.requestOf(SETTINGS, { messages: messagesOf(entries.slice(0, length)) }),
      ).map((message: { last?: boolean }) => message.last === true);
      expect(marked).toEqual(Array.from({ length }, (_, index) => index >= length - 2));
    }
  });

  test('becomes the last member of the request, behind what the agent is told', () => {
    const transcript = new Transcript(({ role }) => [{ role }]);
    const prompt = { role: 'user' as const, text: 'Go.' };
    const request = transcript.requestOf(SETTINGS, { messages: [prompt] }, [{ role: 'system' }]);
    expect(JSON.parse(Buffer.concat(request).toString())).toEqual({
      model: 'm',
      messages: [{ role: 'system' }, { role: 'user' }],
    });
    expect(messagesIn(transcript.requestOf(SETTINGS, { messages: [] }))).toEqual([]);
    expect(messagesIn(transcript.requestOf(SETTINGS, { messages: [prompt] }))).toEqual([{ role: 'user' }]);
    expect(messagesIn(transcript.requestOf(SETTINGS, { messages: [] }, [{}]))).toEqual([{}]);
  });

  test('leaves what it gave out as it was', () => {
    const transcript = new Transcript((round) => [round]);
    const said = { role: 'user' as const, text: 'Grüße, 😀.' };
    const answer = { role: 'assistant' as const, parts: [{ type: 'text' as const, text: 'Ja.' }] };
    const short = transcript.requestOf(SETTINGS, { messages: [said, answer, { ...said }] });
    const before = Buffer.concat(short).toString();
    const longer = [said, answer, { ...said }, { ...answer }, { ...said }];
    expect(messagesIn(transcript.requestOf(SETTINGS, { messages: longer }))).toHaveLength(5);
    expect(Buffer.concat(short).toString()).toBe(before);
    expect(messagesIn(short)).toHaveLength(3);
  });
});
