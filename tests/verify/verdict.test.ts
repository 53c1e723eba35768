/** The checker, checked: facts in which one thing went wrong fail in the row that is about it, and in no other. */
import { describe, expect, test } from 'vitest';
import { type AttemptFact, type Facts, judge } from '../../src/verify/verdict.ts';

const attempt: AttemptFact = {
  ...{ turnId: 'turn', pid: 1, startedAt: 1_000, endedAt: 2_000, outcome: 'settled' },
};
const request = { taskId: 'task', turn: 1, at: 1_100, end: 'answered' } as const;
const call = {
  callId: 'call_1',
  turnId: 'turn',
  name: 'append_to_sink',
  status: 'succeeded',
  results: 1,
  saidNotRun: false,
};
const task = { id: 'task', key: 'key', status: 'succeeded', errorCode: null, waits: '' };
const submission = { key: 'key', taskIds: ['task'], cancelled: false, limited: false };
const turn = { id: 'turn', taskId: 'task', number: 1, answers: 1, answeredAt: 1_500 };

const right: Facts = {
  submitted: [submission],
  tasks: [task],
  turns: [turn],
  calls: [call],
  attempts: [attempt],
  requests: [request],
  sink: ['call_1'],
  ...{ faults: [], gaps: [], refusals: [], broken: [], deaths: [], bugs: [], orphans: [] },
  ...{ deadlocks: 0, tails: 0 },
};

/** The rows that must be zero and are not. */
function wrongRows(facts: Partial<Facts>): string[] {
  const verdict = judge({ ...right, ...facts });
  const wrong = verdict.rows.filter((row) => row.mustBeZero && row.value > 0);
  expect(verdict.ok).toBe(wrong.length === 0);
  for (const row of wrong) expect(row.details).toHaveLength(row.value);
  return wrong.map((row) => row.name);
}

test('facts in which all is well pass', () => {
  expect(wrongRows({})).toEqual([]);
});

const lost = { ...attempt, outcome: 'lost' };
const stopped = {
  fault: { kind: 'stop', slot: 'worker-1', ms: 900 },
  ...{ at: 1_050, until: 1_950, pid: 1 },
} as const;

describe.each<[string, string, Partial<Facts>]>([
  ['a task that was accepted and is gone', 'tasks lost', { tasks: [] }],
  [
    'one key, two answers',
    'tasks doubled',
    {
      submitted: [{ ...submission, taskIds: ['task', 'other'] }],
      tasks: [task, { ...task, id: 'other', key: 'x' }],
    },
  ],
  ['one key, two rows', 'tasks doubled', { tasks: [task, { ...task, id: 'other' }] }],
  [
    'a task that waits at the end',
    'tasks stuck',
    { tasks: [{ ...task, status: 'queued', waits: 'queued' }] },
  ],
  [
    'a task that failed',
    'tasks ended wrongly',
    { tasks: [{ ...task, status: 'failed', errorCode: 'crash_loop' }] },
  ],
  ['a task that nobody cancelled', 'tasks ended wrongly', { tasks: [{ ...task, status: 'cancelled' }] }],
  ['a limit that did not hold', 'tasks ended wrongly', { submitted: [{ ...submission, limited: true }] }],
  ['a request that was refused', 'requests refused', { refusals: ['400'] }],
  ['two answers for one turn', 'steps doubled', { turns: [{ ...turn, answers: 2 }] }],
  ['two results for one call', 'steps doubled', { calls: [{ ...call, results: 2 }] }],
  [
    'an answer that was asked for again without a crash',
    'model requests doubled, more than that',
    { requests: [request, request] },
  ],
  [
    'an answer that was asked for twice after one crash',
    'model requests doubled, more than that',
    { requests: [request, request, request], attempts: [lost, attempt] },
  ],
  [
    'a committed answer that was asked for again',
    'model requests after the answer',
    { requests: [request, { ...request, at: 1_600, end: 'broken off' }] },
  ],
  ['an effect that stands twice', 'effects doubled', { sink: ['call_1', 'call_1'] }],
  ['an effect that was recorded and is not there', 'effects lost', { sink: [] }],
  ['an effect of a call that nobody recorded', 'effects without leave', { sink: ['call_1', 'call_2'] }],
  [
    'an effect of a call that was denied',
    'effects without leave',
    { calls: [{ ...call, status: 'denied' }] },
  ],
  [
    'an effect of a call that is said not to have run',
    'effects without leave',
    { calls: [{ ...call, status: 'interrupted', saidNotRun: true }] },
  ],
  ['a gap in a tail', 'gaps in events', { gaps: ['event 3 came where 2 was due'] }],
  ['a broken invariant', 'invariants broken', { broken: ['none'] }],
  ['a process that outlived its worker', 'orphans', { orphans: ['process 7: sleep'] }],
  ['a process that died by itself', 'deaths without a fault', { deaths: ['worker-1'] }],
  ['an error of Capybara’s own', 'errors of Capybara', { bugs: ['worker-1: {}'] }],
  ['a deadlock', 'deadlocks', { deadlocks: 1 }],
])('%s', (_, row, facts) => {
  test(`fails in “${row}”`, () => {
    expect(wrongRows(facts)).toEqual([row]);
  });
});

describe('what is allowed passes', () => {
  test.each<[string, Partial<Facts>]>([
    ['a second answer after one crash', { requests: [request, request], attempts: [lost, attempt] }],
    [
      'a second answer after a polite stop',
      { requests: [request, request], attempts: [{ ...attempt, outcome: 'drained' }, attempt] },
    ],
    ['a request that failed, and its repetition', { requests: [{ ...request, end: 'failed' }, request] }],
    [
      'a request of a worker that was stopped before it sent it',
      { requests: [request, { ...request, at: 2_000, end: 'broken off' }], faults: [stopped] },
    ],
    ['an unknown effect that is there', { calls: [{ ...call, status: 'unknown' }] }],
    ['an unknown effect that is not there', { calls: [{ ...call, status: 'unknown' }], sink: [] }],
    [
      'a task that was cancelled, by whom the plan says',
      { submitted: [{ ...submission, cancelled: true }], tasks: [{ ...task, status: 'cancelled' }] },
    ],
    [
      'a task that reached its limit, as the plan says',
      {
        submitted: [{ ...submission, limited: true }],
        tasks: [{ ...task, status: 'failed', errorCode: 'limit_turns' }],
      },
    ],
  ])('%s', (_, facts) => {
    expect(wrongRows(facts)).toEqual([]);
  });
});

test('a takeover lasts from the signal to the next claim', () => {
  const kill = {
    fault: { kind: 'kill', slot: 'worker-1', downMs: 0 },
    at: 1_500,
    until: 1_500,
    pid: 1,
  } as const;
  const { rows } = judge({
    ...right,
    faults: [kill],
    attempts: [
      { ...lost, endedAt: 1_900 },
      { ...attempt, pid: 2, startedAt: 2_000, endedAt: 2_500 },
      // Of another worker, and of the same one before: not hit.
      { ...attempt, turnId: 'other', pid: 3 },
      { ...lost, turnId: 'earlier', endedAt: 1_400 },
    ],
  });
  expect(rows.find(({ name }) => name === 'takeover after SIGKILL')?.shown).toBe('p50 0.5 s, p99 0.5 s, n 1');
});
