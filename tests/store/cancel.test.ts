import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { cancelTask, resolveApproval } from '../../src/store/tasks.ts';
import { claimTurn, handBackTurn, retryTurn, settleTurn, type TurnEnd } from '../../src/store/turns.ts';
import { expiredTasks, expireTask, takeOverTurn } from '../../src/store/workers.ts';
import {
  addTeam,
  addWorker,
  answered,
  changesBetween,
  checkWitnesses,
  claim,
  claimOf,
  lose,
  parked,
  running,
  snapshotRows,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const cancelOf = (taskId: string) => ({ teamId: store.teamId, taskId, nextTurnId: newId() });
const cancel = (taskId: string) => cancelTask(store.db, cancelOf(taskId));
const retry = { delayMs: 60_000, failure: { code: 'rate_limited', message: 'Slow down.' }, spent: false };

async function retrying() {
  const held = await running(store);
  await retryTurn(store.db, held, { ...retry, nextTurnId: newId() });
  return held;
}

async function backingOff() {
  const held = await running(store);
  await lose(store.db, held.workerId);
  await takeOverTurn(store.db, held, { backoffMs: [60_000], nextTurnId: newId(), own: false });
  return held;
}

async function resolved() {
  const waiting = await parked(store);
  const { teamId, userId } = store;
  await resolveApproval(store.db, { teamId, userId, approvalId: waiting.approvalId, decision: 'allowed' });
  return waiting;
}

const STILL: readonly [string, () => Promise<{ taskId: string; turnId: string; sessionId: string }>][] = [
  ['queued', () => submit(store)],
  ['waiting to be tried again', retrying],
  ['backing off after a loss', backingOff],
  ['parked', () => parked(store)],
  ['answered and queued again', resolved],
];

describe('cancel_task', () => {
  test.each(STILL)(
    'ends a task at once that is %s, and begins the session’s next one',
    async (_state, prepare) => {
      const { taskId, turnId, sessionId } = await prepare();
      const next = await submit(store, { sessionId });
      const wanted = cancelOf(taskId);
      const before = await snapshotRows(store.db);
      const outcome = await cancelTask(store.db, wanted);
      const wake = { turnId: wanted.nextTurnId, wake: 1 };
      expect(outcome).toMatchObject({ outcome: 'cancelled', rootId: sessionId, wake });
      const after = await snapshotRows(store.db);
      const { task, turn, event } = changesBetween(before, after);
      expect(task).toMatchObject([
        { '~': taskId, status: [expect.anything(), 'cancelled'], cancel_requested_at: [null, 'time'] },
      ]);
      expect(turn).toMatchObject([
        { '~': turnId, status: [expect.anything(), 'cancelled'] },
        { '+': { id: wanted.nextTurnId, task_id: next.taskId, number: 1, status: 'queued' } },
      ]);
      expect(event?.slice(-3)).toEqual(['turn.cancelled', 'task.cancelled', 'agent.state_changed']);
      expect(await cancelTask(store.db, wanted)).toEqual(outcome);
      expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
    },
  );

  test('ends a task that waits behind another, and leaves that one alone', async () => {
    const first = await running(store);
    const second = await submit(store, { sessionId: first.sessionId });
    const before = await snapshotRows(store.db);
    expect(await cancel(second.taskId)).toMatchObject({ outcome: 'cancelled', wake: null });
    const { task, turn, event } = changesBetween(before, await snapshotRows(store.db));
    expect(task).toMatchObject([{ '~': second.taskId, status: ['queued', 'cancelled'] }]);
    expect(turn).toBeUndefined();
    expect(event).toEqual(['task.cancelled', 'agent.state_changed']);
  });

  test('only marks a task that a worker runs, once', async () => {
    const held = await running(store);
    const before = await snapshotRows(store.db);
    const also = { wakes: [], stopped: [held.taskId] };
    const marked = { outcome: 'requested', rootId: held.sessionId, seq: 5, wake: null, also };
    expect(await cancel(held.taskId)).toEqual(marked);
    const after = await snapshotRows(store.db);
    expect(changesBetween(before, after)).toEqual({
      task: [{ '~': held.taskId, cancel_requested_at: [null, 'time'] }],
    });
    expect(await cancel(held.taskId)).toEqual(marked);
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });

  test('finds nothing to do for a task that has ended, and none of another team', async () => {
    const held = await answered(store);
    await settleTurn(store.db, held, {
      results: [],
      end: { kind: 'finish', status: 'succeeded', resultPosition: 2 },
      nextTurnId: newId(),
    });
    const other = await submit(store);
    const stranger = await addTeam(store.db);
    const before = await snapshotRows(store.db);
    expect(await cancel(held.taskId)).toEqual({ outcome: 'ended', status: 'succeeded' });
    expect(await cancelTask(store.db, { ...cancelOf(other.taskId), ...stranger })).toEqual({
      outcome: 'not_found',
    });
    expect(await cancel(newId())).toEqual({ outcome: 'not_found' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });
});

describe('expire_task', () => {
  const pass = (taskId: string) =>
    store.db.sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 ms' WHERE id = ${taskId}`;

  test.each(STILL)('fails a task past its deadline that is %s', async (_state, prepare) => {
    const { taskId, sessionId } = await prepare();
    await store.db
      .sql`UPDATE task SET seconds_limit = 60, deadline_at = clock_timestamp() + interval '1 hour' WHERE id = ${taskId}`;
    await submit(store, { sessionId });
    expect(await expireTask(store.db, taskId, newId())).toEqual({ outcome: 'skipped' });
    await pass(taskId);
    expect(await expiredTasks(store.db, 10)).toEqual([taskId]);
    const nextTurnId = newId();
    const outcome = await expireTask(store.db, taskId, nextTurnId);
    expect(outcome).toMatchObject({
      outcome: 'ended',
      rootId: sessionId,
      wake: { turnId: nextTurnId, wake: 1 },
    });
    const before = await snapshotRows(store.db);
    expect(await expireTask(store.db, taskId, nextTurnId)).toEqual(outcome);
    expect(await expireTask(store.db, taskId, newId())).toEqual({ outcome: 'skipped' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    const [task] = await store.db.sql`SELECT status, error_code FROM task WHERE id = ${taskId}`;
    expect(task).toEqual({ status: 'failed', error_code: 'limit_seconds' });
    expect(await expiredTasks(store.db, 10)).toEqual([]);
  });

  test('leaves a running task to its worker', async () => {
    const held = await running(store, { limits: { seconds: 60 } });
    await pass(held.taskId);
    expect(await expiredTasks(store.db, 10)).toEqual([]);
    expect(await expireTask(store.db, held.taskId, newId())).toEqual({ outcome: 'skipped' });
    expect(await expireTask(store.db, newId(), newId())).toEqual({ outcome: 'skipped' });
  });

  test('leaves a task to its worker that claims it at this moment', async () => {
    const { turnId, taskId } = await submit(store, { limits: { seconds: 60 } });
    const held = await claim(store.db, turnId);
    await handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() });
    await pass(taskId);
    const client = await store.db.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(
        'SELECT FROM session WHERE id = (SELECT session_id FROM task WHERE id = $1) FOR NO KEY UPDATE',
        [taskId],
      );
      expect(await expireTask(store.db, taskId, newId())).toEqual({ outcome: 'skipped' });
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  });
});

describe('a session with several tasks', () => {
  const settle = (end: TurnEnd) => async (sessionId: string, nextTurnId: string) => {
    const [turn] = await store.db.sql<{ id: string; attempt_id: string }>`
      SELECT id, attempt_id FROM turn WHERE session_id = ${sessionId} AND status = 'running'`;
    const held = { turnId: turn?.id ?? '', attemptId: turn?.attempt_id ?? '' };
    return settleTurn(store.db, held, { results: [], end, nextTurnId });
  };
  const ends: [string, TurnEnd][] = [
    ['succeeds', { kind: 'finish', status: 'succeeded', resultPosition: 2 }],
    ['fails', { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' }],
    ['is cancelled', { kind: 'finish', status: 'cancelled' }],
  ];

  test.each(ends)('begins the next one in order when one %s', async (_how, end) => {
    const first = await answered(store);
    const others = [
      await submit(store, { sessionId: first.sessionId }),
      await submit(store, { sessionId: first.sessionId }),
    ];
    const nextTurnId = newId();
    expect(await settle(end)(first.sessionId, nextTurnId)).toMatchObject({
      wake: { turnId: nextTurnId, wake: 1 },
    });
    expect((await claim(store.db, nextTurnId)).outcome).toMatchObject({
      turn: { taskId: others[0]?.taskId, number: 1 },
    });
  });

  test('passes over those that were cancelled while they waited', async () => {
    const first = await answered(store);
    const second = await submit(store, { sessionId: first.sessionId });
    const third = await submit(store, { sessionId: first.sessionId });
    await cancel(second.taskId);
    const nextTurnId = newId();
    await settle({ kind: 'finish', status: 'succeeded', resultPosition: 2 })(first.sessionId, nextTurnId);
    expect((await claim(store.db, nextTurnId)).outcome).toMatchObject({ turn: { taskId: third.taskId } });
  });

  test('begins the next one when a limit ends one at its claim', async () => {
    const first = await submit(store, { limits: { tokens: 1 } });
    await submit(store, { sessionId: first.sessionId });
    const wanted = claimOf(first.turnId, await addWorker(store.db), 5);
    expect(await claimTurn(store.db, wanted)).toMatchObject({
      outcome: 'ended',
      wake: { turnId: wanted.nextTurnId },
    });
  });

  test('closes a question of the one that ends, and no other’s', async () => {
    const [waiting, other] = [await parked(store), await parked(store)];
    await cancel(waiting.taskId);
    const rows = await store.db
      .sql`SELECT status FROM approval WHERE id IN (${waiting.approvalId}, ${other.approvalId}) ORDER BY id`;
    expect(rows).toEqual([{ status: 'closed' }, { status: 'open' }]);
  });
});
