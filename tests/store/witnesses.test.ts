import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { cancelTask, resolveApproval } from '../../src/store/tasks.ts';
import { type Held, handBackTurn, parkTurn, retryTurn, settleTurn } from '../../src/store/turns.ts';
import { readWaitingTasks, type WaitingTask, WITNESSES, witnessQuery } from '../../src/store/witnesses.ts';
import { takeOverTurn } from '../../src/store/workers.ts';
import {
  addWorker,
  answered,
  BACKOFF_MS,
  callOf,
  claim,
  forgetSessions,
  lose,
  parked,
  running,
  type Submitted,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => {
  await forgetSessions(store.db);
  await store.db.sql`DELETE FROM worker`;
});

const waiting = async ({ sessionId }: { sessionId: string }) =>
  (await readWaitingTasks(store.db, sessionId, 100)).rows;
const execute = (sql: string) => store.db.pool.query(sql);

/** The session's one unfinished task; its evidence without times. */
async function only(session: { sessionId: string }): Promise<WaitingTask> {
  const [task, ...others] = await waiting(session);
  expect(others).toEqual([]);
  if (task === undefined) throw new Error('nothing is unfinished');
  return task;
}

async function evidenceOf<Kind extends WaitingTask['kind']>(session: { sessionId: string }, kind: Kind) {
  const task = await only(session);
  expect([task.kind, task.via]).toEqual([kind, []]);
  return task.evidence as Extract<WaitingTask, { kind: Kind }>['evidence'];
}

const failure = { code: 'overloaded', message: 'Busy.' };
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/);
/** So many seconds, give or take five. */
const about = (seconds: number) => expect.closeTo(seconds, -1);

describe('what wakes an unfinished task', () => {
  test('a job in the queue, since it was submitted; without a live worker too', async () => {
    const task = await submit(store);
    expect(await only(task)).toEqual({
      taskId: task.taskId,
      sessionId: task.sessionId,
      ordinal: 1,
      status: 'queued',
      kind: 'queued',
      via: [],
      evidence: { turn: 1, since: time, waitedSeconds: about(0), liveWorkers: 0, pinnedTo: null },
    });
  });

  test('a job in the queue, since a worker handed the turn back or a person answered', async () => {
    const handed = await running(store);
    await handBackTurn(store.db, handed, { results: [], spent: true, nextTurnId: newId() });
    const asked = await parked(store);
    await resolveApproval(store.db, { ...store, approvalId: asked.approvalId, decision: 'allowed' });
    await execute(
      `UPDATE attempt SET ended_at = ended_at + interval '1 h' WHERE turn_id = '${handed.turnId}'`,
    );
    await execute(`UPDATE approval SET resolved_at = resolved_at + interval '1 h'`);
    for (const task of [handed, asked]) {
      expect(await evidenceOf(task, 'queued')).toMatchObject({ waitedSeconds: about(-3600), liveWorkers: 2 });
    }
  });

  test('only workers that have a lease count as live', async () => {
    const task = await submit(store);
    const [one, other] = [await addWorker(store.db), await addWorker(store.db)];
    expect(await evidenceOf(task, 'queued')).toMatchObject({ liveWorkers: 2 });
    await lose(store.db, one);
    await expire(other);
    expect(await evidenceOf(task, 'queued')).toMatchObject({ liveWorkers: 0 });
  });

  test('a due time, after a request that failed', async () => {
    const held = await running(store);
    await retryTurn(store.db, held, { delayMs: 60_000, failure, spent: false, nextTurnId: newId() });
    expect(await evidenceOf(held, 'due')).toEqual({
      ...{ turn: 1, dueAt: time, dueInSeconds: about(60), liveWorkers: 1 },
      ...{ after: 'retry', failure, losses: 0 },
    });
  });

  test('a due time, after a worker was lost a second time', async () => {
    const held = await running(store);
    await loseAndTake(held);
    await loseAndTake(await claim(store.db, held.turnId));
    expect(await evidenceOf(held, 'due')).toMatchObject({
      ...{ dueInSeconds: about(1), liveWorkers: 0, after: 'lost', failure: null, losses: 2 },
    });
  });

  test('admission, for a turn that may begin at once', async () => {
    // No transition leaves one like this; one that limits how much runs at once will.
    const task = await submit(store);
    await execute(`UPDATE turn SET status = 'ready'`);
    expect(await evidenceOf(task, 'admission')).toEqual({ turn: 1, liveWorkers: 0 });
  });

  test('the lease of the worker that has the turn, also once it is over', async () => {
    const held = await running(store);
    const evidence = {
      ...{ turn: 1, attemptId: held.attemptId, startedAt: time, workerId: held.workerId },
      cancelRequested: false,
    };
    expect(await evidenceOf(held, 'lease')).toEqual({
      ...evidence,
      leaseSecondsLeft: about(600),
      liveWorkers: 1,
    });
    await cancelTask(store.db, { ...store, taskId: held.taskId, nextTurnId: newId() });
    await expire(held.workerId);
    expect(await evidenceOf(held, 'lease')).toEqual({
      ...{ ...evidence, cancelRequested: true, leaseSecondsLeft: about(-10), liveWorkers: 0 },
    });
    await execute(`UPDATE worker SET lease_expires_at = clock_timestamp() + interval '1 h'`);
    await lose(store.db, held.workerId);
    expect(await evidenceOf(held, 'lease')).toMatchObject({ leaseSecondsLeft: about(0) });
  });

  test('the answers to the calls that wait, while the turn is parked', async () => {
    const [one, other] = [
      callOf('awaiting_approval'),
      callOf('awaiting_approval', { ordinal: 1, name: 'write_file' }),
    ];
    const held = await answered(store, [one, other]);
    expect((await only(held)).kind).toBe('lease');
    await parkTurn(store.db, held, []);
    const asked = { tool: 'bash', arguments: '{}', askedAt: time, expiresAt: null, expiresInSeconds: null };
    const both = [
      { ...asked, id: one.approvalId },
      { ...asked, id: other.approvalId, tool: 'write_file' },
    ];
    expect(await evidenceOf(held, 'calls')).toEqual({ turn: 1, children: 0, approvals: both });
    await resolveApproval(store.db, { ...store, approvalId: one.approvalId ?? '', decision: 'denied' });
    expect(await evidenceOf(held, 'calls')).toEqual({ turn: 1, children: 0, approvals: both.slice(1) });
    await execute(
      `UPDATE approval SET expires_at = clock_timestamp() + interval '1 h' WHERE status = 'open'`,
    );
    expect(await evidenceOf(held, 'calls')).toMatchObject({
      approvals: [{ expiresAt: time, expiresInSeconds: about(3_600) }],
    });
  });

  test('an earlier task of its session: the first of those that wait, however long the line', async () => {
    const first = await parked(store);
    const [second, third] = [await submit(store, first), await submit(store, first)];
    const via = [{ taskId: first.taskId, kind: 'calls' }];
    expect(await waiting(first)).toMatchObject([
      { taskId: first.taskId, kind: 'calls', via: [] },
      { taskId: second.taskId, kind: 'earlier', via, evidence: { ahead: 1 } },
      { taskId: third.taskId, kind: 'earlier', via, evidence: { ahead: 2 } },
    ]);
    await cancelTask(store.db, { ...store, taskId: first.taskId, nextTurnId: newId() });
    expect(await waiting(first)).toMatchObject([
      { taskId: second.taskId, kind: 'queued' },
      { taskId: third.taskId, kind: 'earlier', via: [{ taskId: second.taskId, kind: 'queued' }] },
    ]);
  });

  test('nothing wakes what has ended', async () => {
    const done = await answered(store);
    const end = { kind: 'finish', status: 'succeeded', resultPosition: done.answerPosition } as const;
    await settleTurn(store.db, done, { results: [], end, nextTurnId: newId() });
    expect(await waiting(done)).toEqual([]);
  });
});

describe('a session tree', () => {
  test('is read by indexes alone, however many tasks there are', async () => {
    const { taskId, sessionId } = await submit(store);
    const client = await store.db.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(
        `INSERT INTO session SELECT (jsonb_populate_record(s, jsonb_build_object('id', new, 'root_id', new))).*
           FROM session s, (SELECT gen_random_uuid() AS new FROM generate_series(1, 2000)) news WHERE s.id = $1`,
        [sessionId],
      );
      await client.query(
        `INSERT INTO task SELECT (jsonb_populate_record(t, jsonb_build_object('id', s.id, 'session_id', s.id, 'root_id', s.id))).*
           FROM task t, session s WHERE t.id = $1 AND s.id <> t.session_id`,
        [taskId],
      );
      // What is read in sequence even so has no index that serves.
      await client.query('ANALYZE task; SET LOCAL enable_seqscan = off');
      const { rows } = await client.query(`EXPLAIN ${witnessQuery()}`, [sessionId]);
      const plan = rows.map((row) => String(row['QUERY PLAN'])).join('\n');
      expect(plan).toContain(`Index Cond: (root_id = '${sessionId}'::uuid)`);
      expect(plan).not.toContain('Seq Scan');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  test('is read apart from all others, as many tasks as wanted, the broken ones first', async () => {
    const one = await submit(store);
    const [second, third] = [await submit(store, one), await submit(store, one)];
    await submit(store);
    expect((await waiting(one)).map(({ taskId }) => taskId)).toEqual([
      one.taskId,
      second.taskId,
      third.taskId,
    ]);
    await giveTurn(third);
    const { rows, more } = await readWaitingTasks(store.db, one.sessionId, 2);
    expect([rows.map(({ taskId }) => taskId), more]).toEqual([[third.taskId, one.taskId], true]);
  });
});

describe('a task that nothing, or too much, will wake', () => {
  const fault = (fault: string, found: readonly string[] = []) => ({
    kind: 'broken',
    evidence: { fault, found },
  });

  test('has no unfinished turn', async () => {
    const task = await submit(store);
    await endTurns();
    expect(await only(task)).toMatchObject({ ...fault('none'), via: [] });
  });

  test('has a turn that runs under an attempt that has ended', async () => {
    const held = await running(store);
    await execute(`UPDATE attempt SET outcome = 'lost', ended_at = now()`);
    expect(await only(held)).toMatchObject(fault('none'));
  });

  test('has a turn that runs under an attempt that is not its own', async () => {
    const [held, other] = [await running(store), await running(store)];
    await execute(`UPDATE turn SET attempt_id = '${other.attemptId}' WHERE id = '${held.turnId}'`);
    expect(await only(held)).toMatchObject(fault('none'));
  });

  test('waits for more answers than there are questions', async () => {
    const asked = await parked(store);
    await execute('UPDATE turn SET open_waits = 2');
    expect(await only(asked)).toMatchObject(fault('none'));
    await execute(`UPDATE turn SET open_waits = 1`);
    await execute(`UPDATE approval SET status = 'closed', resolved_at = now()`);
    expect(await only(asked)).toMatchObject(fault('none'));
  });

  test('has two unfinished turns', async () => {
    const task = await submit(store);
    await giveTurn(task);
    expect(await only(task)).toMatchObject(fault('several', ['queued', 'queued']));
  });

  test('has a turn while its session has an earlier task', async () => {
    const first = await submit(store);
    const second = await submit(store, first);
    await giveTurn(second);
    const found = fault('several', ['earlier', 'queued']);
    expect(await waiting(first)).toMatchObject([{ taskId: second.taskId, ...found }, { kind: 'queued' }]);
  });

  test('waits for a task that nothing will wake', async () => {
    const first = await submit(store);
    const second = await submit(store, first);
    await endTurns();
    expect(await waiting(first)).toMatchObject([
      { taskId: first.taskId, ...fault('none'), via: [] },
      {
        taskId: second.taskId,
        ...fault('nowhere', ['earlier']),
        via: [{ taskId: first.taskId, kind: null }],
      },
    ]);
  });

  test('waits for one that waits for it, with another kind of witness', async () => {
    // No kind of today can: a table stands in for one whose tasks wait for tasks of other sessions.
    const [a, b, c, d] = [await submit(store), await submit(store), await submit(store), await submit(store)];
    await endTurns(a, b, c);
    await execute('CREATE TABLE waits (task_id uuid, via uuid)');
    const wait = (one: Submitted, via: Submitted) => `('${one.taskId}', '${via.taskId}')`;
    await execute(`INSERT INTO waits VALUES ${[wait(a, b), wait(b, c), wait(c, a), wait(c, d)].join()}`);
    const slot = `SELECT task_id, array_agg(via), '{}'::jsonb FROM waits GROUP BY task_id`;
    const found = await store.db.read(witnessQuery({ ...WITNESSES, slot }), null);
    await execute('DROP TABLE waits');
    const byTask = Object.fromEntries(found.map(({ taskId, ...task }) => [taskId, task]));
    for (const each of [a, b, c]) expect(byTask[each.taskId]).toMatchObject(fault('cycle', ['slot']));
    expect(byTask[d.taskId]).toMatchObject({ kind: 'queued' });
    const via = [b, c, a, d].map(({ taskId }) => expect.objectContaining({ taskId }));
    expect(byTask[a.taskId]?.via).toEqual(expect.arrayContaining(via));
  });

  test('waits behind several others for one that nothing will wake', async () => {
    const [a, b, c] = [await submit(store), await submit(store), await submit(store)];
    await endTurns(a, b);
    const slot = `SELECT * FROM (VALUES ('${a.taskId}'::uuid, ARRAY['${b.taskId}'::uuid], '{}'::jsonb),
      ('${b.taskId}', ARRAY['${c.taskId}'::uuid], '{}')) v`;
    const rows = await store.db.read(witnessQuery({ ...WITNESSES, slot }), null);
    expect(rows.find(({ taskId }) => taskId === a.taskId)).toMatchObject({
      kind: 'slot',
      via: [
        { taskId: b.taskId, kind: 'slot' },
        { taskId: c.taskId, kind: 'queued' },
      ],
    });
    await endTurns(c);
    const broken = await store.db.read(witnessQuery({ ...WITNESSES, slot }), null);
    expect(broken.map(({ kind }) => kind)).toEqual(['broken', 'broken', 'broken']);
  });
});

async function expire(workerId: string): Promise<void> {
  await execute(
    `UPDATE worker SET lease_expires_at = clock_timestamp() - interval '10 s' WHERE id = '${workerId}'`,
  );
}

async function loseAndTake(held: Held & { workerId: string }): Promise<void> {
  await lose(store.db, held.workerId);
  await takeOverTurn(store.db, held, { backoffMs: BACKOFF_MS, nextTurnId: newId(), own: false });
}

/** Ends the turns of these tasks, or all, behind their tasks' backs. */
async function endTurns(...tasks: readonly Submitted[]): Promise<void> {
  const some =
    tasks.length === 0 ? '' : `AND task_id IN (${tasks.map(({ taskId }) => `'${taskId}'`).join()})`;
  await execute(`UPDATE turn SET status = 'cancelled', ended_at = now() WHERE ended_at IS NULL ${some}`);
}

/** One more turn, which no transition would add. */
async function giveTurn({ taskId }: { taskId: string }): Promise<void> {
  await execute('DROP INDEX IF EXISTS turn_one_unfinished');
  await execute(`
    INSERT INTO turn (id, session_id, task_id, root_id, number, status, wake, checked_at)
    SELECT gen_random_uuid(), session_id, id, root_id, 9, 'queued', 1, now() FROM task WHERE id = '${taskId}'`);
}
