import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { cancelTask, postMessage } from '../../src/store/tasks.ts';
import { handBackTurn, recordAnswer, recordResults, retryTurn, settleTurn } from '../../src/store/turns.ts';
import { admitTurns, takeOverTurn } from '../../src/store/workers.ts';
import {
  answered,
  answerOf,
  BACKOFF_MS,
  callOf,
  changesBetween,
  checkWitnesses,
  claim,
  lose,
  parked,
  type Running,
  resultOf,
  running,
  snapshotRows,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const FAILURE = { code: 'rate_limited', message: 'Slow down.' };
const retryOf = (more: { delayMs?: number; spent?: boolean } = {}) => ({
  delayMs: 1_000,
  failure: FAILURE,
  spent: false,
  nextTurnId: newId(),
  ...more,
});
const cancel = ({ taskId }: { taskId: string }) =>
  cancelTask(store.db, { teamId: store.teamId, taskId, nextTurnId: newId() });
const takeOver = (
  held: { turnId: string; attemptId: string },
  more: { own?: boolean; nextTurnId?: string } = {},
) => takeOverTurn(store.db, held, { backoffMs: BACKOFF_MS, nextTurnId: newId(), own: false, ...more });

/** A held turn with a next task behind it, whose task has a cancel mark. */
async function marked(): Promise<Running> {
  const held = await running(store, { reserve: 100 });
  await submit(store, { sessionId: held.sessionId });
  expect(await cancel(held)).toMatchObject({ outcome: 'requested' });
  return held;
}

const ended = (taskId: string, turnId: string) => store.db.sql`
  SELECT t.status, (SELECT status FROM turn WHERE id = ${turnId}) AS turn FROM task t WHERE t.id = ${taskId}`;

describe('take_over_turn', () => {
  test('queues the first loss at once and books what was under way as spent', async () => {
    const held = await running(store, { reserve: 100 });
    await lose(store.db, held.workerId);
    const before = await snapshotRows(store.db);
    expect(await takeOver(held)).toMatchObject({
      outcome: 'taken_over',
      wake: { turnId: held.turnId, wake: 2 },
    });
    const { usage, ...others } = changesBetween(before, await snapshotRows(store.db));
    expect(usage).toMatchObject([{ '+': { attempt_id: held.attemptId, outcome: 'unknown', input: 100 } }]);
    expect(others).toEqual({
      attempt: [{ '~': held.attemptId, outcome: [null, 'lost'], ended_at: [null, 'time'] }],
      event: ['turn.recovered'],
      tree: [{ '~': held.sessionId, last_seq: [5, 6], tokens_used: [0, 100], tokens_reserved: [100, 0] }],
      turn: [
        {
          '~': held.turnId,
          status: ['running', 'queued'],
          attempt_id: [held.attemptId, null],
          tokens_reserved: [100, 0],
          wake: [1, 2],
          checked_at: [null, 'time'],
          takeovers: [0, 1],
        },
      ],
    });
  });

  test('leaves alone a worker that is alive, an attempt that is over and a turn that is unknown', async () => {
    const held = await running(store);
    const waiting = await parked(store);
    await lose(store.db, waiting.workerId);
    const before = await snapshotRows(store.db);
    for (const each of [held, waiting, { ...held, attemptId: newId() }, { ...held, turnId: newId() }]) {
      expect(await takeOver(each)).toEqual({ outcome: 'skipped' });
    }
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('takes over when the lease has run out, and what its own worker gives up', async () => {
    const late = await running(store);
    await store.db
      .sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = ${late.workerId}`;
    expect(await takeOver(late)).toMatchObject({ outcome: 'taken_over' });
    expect(await takeOver(await running(store), { own: true })).toMatchObject({ outcome: 'taken_over' });
  });

  test('happens once, for ten sweepers at once and for one that repeats it', async () => {
    const held = await running(store);
    await lose(store.db, held.workerId);
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => takeOver(held)));
    expect(outcomes.filter(({ outcome }) => outcome === 'taken_over')).toHaveLength(1);
    const before = await snapshotRows(store.db);
    expect(await takeOver(held)).toEqual({ outcome: 'skipped' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('fences the lost worker out of everything it may still write', async () => {
    const call = callOf('started');
    const held = await answered(store, [call]);
    await lose(store.db, held.workerId);
    await takeOver(held);
    await claim(store.db, held.turnId);
    const before = await snapshotRows(store.db);
    const fenced = { outcome: 'fenced' };
    expect(await recordAnswer(store.db, held, answerOf())).toEqual(fenced);
    expect(await recordResults(store.db, held, { results: [resultOf(call)], start: [] })).toEqual(fenced);
    expect(
      await handBackTurn(store.db, held, { results: [resultOf(call)], spent: true, nextTurnId: newId() }),
    ).toEqual(fenced);
    expect(await retryTurn(store.db, held, retryOf())).toMatchObject(fenced);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('pauses 0, 1, 5 and 30 s, then fails the task with crash_loop', async () => {
    const { turnId, taskId, sessionId } = await submit(store);
    await submit(store, { sessionId });
    const pauses: unknown[] = [];
    let held = await claim(store.db, turnId);
    for (let loss = 0; loss < BACKOFF_MS.length; loss += 1) {
      await lose(store.db, held.workerId);
      await takeOver(held);
      const [turn] = await store.db.sql<{ status: string; seconds: number | null }>`
        SELECT status, round(extract(epoch FROM due_at - clock_timestamp()))::int AS seconds FROM turn WHERE id = ${turnId}`;
      pauses.push([turn?.status, turn?.seconds]);
      await store.db
        .sql`UPDATE turn SET due_at = clock_timestamp() - interval '1 ms' WHERE id = ${turnId} AND status = 'ready'`;
      await admitTurns(store.db, 10);
      held = await claim(store.db, turnId);
    }
    expect(pauses).toEqual([
      ['queued', null],
      ['ready', 1],
      ['ready', 5],
      ['ready', 30],
    ]);
    await lose(store.db, held.workerId);
    const nextTurnId = newId();
    const wake = { turnId: nextTurnId, wake: 1 };
    const last = await takeOver(held, { nextTurnId });
    expect(last).toMatchObject({ outcome: 'taken_over', wake });
    expect(await takeOver(held, { nextTurnId })).toEqual(last);
    const [task] = await store.db
      .sql`SELECT status, error_code, error_message FROM task WHERE id = ${taskId}`;
    expect(task).toEqual({
      status: 'failed',
      error_code: 'crash_loop',
      error_message: expect.stringMatching(/^Turn 1 lost its worker 5 times in a row/),
    });
  });

  test('begins to count again after a durable step, and only after one', async () => {
    const call = callOf();
    const held = await answered(store, [call]);
    await store.db.sql`UPDATE turn SET takeovers = 4 WHERE id = ${held.turnId}`;
    const takeovers = async () =>
      (await store.db.sql`SELECT takeovers FROM turn WHERE id = ${held.turnId}`)[0]?.takeovers;
    await recordResults(store.db, held, { results: [], start: [] });
    expect(await takeovers()).toBe(4);
    await handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() });
    expect(await takeovers()).toBe(4);
    const again = await claim(store.db, held.turnId);
    await recordResults(store.db, again, { results: [resultOf(call)], start: [] });
    expect(await takeovers()).toBe(0);
  });

  test('ends a task with a cancel mark, and begins the session’s next one', async () => {
    const held = await marked();
    await lose(store.db, held.workerId);
    const nextTurnId = newId();
    expect(await takeOver(held, { nextTurnId })).toMatchObject({
      outcome: 'taken_over',
      wake: { turnId: nextTurnId },
    });
    expect(await ended(held.taskId, held.turnId)).toEqual([{ status: 'cancelled', turn: 'cancelled' }]);
  });

  test('books also what would not fit an integer', async () => {
    const first = await answered(store, [], {});
    await store.db.sql`UPDATE usage SET input = 2147483647 WHERE attempt_id = ${first.attemptId}`;
    await store.db.sql`UPDATE tree SET tokens_used = 2147483652 WHERE root_id = ${first.sessionId}`;
    const parts = [{ type: 'text' as const, text: 'And?' }];
    await postMessage(store.db, {
      teamId: store.teamId,
      userId: store.userId,
      taskId: first.taskId,
      id: newId(),
      parts,
    });
    const settle = { results: [], end: { kind: 'continue' } as const, nextTurnId: newId() };
    await settleTurn(store.db, first, settle);
    const held = await claim(store.db, settle.nextTurnId, { reserve: 2_147_483_647 });
    await lose(store.db, held.workerId);
    expect(await takeOver(held)).toMatchObject({ outcome: 'taken_over' });
  });
});
