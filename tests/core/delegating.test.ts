import { describe, expect, test } from 'vitest';
import type { CallStatus, Effect, Entry } from '../../src/core/entry.ts';
import { executedCall } from '../../src/core/executed-call.ts';
import { stricterMode } from '../../src/core/profile.ts';
import { type Call, next, type TurnLimits, type TurnLog } from '../../src/core/turn.ts';

const LIMITS: TurnLimits = { turn: 1, turnLimit: 70 };
const PROMPT: Entry = { kind: 'user', position: 1, parts: [{ type: 'text', text: 'Go.' }] };

function call(ordinal: number, effect: Effect, more: Partial<Call> = {}): Call {
  const plain = { callId: `call_${ordinal}`, ordinal, name: 'tool', arguments: '{}' };
  return { id: `row-${ordinal}`, ...plain, effect, status: 'requested', ...more };
}

const child = (ordinal: number, state: 'open' | 'ended') =>
  call(ordinal, 'delegate', { status: 'started' as CallStatus, child: state });

function saying(...texts: string[]): TurnLog {
  const answers = texts.map(
    (text, index): Entry => ({
      ...{ kind: 'assistant', position: index + 2, parts: [{ type: 'text', text }] },
      stopReason: 'stop',
    }),
  );
  return { entries: [PROMPT, ...answers], answerPosition: answers.length + 1, calls: [] };
}

describe('what a turn does next with calls that delegate', () => {
  const stepAfter = (...calls: Call[]) => next({ ...saying('Done.'), calls }, LIMITS);
  const [one, two] = [call(0, 'delegate'), call(1, 'delegate')];
  const barrier = call(1, 'workspace');

  test.each<[string, readonly Call[], unknown]>([
    ['all of them begin at once', [one, two], { do: 'delegate', calls: [one, two] }],
    [
      'also beside reads, and before those',
      [call(0, 'read'), two, call(2, 'delegate')],
      { do: 'delegate', calls: [two, call(2, 'delegate')] },
    ],
    [
      'but none before a call that changes files',
      [one, barrier, call(2, 'delegate')],
      { do: 'delegate', calls: [one] },
    ],
    [
      'nor before one that is asked about',
      [call(0, 'external', { status: 'awaiting_approval' }), two],
      { do: 'askApproval' },
    ],
    [
      'one that a person must allow is no hindrance for another',
      [call(0, 'delegate', { status: 'awaiting_approval' }), two],
      { do: 'delegate', calls: [two] },
    ],
    [
      'reads go on while a child works',
      [call(0, 'read'), child(1, 'open')],
      { do: 'runTools', calls: [call(0, 'read')] },
    ],
    ['with nothing else to do it waits', [child(0, 'open'), call(1, 'read')], { do: 'waitForChildren' }],
    [
      'they are taken in their order',
      [child(0, 'ended'), child(1, 'ended')],
      { do: 'takeChild', call: child(0, 'ended') },
    ],
    ['whichever ends first', [child(0, 'open'), child(1, 'ended')], { do: 'waitForChildren' }],
    [
      'what changes files comes after the child before it',
      [child(0, 'ended'), barrier],
      { do: 'takeChild', call: child(0, 'ended') },
    ],
  ])('%s', (_fact, calls, step) => {
    expect(stepAfter(...calls)).toEqual(step);
  });

  test('one that is denied is reported, and never begun', () => {
    const denied = call(0, 'delegate', { denial: 'No.' });
    expect(stepAfter(denied)).toMatchObject({ do: 'report', reports: [{ status: 'denied' }] });
  });

  test('one that had begun is no unknown call, whoever began it', () => {
    expect(stepAfter(child(0, 'open'))).toEqual({ do: 'waitForChildren' });
  });

  test('a cancelled task waits for nobody', () => {
    const log: TurnLog = { ...saying('Done.'), calls: [child(0, 'open')], stop: 'cancelled' };
    expect(next(log, LIMITS)).toEqual({ do: 'finish', end: { status: 'cancelled' } });
  });
});

describe('an answer of a shape that was asked for', () => {
  const limits: TurnLimits = {
    ...LIMITS,
    misfit: (answer) => (answer.startsWith('{') ? undefined : `'${answer}' is no object.`),
  };
  const invalid = {
    do: 'finish',
    end: { status: 'failed', code: 'invalid_result', message: expect.any(String) },
  };

  test('ends the task where it fits, at the first or the second try', () => {
    expect(next(saying('{}'), limits)).toMatchObject({ do: 'finish', end: { status: 'succeeded' } });
    expect(next(saying('No.', '{}'), limits)).toMatchObject({ do: 'finish', end: { status: 'succeeded' } });
  });

  test('may be given once more where it does not, and its model is told what is wrong', () => {
    expect(next(saying('No.'), limits)).toEqual({ do: 'endTurn' });
    const asked: TurnLog = { ...saying('No.'), answerPosition: null };
    expect(next(asked, limits)).toEqual({ do: 'callModel', notice: "'No.' is no object." });
    expect(next(saying('No.', 'Still no.'), limits)).toEqual(invalid);
  });

  test('gets its second try anew where a person has said something in between', () => {
    const log = saying('No.', 'Still no.');
    const entries = [...log.entries.slice(0, 2), { ...PROMPT, position: 3 }, ...log.entries.slice(2)];
    expect(next({ ...log, entries: entries as Entry[], answerPosition: 4 }, limits)).toEqual({
      do: 'endTurn',
    });
  });

  test('has no second try where there is no second turn', () => {
    expect(next(saying('No.'), { ...limits, turn: 70 })).toEqual(invalid);
  });
});

test('no child asks less than its parent', () => {
  expect([stricterMode('auto', 'safe'), stricterMode('plan', 'auto'), stricterMode('safe', 'safe')]).toEqual([
    'safe',
    'plan',
    'safe',
  ]);
});

describe('a call as the execution log has it', () => {
  const stored = { name: 'bash', status: 'succeeded', arguments: '{}', error: null } as const;

  test.each([
    ['a command', { arguments: '{"command": "npm  test"}' }, { about: 'npm test' }],
    [
      'a file that was read',
      { name: 'read_file', arguments: '{"path":"a.ts"}' },
      { about: 'a.ts', read: 'a.ts' },
    ],
    [
      'one that was not',
      { name: 'read_file', status: 'failed', arguments: '{"path":"a.ts"}', error: 'No such file.' },
      { read: undefined, error: 'No such file.' },
    ],
    [
      'a command that failed',
      { status: 'failed', arguments: '{"command":"npm test"}', error: '3 failed\n(exit code 1)' },
      { error: 'exit 1 (npm test)' },
    ],
    [
      'words that go on in the next line',
      { status: 'failed', error: 'Error: it does not fit:\n- path: expected' },
      { error: 'Error: it does not fit: - path: expected' },
    ],
    ['arguments that are no JSON', { arguments: '{"command' }, { about: undefined }],
    ['arguments that are no object', { arguments: '7' }, { about: undefined }],
  ] as const)('%s', (_what, given, told) => {
    expect(executedCall({ ...stored, ...given })).toMatchObject(told);
  });

  test('is cut at 120 characters, and never within one', () => {
    const about = (command: string) =>
      executedCall({ ...stored, arguments: JSON.stringify({ command }) }).about;
    expect(about('x'.repeat(120))).toBe('x'.repeat(120));
    expect(about('x'.repeat(121))).toBe(`${'x'.repeat(119)}…`);
    expect(about(`${'x'.repeat(118)}😀😀`)).toBe(`${'x'.repeat(118)}…`);
  });
});
