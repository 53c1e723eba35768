import { describe, expect, test } from 'vitest';
import { clockOffsetMs, makePlan, type PlanOptions, SLOTS } from '../../src/verify/plan.ts';
import { answerTo, planIn, promptOf, SINK_TOOL } from '../../src/verify/script.ts';

const options: PlanOptions = {
  ...{ seed: 7, minutes: 1, backend: 'redis', sessions: 40 },
  ...{ ownPostgres: true, ownRedis: true },
};
const kindsOf = (given: Partial<PlanOptions>) =>
  new Set(makePlan({ ...options, ...given }).faults.map(({ fault }) => fault.kind));

describe('a plan', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(makePlan(options)).toEqual(makePlan(options));
    expect(makePlan({ ...options, seed: 8 }).faults).not.toEqual(makePlan(options).faults);
    expect(makePlan({ ...options, seed: 8 }).sessions).not.toEqual(makePlan(options).sessions);
  });

  test('has every kind of fault within two minutes, in order, and ends calm', () => {
    const { faults, durationMs } = makePlan({ ...options, minutes: 2 });
    expect(kindsOf({ minutes: 2 })).toEqual(
      new Set([
        ...['kill', 'replace', 'stop', 'cut', 'stall', 'restart_postgres', 'restart_redis'],
        ...['lose_jobs', 'double_jobs', 'delay_jobs'],
      ]),
    );
    expect(faults.map(({ at }) => at)).toEqual(faults.map(({ at }) => at).toSorted((a, b) => a - b));
    expect(faults.at(-1)?.at).toBeLessThan(durationMs - 1_000);
  });

  test('restarts nothing that is somebody else’s', () => {
    expect(kindsOf({ minutes: 10, ownPostgres: false })).not.toContain('restart_postgres');
    expect(kindsOf({ minutes: 10, ownRedis: false })).not.toContain('restart_redis');
  });

  test('touches no Redis where there is none', () => {
    const { faults } = makePlan({ ...options, minutes: 10, backend: 'postgres' });
    expect(faults.filter(({ fault }) => 'line' in fault && fault.line === 'redis')).toEqual([]);
    expect(faults.filter(({ fault }) => fault.kind === 'restart_redis')).toEqual([]);
  });

  test('begins each session in time', () => {
    const { sessions, durationMs } = makePlan(options);
    expect(sessions.map(({ number }) => number)).toEqual(Array.from({ length: 40 }, (_, number) => number));
    expect(sessions.every(({ at, tasks }) => at < durationMs && tasks.length > 0)).toBe(true);
  });

  test('puts the clocks of the processes wrong, each in its own way', () => {
    const offsets = SLOTS.flatMap((slot) =>
      [0, 1, 2].map((incarnation) => clockOffsetMs(7, slot, incarnation)),
    );
    expect(new Set(offsets).size).toBeGreaterThan(5);
    expect(offsets).toContain(0);
    expect(Math.max(...offsets.map(Math.abs))).toBeLessThanOrEqual(10 * 60_000);
  });
});

describe('the scripted model', () => {
  const plans = Array.from({ length: 200 }, (_, seed) => ({ seed, turns: 4 }));

  test('reads its plan from the last prompt of a conversation', () => {
    const plan = { seed: 1, turns: 2 };
    expect(planIn(`${promptOf({ seed: 9, turns: 9 })}\n${promptOf(plan)}`)).toEqual(plan);
    expect(planIn('Hello.')).toBeUndefined();
  });

  test('gives a turn the same answer each time it is asked, once it does not fail', () => {
    for (const plan of plans) {
      const again = answerTo(plan, { turn: 1, asked: 1 });
      expect(again).toEqual(answerTo(plan, { turn: 1, asked: 2 }));
      expect(again).toMatchObject({ kind: 'stream', cut: false });
    }
  });

  test('calls tools until the last turn, which it ends in words', () => {
    for (const plan of plans) {
      expect(answerTo(plan, { turn: 3, asked: 1 })).not.toMatchObject({ calls: [] });
      expect(answerTo(plan, { turn: 4, asked: 1 })).toMatchObject({ calls: [] });
    }
  });

  test('delegates nothing where it was delegated itself', () => {
    for (const plan of plans) {
      const answer = answerTo({ ...plan, isChild: true }, { turn: 1, asked: 1 });
      const calls = answer.kind === 'stream' ? answer.calls : [];
      expect(calls.map(({ name }) => name)).not.toContain('delegate_task');
    }
  });

  test('has effects, runs commands, answers in every wrong way', () => {
    const first = plans.map((plan) => answerTo(plan, { turn: 1, asked: 0 }));
    const calls = first.flatMap((answer) => (answer.kind === 'stream' ? answer.calls : []));
    expect(new Set(calls.map(({ name }) => name))).toEqual(
      new Set([SINK_TOOL, 'bash', 'list_dir', 'delegate_task']),
    );
    const statuses = first.flatMap((answer) => (answer.kind === 'status' ? [answer.status] : []));
    expect(new Set(statuses)).toEqual(new Set([429, 500]));
    expect(first.some((answer) => answer.kind === 'stream' && answer.cut)).toBe(true);
  });
});
