import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CallStatus, Effect, Entry, StopReason } from '../../src/core/entry.ts';
import {
  type Call,
  firstGroup,
  isClosed,
  next,
  type Step,
  type TurnLimits,
  type TurnLog,
  UNKNOWN_OUTCOME,
} from '../../src/core/turn.ts';

const LIMITS: TurnLimits = { turn: 1, turnLimit: 70 };
const PROMPT: Entry = { kind: 'user', position: 1, parts: [{ type: 'text', text: 'Mend the test.' }] };
const OPEN: readonly CallStatus[] = ['requested', 'awaiting_approval', 'started'];

function call(ordinal: number, effect: Effect, status: CallStatus = 'requested', denial?: string): Call {
  const id = `row-${ordinal}`;
  const plain = { id, callId: `call_${ordinal}`, ordinal, name: 'tool', arguments: '{}', effect, status };
  return denial === undefined ? plain : { ...plain, denial };
}

function logOf(
  calls: readonly Call[],
  more: { text?: string; stopReason?: StopReason; stop?: TurnLog['stop'] } = {},
): TurnLog {
  const { text = 'Done.', stopReason = 'stop', stop } = more;
  const answer: Entry = { kind: 'assistant', position: 2, parts: [{ type: 'text', text }], stopReason };
  return { entries: [PROMPT, answer], answerPosition: 2, calls, ...(stop === undefined ? {} : { stop }) };
}

describe('next', () => {
  const unanswered: TurnLog = { entries: [PROMPT], answerPosition: null, calls: [] };
  const succeeded = call(0, 'read', 'succeeded');
  const ends = (code: string) => ({ do: 'finish', end: expect.objectContaining({ status: 'failed', code }) });
  const runs = (...calls: Call[]) => ({ do: 'runTools', calls });
  const reports = (told: Call, status: string, text: unknown) => ({
    do: 'report',
    reports: [{ call: told, status, text }],
  });
  const denied = call(0, 'external', 'requested', 'not on a Friday');

  test.each<[string, TurnLog, Partial<TurnLimits>, unknown]>([
    ['a turn without an answer asks the model', unanswered, {}, { do: 'callModel' }],
    [
      'a cancelled task ends, answered or not',
      { ...unanswered, stop: 'cancelled' },
      {},
      { do: 'finish', end: { status: 'cancelled' } },
    ],
    [
      'a cancelled task ends before its open calls',
      logOf([call(0, 'read')], { stop: 'cancelled' }),
      {},
      { do: 'finish', end: { status: 'cancelled' } },
    ],
    ['a task past its deadline fails', { ...unanswered, stop: 'limit_seconds' }, {}, ends('limit_seconds')],
    [
      'an answer without calls ends the task, with itself as the result',
      logOf([]),
      {},
      { do: 'finish', end: { status: 'succeeded', resultPosition: 2 } },
    ],
    [
      'the last answer ends the task also in its last turn',
      logOf([]),
      { turn: 70 },
      { do: 'finish', end: { status: 'succeeded', resultPosition: 2 } },
    ],
    [
      'an answer cut at its output limit fails the task',
      logOf([], { stopReason: 'length' }),
      {},
      ends('answer_truncated'),
    ],
    ['a refusal fails the task', logOf([], { stopReason: 'refusal' }), {}, ends('refused')],
    ['an answer with nothing in it fails the task', logOf([], { text: ' \n' }), {}, ends('empty_answer')],
    ['an answer whose calls are closed asks for another turn', logOf([succeeded]), {}, { do: 'endTurn' }],
    ['the turn before the last asks for another', logOf([succeeded]), { turn: 69 }, { do: 'endTurn' }],
    ['the last turn may not ask for another', logOf([succeeded]), { turn: 70 }, ends('limit_turns')],
    [
      'a call that a person has to allow parks the turn',
      logOf([call(0, 'external', 'awaiting_approval')]),
      {},
      { do: 'askApproval' },
    ],
    [
      'a denied call is told, with the reason',
      logOf([denied]),
      {},
      reports(denied, 'denied', 'Denied: not on a Friday'),
    ],
    [
      'a call denied without words is told so',
      logOf([call(0, 'external', 'requested', '')]),
      {},
      reports(call(0, 'external', 'requested', ''), 'denied', 'Denied: a person said no to this call.'),
    ],
    [
      'a changing call that began under a lost worker is told as unknown',
      logOf([call(0, 'workspace', 'started')]),
      {},
      reports(call(0, 'workspace', 'started'), 'unknown', UNKNOWN_OUTCOME),
    ],
    [
      'an external call that began under a lost worker is told as unknown',
      logOf([call(0, 'external', 'started')]),
      {},
      reports(call(0, 'external', 'started'), 'unknown', UNKNOWN_OUTCOME),
    ],
    [
      'a read that began runs again',
      logOf([call(0, 'read', 'started')]),
      {},
      runs(call(0, 'read', 'started')),
    ],
    [
      'neighbours that read run together',
      logOf([call(0, 'read'), call(1, 'read'), call(2, 'workspace')]),
      {},
      runs(call(0, 'read'), call(1, 'read')),
    ],
    [
      'a changing call runs alone',
      logOf([call(0, 'workspace'), call(1, 'workspace'), call(2, 'read')]),
      {},
      runs(call(0, 'workspace')),
    ],
    [
      'closed calls are passed over',
      logOf([succeeded, call(1, 'external'), call(2, 'read')]),
      {},
      runs(call(1, 'external')),
    ],
    [
      'reads stop before one that was denied',
      logOf([call(0, 'read'), call(1, 'read', 'requested', 'no')]),
      {},
      runs(call(0, 'read')),
    ],
    [
      'reads before a question run first',
      logOf([call(0, 'read'), call(1, 'external', 'awaiting_approval')]),
      {},
      runs(call(0, 'read')),
    ],
    [
      'an answer position that names no answer asks the model',
      { ...unanswered, answerPosition: 1 },
      {},
      { do: 'callModel' },
    ],
  ])('%s', (_fact, log, limits, step) => {
    expect(next(log, { ...LIMITS, ...limits })).toEqual(step);
  });

  test('the time limit is named where it is known', () => {
    const stopped: TurnLog = { ...unanswered, stop: 'limit_seconds' };
    expect(next(stopped, { ...LIMITS, secondsLimit: 90 })).toMatchObject({
      end: { message: expect.stringContaining('of 90 seconds') },
    });
    expect(next(stopped, LIMITS)).toMatchObject({
      end: { message: expect.not.stringContaining('seconds.') },
    });
  });
});

const anyCall = fc.record({
  effect: fc.constantFrom<Effect>('read', 'workspace', 'external'),
  status: fc.constantFrom<CallStatus>(...OPEN, 'succeeded', 'failed', 'unknown'),
  denial: fc.option(fc.string(), { nil: undefined }),
});
const anyCalls = fc
  .array(anyCall, { maxLength: 12 })
  .map((shapes) =>
    shapes.map(({ effect, status, denial }, ordinal) =>
      call(ordinal, effect, status, isClosed(status) ? undefined : denial),
    ),
  );
const anyLog = fc
  .record({
    calls: anyCalls,
    text: fc.constantFrom('', 'Done.'),
    stopReason: fc.constantFrom<StopReason>('stop', 'tool_calls', 'length', 'refusal'),
    answered: fc.boolean(),
    stop: fc.constantFrom<TurnLog['stop']>(undefined, undefined, undefined, 'cancelled', 'limit_seconds'),
  })
  .map(({ answered, calls, ...more }): TurnLog => {
    const log = logOf(calls, more);
    return answered ? log : { ...log, entries: [PROMPT], answerPosition: null, calls: [] };
  });

/** Does what a step says, as a worker and a person would: every call it names is closed, every question answered. */
function perform(log: TurnLog, step: Step): TurnLog {
  const close = (closed: readonly Call[], status: CallStatus) =>
    log.calls.map((each) => (closed.some(({ id }) => id === each.id) ? { ...each, status } : each));
  switch (step.do) {
    case 'callModel':
      return logOf([call(0, 'read'), call(1, 'external', 'awaiting_approval'), call(2, 'workspace')]);
    case 'runTools':
      return { ...log, calls: close(step.calls, 'succeeded') };
    case 'report':
      return {
        ...log,
        calls: close(
          step.reports.map((report) => report.call),
          step.reports[0]?.status ?? 'denied',
        ),
      };
    case 'askApproval':
      return {
        ...log,
        calls: log.calls.map((each) =>
          each.status === 'awaiting_approval' ? { ...each, status: 'requested' } : each,
        ),
      };
    default:
      return log;
  }
}

describe('whatever the log, next', () => {
  test('ends the turn after finitely many steps, each of which brings it further', () => {
    fc.assert(
      fc.property(anyLog, fc.integer({ min: 1, max: 3 }), (start, turn) => {
        let log = start;
        const limits = { turn, turnLimit: 2 };
        for (let steps = 0; steps <= 2 * Math.max(log.calls.length, 3) + 2; steps += 1) {
          const step = next(log, limits);
          if (step.do === 'endTurn' || step.do === 'finish') return;
          log = perform(log, step);
        }
        throw new Error('the turn does not end');
      }),
    );
  });

  test('runs a changing call alone, and each call after all before it are closed', () => {
    fc.assert(
      fc.property(anyLog, (log) => {
        const step = next(log, LIMITS);
        const named =
          step.do === 'runTools'
            ? step.calls
            : step.do === 'report'
              ? step.reports.map(({ call }) => call)
              : [];
        if (named.some(({ effect }) => effect !== 'read')) expect(named).toHaveLength(1);
        const open = log.calls.filter(({ status }) => !isClosed(status));
        expect(named).toEqual(open.slice(0, named.length));
      }),
    );
  });

  test('never runs what was denied, waits for a person, or may have run already', () => {
    fc.assert(
      fc.property(anyLog, (log) => {
        const step = next(log, LIMITS);
        for (const { denial, status, effect } of step.do === 'runTools' ? step.calls : []) {
          expect(denial).toBeUndefined();
          expect(status === 'requested' || (status === 'started' && effect === 'read')).toBe(true);
        }
      }),
    );
  });

  test('is a pure function: the same answer for the same frozen log', () => {
    fc.assert(
      fc.property(anyLog, (log) => {
        const frozen = deepFreeze(structuredClone(log));
        const limits = Object.freeze({ ...LIMITS });
        expect(next(frozen, limits)).toEqual(next(frozen, limits));
        expect(frozen).toEqual(log);
      }),
    );
  });
});

test.each([
  [1, 'used its one turn.'],
  [2, 'used all of its 2 turns.'],
])('a limit of %i turns is told in its number', (turns, said) => {
  const log = logOf([call(0, 'read', 'succeeded')]);
  const message = expect.stringContaining(said);
  expect(next(log, { turn: turns, turnLimit: turns })).toMatchObject({ do: 'finish', end: { message } });
});

test('the first group of calls is the first, or the reads that it begins', () => {
  fc.assert(
    fc.property(anyCalls, (calls) => {
      const open = calls.filter(({ status }) => !isClosed(status));
      const group = firstGroup(open);
      expect(group).toEqual(open.slice(0, group.length));
      expect(group.length > 0).toBe(open.length > 0);
      const [after] = open.slice(group.length);
      const reads = (each: Call) =>
        each.effect === 'read' && each.denial === undefined && each.status !== 'awaiting_approval';
      expect(group.length === 1 || group.every(reads)).toBe(true);
      if (after !== undefined && group.every(reads)) expect(reads(after)).toBe(false);
    }),
  );
});

function deepFreeze<T>(value: T): T {
  for (const inner of Object.values(value ?? {})) if (typeof inner === 'object') deepFreeze(inner);
  return Object.freeze(value);
}
