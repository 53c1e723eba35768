import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { cancelTask } from '../../src/store/tasks.ts';
import { handBackTurn, retryTurn } from '../../src/store/turns.ts';
import {
  answered,
  callOf,
  changesBetween,
  checkWitnesses,
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

/** A held turn with a next task behind it, whose task has a cancel mark. */
async function marked(): Promise<Running> {
  const held = await running(store, { reserve: 100 });
  await submit(store, { sessionId: held.sessionId });
  expect(await cancel(held)).toMatchObject({ outcome: 'requested' });
  return held;
}

const ended = (taskId: string, turnId: string) => store.db.sql`
  SELECT t.status, (SELECT status FROM turn WHERE id = ${turnId}) AS turn FROM task t WHERE t.id = ${taskId}`;

describe('retry_turn', () => {
  test('makes the turn wait as a row with a due time, and releases what was reserved', async () => {
    const held = await running(store, { reserve: 100 });
    const before = await snapshotRows(store.db);
    const outcome = await retryTurn(store.db, held, retryOf({ delayMs: 1_500.25 }));
    expect(outcome).toMatchObject({ outcome: 'retrying', wake: null });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      attempt: [
        {
          '~': held.attemptId,
          outcome: [null, 'retry'],
          failure: [null, FAILURE],
          ended_at: [null, 'time'],
        },
      ],
      event: ['turn.retried', 'task.waiting', 'agent.state_changed'],
      task: [{ '~': held.taskId, status: ['running', 'waiting'], waiting_on: [null, 'retry'] }],
      tree: [{ '~': held.sessionId, last_seq: [5, 8], tokens_reserved: [100, 0] }],
      turn: [
        {
          '~': held.turnId,
          status: ['running', 'ready'],
          tokens_reserved: [100, 0],
          attempt_id: [held.attemptId, null],
          due_at: [null, 'time'],
          retries: [0, 1],
        },
      ],
    });
    const [due] = await store.db.sql<{ ms: number }>`
      SELECT extract(epoch FROM due_at - clock_timestamp())::float8 * 1000 AS ms FROM turn WHERE id = ${held.turnId}`;
    expect(due?.ms).toBeGreaterThan(0);
    expect(due?.ms).toBeLessThanOrEqual(1_501);
  });

  test('books the reservation as spent where the provider may have charged for it', async () => {
    const held = await running(store, { reserve: 100 });
    const before = await snapshotRows(store.db);
    await retryTurn(store.db, held, retryOf({ spent: true }));
    const { tree, usage } = changesBetween(before, await snapshotRows(store.db));
    expect(tree).toMatchObject([{ tokens_used: [0, 100], tokens_reserved: [100, 0] }]);
    expect(usage).toMatchObject([{ '+': { outcome: 'unknown', input: 100 } }]);
  });

  test('is repeated with nothing written, and fenced for an attempt that does not hold the turn', async () => {
    const held = await running(store);
    const retry = retryOf();
    await retryTurn(store.db, held, retry);
    const before = await snapshotRows(store.db);
    expect(await retryTurn(store.db, held, retry)).toEqual({ outcome: 'repeated', wake: null });
    expect(await retryTurn(store.db, { ...held, attemptId: newId() }, retry)).toMatchObject({
      outcome: 'fenced',
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('ends a task with a cancel mark, and begins the session’s next one, whose wake-up a repeat tells too', async () => {
    const held = await marked();
    const retry = retryOf();
    const wake = { turnId: retry.nextTurnId, wake: 1 };
    expect(await retryTurn(store.db, held, retry)).toMatchObject({ outcome: 'ended', wake });
    expect(await retryTurn(store.db, held, retry)).toEqual({ outcome: 'repeated', wake });
    expect(await ended(held.taskId, held.turnId)).toEqual([{ status: 'cancelled', turn: 'cancelled' }]);
  });
});

describe('hand_back_turn', () => {
  test('queues the turn under the next wake number, keeps its results, counts no takeover and books what was under way', async () => {
    const held = await running(store, { reserve: 100 });
    const before = await snapshotRows(store.db);
    const outcome = await handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() });
    expect(outcome).toMatchObject({ outcome: 'handed_back', wake: { turnId: held.turnId, wake: 2 } });
    const { usage, ...others } = changesBetween(before, await snapshotRows(store.db));
    expect(usage).toMatchObject([{ '+': { attempt_id: held.attemptId, outcome: 'unknown', input: 100 } }]);
    expect(others).toEqual({
      attempt: [
        {
          '~': held.attemptId,
          outcome: [null, 'drained'],
          ended_at: [null, 'time'],
        },
      ],
      tree: [{ '~': held.sessionId, tokens_used: [0, 100], tokens_reserved: [100, 0] }],
      turn: [
        {
          '~': held.turnId,
          status: ['running', 'queued'],
          attempt_id: [held.attemptId, null],
          tokens_reserved: [100, 0],
          wake: [1, 2],
          checked_at: [null, 'time'],
        },
      ],
    });
  });

  test('releases the reservation where no request was sent', async () => {
    const held = await running(store, { reserve: 100 });
    const before = await snapshotRows(store.db);
    const handBack = { results: [], spent: false, nextTurnId: newId() };
    expect(await handBackTurn(store.db, held, handBack)).toMatchObject({ outcome: 'handed_back' });
    const { tree, turn, usage } = changesBetween(before, await snapshotRows(store.db));
    expect(tree).toEqual([{ '~': held.sessionId, tokens_reserved: [100, 0] }]);
    expect(turn).toMatchObject([{ status: ['running', 'queued'], tokens_reserved: [100, 0] }]);
    expect(usage).toBeUndefined();
  });

  test('leaves a call that began as it is: the next attempt tells the model', async () => {
    const calls = [callOf('started', { ordinal: 0 }), callOf('started', { ordinal: 1 })];
    const held = await answered(store, calls);
    await handBackTurn(store.db, held, {
      spent: true,
      results: calls.slice(0, 1).map((call) => resultOf(call)),
      nextTurnId: newId(),
    });
    const rows = await store.db
      .sql`SELECT status FROM tool_call WHERE turn_id = ${held.turnId} ORDER BY ordinal`;
    expect(rows).toEqual([{ status: 'succeeded' }, { status: 'started' }]);
  });

  test('is repeated with the same wake-up, and fenced for an attempt that does not hold the turn', async () => {
    const held = await running(store);
    const handBack = { results: [], spent: true, nextTurnId: newId() };
    await handBackTurn(store.db, held, handBack);
    const before = await snapshotRows(store.db);
    expect(await handBackTurn(store.db, held, handBack)).toEqual({
      outcome: 'repeated',
      wake: { turnId: held.turnId, wake: 2 },
    });
    expect(await handBackTurn(store.db, { ...held, attemptId: newId() }, handBack)).toEqual({
      outcome: 'fenced',
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('ends a task with a cancel mark, and begins the session’s next one, whose wake-up a repeat tells too', async () => {
    const held = await marked();
    const handBack = { results: [], spent: true, nextTurnId: newId() };
    const wake = { turnId: handBack.nextTurnId, wake: 1 };
    expect(await handBackTurn(store.db, held, handBack)).toMatchObject({ outcome: 'handed_back', wake });
    expect(await handBackTurn(store.db, held, handBack)).toEqual({ outcome: 'repeated', wake });
    expect(await ended(held.taskId, held.turnId)).toEqual([{ status: 'cancelled', turn: 'cancelled' }]);
  });
});
