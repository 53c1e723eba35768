import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { raiseLimits } from '../../src/store/accounts.ts';
import { ENDED_CHILD, readEndedChild, spawnChildren } from '../../src/store/delegations.ts';
import { cancelTask, createTask, pauseTask, resolveApproval, resumeTask } from '../../src/store/tasks.ts';
import {
  claimTurn,
  type Held,
  handBackTurn,
  parkTurn,
  recordAnswer,
  type SettleOutcome,
  settleTurn,
  type TurnEnd,
} from '../../src/store/turns.ts';
import { readTaskUsage } from '../../src/store/usage.ts';
import { readWaitingTasks } from '../../src/store/witnesses.ts';
import { expiredTasks, expireTask, takeOverTurn } from '../../src/store/workers.ts';
import { CHILD_LIMITS, childOf, delegateCall, delegated } from '../support/delegations.ts';
import {
  addWorker,
  answered,
  answerOf,
  BACKOFF_MS,
  callOf,
  checkWitnesses,
  claim,
  claimOf,
  forgetSessions,
  lose,
  resultOf,
  submissionOf,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => {
  expect(await checkWitnesses(store.db)).toEqual([]);
  await forgetSessions(store.db);
});

const FAILED: TurnEnd = { kind: 'finish', status: 'failed', code: 'refused', message: 'No.' };

async function taskOf(taskId: string) {
  const [row] = await store.db.sql`
    SELECT t.status, t.waiting_on AS on, t.error_code AS code, u.status AS turn, u.open_waits AS waits, u.for_slot AS "forSlot"
      FROM task t LEFT JOIN LATERAL (SELECT * FROM turn WHERE task_id = t.id ORDER BY number DESC LIMIT 1) u ON true WHERE t.id = ${taskId}`;
  return row;
}

/** A worker claims the child's turn, and answers with these calls. */
async function workOn({ turnId }: { readonly turnId: string }, calls = [] as Parameters<typeof answerOf>[0]) {
  const held = await claim(store.db, turnId);
  if (calls !== undefined) await recordAnswer(store.db, held, answerOf(calls));
  return held;
}

async function end(
  held: Held,
  how: TurnEnd = FAILED,
): Promise<Extract<SettleOutcome, { outcome: 'settled' }>> {
  const outcome = await settleTurn(store.db, held, { results: [], end: how, nextTurnId: newId() });
  if (outcome.outcome !== 'settled') throw new Error(`not settled: ${outcome.outcome}`);
  return outcome;
}

const cancel = (taskId: string) =>
  cancelTask(store.db, { teamId: store.teamId, taskId, nextTurnId: newId() });
const whyOf = async (rootId: string) =>
  Object.fromEntries((await readWaitingTasks(store.db, rootId, 200)).rows.map((row) => [row.taskId, row]));

describe('spawn_children', () => {
  test('begins each with a session, a task and a turn of its own, and the call waits', async () => {
    const held = await delegated(store, { count: 2 });
    const [one, two] = held.children;
    expect(held.spawned).toMatchObject({ outcome: 'spawned', openWaits: 2 });
    expect(held.spawned.wakes).toEqual([
      { turnId: one?.turnId, wake: 1 },
      { turnId: two?.turnId, wake: 1 },
    ]);
    const sessions = await store.db.sql`
      SELECT s.id, s.parent_id AS parent, s.root_id AS root, s.depth, w.kind, w.path, w.lineage FROM session s JOIN workspace w ON w.id = s.workspace_id
       WHERE s.parent_id IS NOT NULL ORDER BY s.id`;
    const { sessionId } = held;
    const files = { kind: 'empty', path: null, lineage: sessionId };
    expect(sessions).toEqual(
      [one, two].map((each) => ({
        id: each?.sessionId,
        parent: sessionId,
        root: sessionId,
        depth: 1,
        ...files,
      })),
    );
    expect(await taskOf(held.taskId)).toMatchObject({ status: 'running', waits: 2 });
    expect((await whyOf(sessionId))[one?.taskId ?? '']).toMatchObject({ kind: 'queued' });
  });

  test('is the same once more: nothing is written twice, nothing refused', async () => {
    const held = await answered(store, [delegateCall()], { limits: CHILD_LIMITS });
    const children = [childOf(store, held.calls[0] ?? delegateCall())];
    const first = await spawnChildren(store.db, held, children);
    const again = await spawnChildren(store.db, held, [childOf(store, held.calls[0] ?? delegateCall())]);
    if (first.outcome !== 'spawned' || again.outcome !== 'spawned') throw new Error('not spawned');
    expect(again).toMatchObject({ calls: first.calls, openWaits: 1, wakes: [] });
  });

  test('writes nothing for an attempt that is gone, nor for a task that is cancelled', async () => {
    const gone = await answered(store, [delegateCall()], { limits: CHILD_LIMITS });
    const children = [childOf(store, gone.calls[0] ?? delegateCall())];
    expect(await spawnChildren(store.db, { ...gone, attemptId: newId() }, children)).toEqual({
      outcome: 'fenced',
    });
    await cancel(gone.taskId);
    expect(await spawnChildren(store.db, gone, children)).toEqual({ outcome: 'cancelled' });
    expect(await store.db.sql`SELECT FROM session WHERE parent_id IS NOT NULL`).toEqual([]);
  });

  test('refuses one more than may be, and one deeper than may be', async () => {
    const held = await delegated(store, { count: 3, limits: { children: 2 } });
    expect(held.spawned.calls[2]).toMatchObject({ refused: 'limit_children', allowed: 2 });
    expect(held.children).toHaveLength(2);
    const deep = await workOn(held.children[0] ?? { turnId: '' }, [delegateCall()]);
    const [call] = await store.db.sql<{
      id: string;
    }>`SELECT id FROM tool_call WHERE turn_id = ${deep.turnId}`;
    const spawned = await spawnChildren(store.db, deep, [childOf(store, call ?? { id: '' })]);
    expect(spawned).toMatchObject({ calls: [{ refused: 'limit_depth', allowed: 1 }], openWaits: 0 });
  });

  test('sixty-four turns of a tree that delegate at once begin no more than may be', async () => {
    const limits = { children: 70, concurrentChildren: 70, depth: 2 };
    const held = await delegated(store, { count: 64, limits });
    const workerId = await addWorker(store.db);
    const deeper = await Promise.all(
      held.children.map(async ({ turnId }) => {
        const claimed = claimOf(turnId, workerId);
        await claimTurn(store.db, claimed);
        const call = delegateCall();
        await recordAnswer(store.db, claimed, answerOf([call]));
        return { claimed, call };
      }),
    );
    const outcomes = await Promise.all(
      deeper.map(({ claimed, call }) => spawnChildren(store.db, claimed, [childOf(store, call)])),
    );
    const refused = outcomes.filter(
      (each) => each.outcome === 'spawned' && each.calls.some((call) => 'refused' in call),
    );
    expect(refused).toHaveLength(64 - 6);
  });
});

describe('a child', () => {
  test('that ends wakes its parent where it was the last, in the same commit', async () => {
    const held = await delegated(store, { count: 2 });
    const [one, two] = await Promise.all(held.children.map((child) => workOn(child)));
    expect((await parkTurn(store.db, held, [])).outcome).toBe('parked');
    expect(await taskOf(held.taskId)).toMatchObject({
      status: 'waiting',
      on: 'children',
      turn: 'parked',
      waits: 2,
    });
    expect((await whyOf(held.sessionId))[held.taskId]).toMatchObject({
      kind: 'calls',
      evidence: { children: 2, approvals: [] },
    });
    if (one === undefined || two === undefined) throw new Error('there are two');
    expect((await end(one)).also).toBeUndefined();
    expect(await taskOf(held.taskId)).toMatchObject({ turn: 'parked', waits: 1 });
    expect((await end(two, { kind: 'finish', status: 'succeeded', resultPosition: 2 })).also).toEqual({
      wakes: [{ turnId: held.turnId, wake: 2 }],
      stopped: [],
    });
    expect(await taskOf(held.taskId)).toMatchObject({ turn: 'queued', waits: 0 });
    const call = held.calls[1]?.id ?? '';
    expect(await readEndedChild(store.db, call)).toMatchObject({
      status: 'succeeded',
      answer: 'An answer.',
      calls: [],
    });
  });

  test('uses at the account of its parent, which tells the sum', async () => {
    const held = await delegated(store);
    const [child] = held.children;
    const own = (await readTaskUsage(store.db, [held.taskId])).get(held.taskId)?.[0];
    await workOn(child ?? { turnId: '' });
    const usage = await readTaskUsage(store.db, [held.taskId, child?.taskId ?? '']);
    const [below] = usage.get(child?.taskId ?? '') ?? [];
    expect(usage.get(held.taskId)?.[0]?.input).toBe((own?.input ?? 0) + (below?.input ?? 0));
    expect(below?.input).toBeGreaterThan(0);
  });

  test('is reported by indexes alone, however much all others did', async () => {
    const held = await delegated(store);
    const call = held.calls[0]?.id ?? '';
    const client = await store.db.pool.connect();
    try {
      await client.query('BEGIN');
      // What is read in sequence, or in the order of an index, even so has none that serves.
      await client.query(
        'SET LOCAL enable_seqscan = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_hashjoin = off',
      );
      // The planner is to know nothing of the tables: it may have been told meanwhile that they are next to empty.
      await client.query(
        "DELETE FROM pg_statistic; UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace",
      );
      const { rows } = await client.query(`EXPLAIN ${ENDED_CHILD}`, [call]);
      const plan = rows.map((row) => String(row['QUERY PLAN']));
      const scans = plan.flatMap((line, at) =>
        / Scan using | Seq Scan /.test(line) ? [`${line}${plan[at + 1]}`] : [],
      );
      expect(scans.filter((scan) => !scan.includes('Index Cond:'))).toEqual([]);
      expect(scans.join('\n')).toContain('Index Scan using tool_call_turn_id_ordinal_key on tool_call');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('that ends while its parent still runs leaves it nothing to park for', async () => {
    const held = await delegated(store);
    await end(await workOn(held.children[0] ?? { turnId: '' }));
    expect((await parkTurn(store.db, held, [])).outcome).toBe('open');
    expect(await taskOf(held.taskId)).toMatchObject({ status: 'running', waits: 0 });
  });

  test('waits for a slot where as many are at work as may be, and gets the next that is free', async () => {
    const held = await delegated(store, { count: 4, limits: { concurrentChildren: 2 } });
    const [one, , three, four] = held.children;
    expect(await taskOf(three?.taskId ?? '')).toMatchObject({
      status: 'waiting',
      on: 'slot',
      turn: 'parked',
      forSlot: true,
    });
    expect((await whyOf(held.sessionId))[four?.taskId ?? '']).toMatchObject({
      kind: 'slot',
      evidence: { atWork: 2, ahead: 1 },
      status: 'waiting',
    });
    const { also } = await end(await workOn(one ?? { turnId: '' }));
    expect(also).toEqual({ wakes: [{ turnId: three?.turnId, wake: 1 }], stopped: [] });
    expect(await taskOf(three?.taskId ?? '')).toMatchObject({ turn: 'queued', forSlot: false });
    expect(await taskOf(four?.taskId ?? '')).toMatchObject({ turn: 'parked', forSlot: true });
    await raiseLimits(store.db, {
      teamId: store.teamId,
      taskId: held.taskId,
      limits: { concurrentChildren: 3 },
    });
    expect(await taskOf(four?.taskId ?? '')).toMatchObject({ turn: 'queued' });
  });

  test('that waits for its own gives its slot to another, and waits for one when they have ended', async () => {
    const limits = { concurrentChildren: 1, depth: 2 };
    const held = await delegated(store, { count: 2, limits });
    const [one, two] = held.children;
    const parent = await workOn(one ?? { turnId: '' }, [delegateCall()]);
    const [call] = await store.db.sql<{
      id: string;
    }>`SELECT id FROM tool_call WHERE turn_id = ${parent.turnId}`;
    const grandchild = childOf(store, call ?? { id: '' });
    await spawnChildren(store.db, parent, [grandchild]);
    expect(await taskOf(grandchild.task.id)).toMatchObject({ on: 'slot' });
    const parkedThere = await parkTurn(store.db, parent, []);
    expect(parkedThere).toMatchObject({
      outcome: 'parked',
      also: { wakes: [{ turnId: two?.turnId, wake: 1 }] },
    });
    const second = await end(await workOn(two ?? { turnId: '' }));
    expect(second.also?.wakes).toEqual([{ turnId: grandchild.task.turnId, wake: 1 }]);
    const last = await end(await workOn(grandchild.task));
    expect(last.also?.wakes).toEqual([{ turnId: parent.turnId, wake: 2 }]);
    expect(await taskOf(one?.taskId ?? '')).toMatchObject({ turn: 'queued', forSlot: false });
  });

  test('ends with its parent, and all below it, at once where no worker runs it', async () => {
    const held = await delegated(store, { count: 3, limits: { depth: 2 } });
    const [one, two, three] = held.children;
    const running = await workOn(one ?? { turnId: '' }, [delegateCall()]);
    const [call] = await store.db.sql<{
      id: string;
    }>`SELECT id FROM tool_call WHERE turn_id = ${running.turnId}`;
    const grandchild = childOf(store, call ?? { id: '' });
    await spawnChildren(store.db, running, [grandchild]);
    const asking = await workOn(two ?? { turnId: '' }, [callOf('awaiting_approval')]);
    await parkTurn(store.db, asking, []);
    await parkTurn(store.db, held, []);
    const outcome = await cancel(held.taskId);
    expect(outcome).toMatchObject({ outcome: 'cancelled', also: { stopped: [one?.taskId] } });
    for (const { taskId } of [held, two, three, { taskId: grandchild.task.id }].map(
      (each) => each ?? { taskId: '' },
    ))
      expect(await taskOf(taskId)).toMatchObject({ status: 'cancelled' });
    expect(await taskOf(one?.taskId ?? '')).toMatchObject({ status: 'running' });
    expect(await end(running, { kind: 'continue' })).toMatchObject({ taskStatus: 'cancelled' });
    expect(await store.db.sql`SELECT FROM approval WHERE status = 'open'`).toEqual([]);
  });

  test('is paused with its parent, and goes on with it: what closes meanwhile is counted', async () => {
    const { teamId } = store;
    const held = await delegated(store, {
      count: 2,
      change: { task: { limits: { turns: 70, seconds: 60 } } },
    });
    const [one, two] = await Promise.all(held.children.map((child) => workOn(child)));
    await parkTurn(store.db, held, []);
    if (one === undefined || two === undefined) throw new Error('there are two');
    await end(one);
    const marked = [held.taskId, ...held.children.slice(1).map(({ taskId }) => taskId)];
    expect(await pauseTask(store.db, { teamId, taskId: held.taskId })).toMatchObject({ paused: marked });
    expect(await pauseTask(store.db, { teamId, taskId: held.taskId })).toMatchObject({ paused: [] });
    expect((await whyOf(held.sessionId))[held.taskId]).toMatchObject({ kind: 'paused' });
    const handed = await handBackTurn(store.db, two, { results: [], spent: false, nextTurnId: newId() });
    expect(handed.outcome).toBe('handed_back');
    const workerId = await addWorker(store.db);
    expect(await claimTurn(store.db, claimOf(two.turnId, workerId))).toMatchObject({ outcome: 'parked' });
    await store.db.sql`
      UPDATE task SET deadline_at = deadline_at - interval '90 s', clock_stopped_at = clock_stopped_at - interval '40 s' WHERE id = ${held.children[1]?.taskId}`;
    expect(await expiredTasks(store.db, 10)).toEqual([]);
    const resumed = await resumeTask(store.db, { teamId, taskId: held.taskId });
    expect(resumed).toMatchObject({ outcome: 'resumed', also: { wakes: [{ turnId: two.turnId, wake: 3 }] } });
    const [clock] = await store.db.sql`
      SELECT round(extract(epoch FROM deadline_at - clock_timestamp()))::int AS left FROM task WHERE id = ${held.children[1]?.taskId}`;
    expect(clock).toEqual({ left: 10 });
    const again = claimOf(two.turnId, workerId);
    expect(await claimTurn(store.db, again)).toMatchObject({ outcome: 'claimed' });
    expect((await end(again)).also).toMatchObject({ wakes: [{ turnId: held.turnId, wake: 2 }] });
  });

  test('is cancelled while its parent runs, which is told that it was', async () => {
    const held = await delegated(store);
    expect(await cancel(held.children[0]?.taskId ?? '')).toMatchObject({ outcome: 'cancelled' });
    expect(await taskOf(held.taskId)).toMatchObject({ status: 'running', waits: 0 });
    expect(await readEndedChild(store.db, held.calls[0]?.id ?? '')).toMatchObject({ status: 'cancelled' });
  });

  test('that kills each worker that takes it ends, and its parent goes on', async () => {
    const held = await delegated(store);
    await parkTurn(store.db, held, []);
    for (const _ of BACKOFF_MS) {
      const attempt = await workOn(held.children[0] ?? { turnId: '' }, undefined);
      await lose(store.db, attempt.workerId);
      await takeOverTurn(store.db, attempt, { backoffMs: BACKOFF_MS, nextTurnId: newId(), own: false });
      await store.db
        .sql`UPDATE turn SET status = 'queued', due_at = NULL, wake = wake + 1, checked_at = now() WHERE status = 'ready'`;
    }
    const last = await workOn(held.children[0] ?? { turnId: '' }, undefined);
    const outcome = await takeOverTurn(store.db, last, { backoffMs: [], nextTurnId: newId(), own: true });
    expect(outcome).toMatchObject({ also: { wakes: [{ turnId: held.turnId, wake: 2 }] } });
    expect(await taskOf(held.children[0]?.taskId ?? '')).toMatchObject({
      status: 'failed',
      code: 'crash_loop',
    });
  });

  test('has of tokens what it was given, with all below it, and no more than the tree has', async () => {
    const own = { task: { limits: { turns: 70, tokens: 100 } } };
    const held = await delegated(store, { change: own });
    const [child] = held.children;
    const workerId = await addWorker(store.db);
    expect(await claimTurn(store.db, claimOf(child?.turnId ?? '', workerId, 101))).toMatchObject({
      outcome: 'ended',
    });
    expect(await taskOf(child?.taskId ?? '')).toMatchObject({ status: 'failed', code: 'limit_tokens' });
    const other = await delegated(store, { change: own });
    const [allowed] = other.children;
    expect(await claimTurn(store.db, claimOf(allowed?.turnId ?? '', workerId, 100))).toMatchObject({
      outcome: 'claimed',
    });
  });

  test('has as much time as it was given, in which no person is waited for', async () => {
    const held = await delegated(store, { change: { task: { limits: { turns: 70, seconds: 60 } } } });
    const [child] = held.children;
    const approving = callOf('awaiting_approval');
    const asking = await workOn(child ?? { turnId: '' }, [approving]);
    await parkTurn(store.db, asking, []);
    await parkTurn(store.db, held, []);
    await store.db.sql`
      UPDATE task SET deadline_at = deadline_at - interval '70 s', clock_stopped_at = clock_timestamp() - interval '30 s' WHERE id = ${child?.taskId}`;
    expect(await expiredTasks(store.db, 10)).toEqual([]);
    expect(await expireTask(store.db, child?.taskId ?? '', newId())).toEqual({ outcome: 'skipped' });
    await resolveApproval(store.db, { ...store, approvalId: approving.approvalId ?? '', decision: 'denied' });
    const [clock] = await store.db.sql`
      SELECT clock_stopped_at AS stopped, round(extract(epoch FROM deadline_at - clock_timestamp()))::int AS left FROM task WHERE id = ${child?.taskId}`;
    expect(clock).toEqual({ stopped: null, left: 20 });
  });

  test('may be given another task, and what was not taken over of it stays its own', async () => {
    const held = await delegated(store);
    const [child] = held.children;
    const note = callOf('requested', { name: 'note', effect: 'workspace' });
    const at = await workOn(child ?? { turnId: '' }, [note]);
    await settleTurn(store.db, at, {
      results: [resultOf(note, { snapshot: 'b'.repeat(40) })],
      end: FAILED,
      nextTurnId: newId(),
    });
    const [first] = held.calls;
    if (first === undefined || child === undefined) throw new Error('there is a child');
    const report = resultOf(first);
    const next = await settleTurn(store.db, held, {
      results: [report],
      end: { kind: 'continue' },
      nextTurnId: newId(),
    });
    if (next.outcome !== 'settled' || next.wake === null) throw new Error('no next turn');
    const again = delegateCall();
    const second = await workOn({ turnId: next.wake.turnId }, [again]);
    const wanted = { continues: child.sessionId };
    const spawned = await spawnChildren(store.db, second, [childOf(store, again, wanted)]);
    expect(spawned).toMatchObject({ calls: [{ childSessionId: child.sessionId }] });
    const rows = await store.db.sql`
      SELECT d.base, d.is_continued AS continued, w.head FROM delegation d JOIN session s ON s.id = d.child_session_id JOIN workspace w ON w.id = s.workspace_id
       ORDER BY d.created_at`;
    const kept = { head: 'b'.repeat(40) };
    expect(rows).toEqual([
      { base: null, continued: false, ...kept },
      { base: null, continued: true, ...kept },
    ]);
    const busy = delegateCall(1);
    expect(busy.ordinal).toBe(1);
  });

  test('of another session, or at work, goes on for nobody', async () => {
    const held = await delegated(store, { count: 1 });
    const calls = [delegateCall(0), delegateCall(1)];
    const stranger = await answered(store, calls, { limits: CHILD_LIMITS });
    const [one, two] = stranger.calls;
    const foreign = childOf(store, one ?? { id: '' }, { continues: held.children[0]?.sessionId ?? '' });
    const unknown = childOf(store, two ?? { id: '' }, { continues: newId() });
    expect(await spawnChildren(store.db, stranger, [foreign, unknown])).toMatchObject({
      calls: [{ refused: 'child_not_found' }, { refused: 'child_not_found' }],
    });
  });

  test('is a session that a person may talk to, too', async () => {
    const held = await delegated(store);
    const [child] = held.children;
    await end(await workOn(child ?? { turnId: '' }));
    const own = submissionOf(store, { sessionId: child?.sessionId ?? '' });
    expect(await createTask(store.db, own)).toMatchObject({ outcome: 'created', wake: { wake: 1 } });
    const at = await workOn({ turnId: own.task.turnId });
    expect((await end(at)).also).toBeUndefined();
  });
});
