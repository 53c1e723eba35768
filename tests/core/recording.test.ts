import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { SUMMARY_REQUEST } from '../../src/core/compaction.ts';
import { type ContextMessage, messagesOf } from '../../src/core/context.ts';
import type { Entry, Part } from '../../src/core/entry.ts';
import { placeOf, playedAt, recordingOf } from '../../src/core/recording.ts';

const hash = (text: string) => createHash('sha256').update(text).digest('hex');
const text = (said: string) => ({ type: 'text' as const, text: said });
const call = (callId: string): Part => ({ type: 'tool', callId, name: 'ls', arguments: '{}' });
const told = (said: string, kind: 'user' | 'notice' = 'user') =>
  ({ kind, position: 0, parts: [text(said)] }) as const;
const answered = (...parts: Part[]): Entry => ({
  ...{
    kind: 'assistant',
    position: 0,
    parts,
    stopReason: parts.some(({ type }) => type === 'tool') ? 'tool_calls' : 'stop',
  },
});
const result = (callId: string, said: string): Entry => ({
  ...{ kind: 'tool_result', position: 0, parts: [text(said)], callId, status: 'succeeded' },
});

const LOG: readonly Entry[] = [
  told('List.'),
  told('The project.', 'notice'),
  answered(call('c1')),
  result('c1', 'a.txt'),
  answered(),
  told('You said nothing.', 'notice'),
  answered(text('There is a.txt.')),
  told('Go on.'),
  answered(call('c2')),
  result('c2', 'a.txt'),
  answered(text('Done.')),
];
const RECORDING = recordingOf(LOG, hash);
const playedTo = (log: readonly Entry[]) => playedAt(RECORDING, placeOf(messagesOf(log), hash));

test('each answer is kept with its place, and of what was heard only a length and a hash', () => {
  expect(RECORDING.turns.map(({ answers, answer }) => [answers, answer.stopReason])).toEqual([
    [0, 'tool_calls'],
    [1, 'stop'],
    [1, 'stop'],
    [2, 'tool_calls'],
    [3, 'stop'],
  ]);
  expect(RECORDING.turns[1]?.heard).toEqual([{ role: 'tool', callId: 'c1', chars: 5, hash: hash('a.txt') }]);
  expect(JSON.stringify(RECORDING)).not.toContain('List.');
});

test('the same conversation gets the same answers, an answer of nothing and what follows it as well', () => {
  LOG.forEach((entry, index) => {
    if (entry.kind !== 'assistant') return;
    const { parts, stopReason } = entry;
    expect(playedTo(LOG.slice(0, index)), String(index)).toEqual({
      kind: 'same',
      answer: { parts, stopReason },
    });
  });
});

test('a conversation that was shortened is known again by its calls', () => {
  expect(playedTo([answered(call('c2')), result('c2', 'a.txt')])).toMatchObject({
    ...{ kind: 'same', answer: { parts: [text('Done.')] } },
  });
});

test('a summary is told from the answer that follows it, and the nearest one is played where it comes at another time', () => {
  const before = LOG.map((entry, index) => ({ ...entry, position: index + 1 }));
  const summary = {
    kind: 'compaction',
    position: 12,
    parts: [text('# Goal')],
    replaces: { after: 1, to: 11 },
  } as const;
  const after = { kind: 'assistant', position: 13, parts: [text('Counted.')], stopReason: 'stop' } as const;
  const log = [...before, summary, after];
  const recording = recordingOf(log, hash);
  const ask = (entries: readonly Entry[], ...more: ContextMessage[]) =>
    playedAt(recording, placeOf([...messagesOf(entries), ...more], hash));
  const asked = { role: 'user', text: SUMMARY_REQUEST } as const;
  expect(recording.turns.filter(({ asks }) => asks === 'summary')).toHaveLength(1);
  expect(ask(before, asked)).toMatchObject({ kind: 'same', answer: { parts: summary.parts } });
  expect(ask([...before, summary])).toMatchObject({ kind: 'same', answer: { parts: after.parts } });
  expect(ask(before.slice(0, 3), asked)).toMatchObject({ kind: 'other', answer: { parts: summary.parts } });
  expect(playedAt(RECORDING, placeOf([...messagesOf(LOG), asked], hash))).toEqual({
    kind: 'none',
    reason: 'holds 0 summaries, and none to a conversation that holds 4 already',
  });
});

describe('what differs', () => {
  test.each([
    [
      'a result',
      [...LOG.slice(0, 9), result('c2', 'b')],
      5,
      'the result of call c2 is another text (5 characters recorded, 1 now)',
    ],
    [
      'what was said',
      [told('Count.'), LOG[1] as Entry],
      1,
      'message 1 is another text (5 characters recorded, 6 now)',
    ],
    [
      'more that was said',
      [...LOG.slice(0, 8), told('Quick.')],
      4,
      '1 messages were recorded since the last answer, and 2 came',
    ],
  ])('%s is told with its turn', (_, log, turn, difference) => {
    expect(playedTo(log)).toMatchObject({ kind: 'other', turn, difference });
  });

  test('behind the last answer there is none', () => {
    expect(playedTo([...LOG, told('More.')])).toEqual({
      kind: 'none',
      reason: 'holds 5 answers, and none to a conversation that holds 4 already',
    });
  });
});
