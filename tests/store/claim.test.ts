import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { postMessage } from '../../src/store/tasks.ts';
import { claimTurn, handBackTurn, recordAnswer } from '../../src/store/turns.ts';
import {
  addWorker,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  claim,
  claimOf,
  lose,
  PROFILE,
  parked,
  running,
  snapshotRows,
  submissionOf,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

describe('claim_turn', () => {
  test('begins an attempt, takes the prompt in, reserves tokens and starts the task', async () => {
    const { turnId, taskId, sessionId } = await submit(store, { limits: { seconds: 60 } });
    await submit(store);
    const wanted = claimOf(turnId, await addWorker(store.db), 500);
    const before = await snapshotRows(store.db);
    const outcome = await claimTurn(store.db, wanted);
    expect(outcome).toEqual({
      outcome: 'claimed',
      takenIn: 1,
      seq: 5,
      entries: [{ kind: 'user', position: 1, parts: [{ type: 'text', text: 'Mend the test.' }] }],
      turn: {
        id: turnId,
        sessionId,
        taskId,
        rootId: sessionId,
        teamId: store.teamId,
        number: 1,
        attemptId: wanted.attemptId,
        answerPosition: null,
        openWaits: 0,
        retries: 0,
        route: null,
        troubles: null,
        takeovers: 0,
        kind: 'answer',
        uncounted: 0,
        overflows: 0,
        lastProcess: null,
        processes: null,
        profileHash: submissionOf(store).task.profileHash,
        turnLimit: 70,
        cancelRequested: false,
        traceparent: null,
        delegation: { isDelegated: false, depth: 0, depthLimit: 0, resultSchema: null },
        reserved: { isLimited: false, tokens: 500, resent: 0, answer: null, prices: null },
        secondsLeft: expect.closeTo(60, 0),
        workspace: {
          ...{ id: expect.any(String), kind: 'local', path: '/srv/project', source: null },
          ...{ lineage: sessionId, base: null, head: null, projectServers: null },
        },
      },
    });
    expect(PROFILE.model).toBe('test/scripted');
    const message = before.message?.values().find((row) => row.task_id === taskId);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      attempt: [
        {
          '+': {
            id: wanted.attemptId,
            turn_id: turnId,
            worker_id: wanted.workerId,
            outcome: null,
            failure: null,
            bucket: null,
            tokens_taken: null,
            started_at: 'time',
            ended_at: null,
          },
        },
      ],
      entry: [
        {
          '+': {
            session_id: sessionId,
            position: 1,
            task_id: taskId,
            turn_id: turnId,
            kind: 'user',
            parts: null,
            noted: null,
            message_id: message?.id,
            stop_reason: null,
            call_id: null,
            status: null,
            replaces: null,
            reverts_to: null,
            created_at: 'time',
          },
        },
      ],
      event: ['task.started', 'turn.started', 'agent.state_changed'],
      message: [{ '~': message?.id, taken_position: [null, 1] }],
      task: [
        {
          '~': taskId,
          status: ['queued', 'running'],
          started_at: [null, 'time'],
          deadline_at: [null, 'time'],
        },
      ],
      tree: [{ '~': sessionId, last_seq: [2, 5], turns: [0, 1], tokens_reserved: [0, 500] }],
      turn: [
        {
          '~': turnId,
          status: ['queued', 'running'],
          attempt_id: [null, wanted.attemptId],
          tokens_reserved: [0, 500],
          checked_at: ['time', null],
          started_at: [null, 'time'],
        },
      ],
    });
  });

  test('is repeated by the same attempt, with the same turn, and writes nothing', async () => {
    const { turnId } = await submit(store);
    const wanted = claimOf(turnId, await addWorker(store.db));
    const first = await claimTurn(store.db, wanted);
    const before = await snapshotRows(store.db);
    expect(await claimTurn(store.db, wanted)).toEqual({ ...first, outcome: 'repeated', takenIn: 0 });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('is refused once another attempt holds the turn, or the turn has moved on or never was', async () => {
    const held = await running(store);
    const before = await snapshotRows(store.db);
    const workerId = await addWorker(store.db);
    const { worker } = changesBetween(before, await snapshotRows(store.db));
    expect(worker).toHaveLength(1);
    const calm = await snapshotRows(store.db);
    expect(await claimTurn(store.db, claimOf(held.turnId, workerId))).toEqual({ outcome: 'moved_on' });
    expect(await claimTurn(store.db, claimOf(newId(), workerId))).toEqual({ outcome: 'moved_on' });
    expect(changesBetween(calm, await snapshotRows(store.db))).toEqual({});
  });

  test('is for one of two workers that get the same job', async () => {
    const { turnId } = await submit(store);
    const workers = await Promise.all(Array.from({ length: 8 }, () => addWorker(store.db)));
    const outcomes = await Promise.all(workers.map((id) => claimTurn(store.db, claimOf(turnId, id))));
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['claimed', ...Array(7).fill('moved_on')]);
  });

  test('needs a worker that is known, has not ended and has a lease', async () => {
    const { turnId } = await submit(store);
    const [ended, late, alive] = [
      await addWorker(store.db),
      await addWorker(store.db),
      await addWorker(store.db),
    ];
    await lose(store.db, ended);
    await store.db
      .sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = ${late}`;
    const before = await snapshotRows(store.db);
    for (const worker of [ended, late, newId()]) {
      expect(await claimTurn(store.db, claimOf(turnId, worker))).toEqual({ outcome: 'worker_lost' });
    }
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    await claim(store.db, turnId, { workerId: alive });
  });

  test('that was taken over meanwhile has moved on when it is repeated', async () => {
    const { turnId } = await submit(store);
    const wanted = claimOf(turnId, await addWorker(store.db));
    await claimTurn(store.db, wanted);
    await handBackTurn(store.db, wanted, { results: [], spent: true, nextTurnId: newId() });
    const before = await snapshotRows(store.db);
    expect(await claimTurn(store.db, wanted)).toEqual({ outcome: 'moved_on' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('tells what the worker does not know of the log, unless that is much', async () => {
    const { turnId, taskId } = await submit(store);
    const post = () =>
      postMessage(store.db, {
        teamId: store.teamId,
        userId: store.userId,
        taskId,
        id: newId(),
        parts: [{ type: 'text', text: 'More.' }],
      });
    for (let count = 1; count < 65; count += 1) await post();
    const workerId = await addWorker(store.db);
    const wanted = claimOf(turnId, workerId);
    const positions = async (known?: number) => {
      const outcome = await claimTurn(store.db, known === undefined ? wanted : { ...wanted, known });
      if (outcome.outcome !== 'claimed' && outcome.outcome !== 'repeated') throw new Error(outcome.outcome);
      return outcome.entries?.map(({ position }) => position) ?? null;
    };
    expect(await positions()).toBe(null);
    expect(await positions(0)).toBe(null);
    expect(await positions(1)).toEqual(Array.from({ length: 64 }, (_, index) => index + 2));
    expect(await positions(64)).toEqual([65]);
    expect(await positions(65)).toEqual([]);
  });

  test('takes messages in once each, and none once the turn has its answer', async () => {
    const { turnId, taskId } = await submit(store);
    const post = () =>
      postMessage(store.db, {
        teamId: store.teamId,
        userId: store.userId,
        taskId,
        id: newId(),
        parts: [{ type: 'text', text: 'More.' }],
      });
    await post();
    const first = await claim(store.db, turnId);
    expect(first.outcome).toMatchObject({ takenIn: 2 });
    await handBackTurn(store.db, first, { results: [], spent: true, nextTurnId: newId() });
    await post();
    const second = await claim(store.db, turnId);
    expect(second.outcome).toMatchObject({ takenIn: 1 });
    await recordAnswer(store.db, second, answerOf([callOf()]));
    await post();
    await handBackTurn(store.db, second, { results: [], spent: true, nextTurnId: newId() });
    const third = await claim(store.db, turnId);
    expect(third.outcome).toMatchObject({ takenIn: 0, turn: { answerPosition: 4 } });
  });

  test('resumes a task that waited, and does not reserve for a turn that has its answer', async () => {
    const asked = await parked(store);
    await store.db.sql`
      UPDATE approval SET status = 'allowed', resolved_by = ${store.userId}, resolved_at = clock_timestamp()
       WHERE id = ${asked.approvalId}`;
    await store.db.sql`UPDATE tool_call SET status = 'requested' WHERE id = ${asked.call.id}`;
    await store.db
      .sql`UPDATE turn SET status = 'queued', open_waits = 0, checked_at = clock_timestamp() WHERE id = ${asked.turnId}`;
    const before = await snapshotRows(store.db);
    await claim(store.db, asked.turnId, { reserve: 500 });
    const { event, tree, task } = changesBetween(before, await snapshotRows(store.db));
    expect(event).toEqual(['task.resumed', 'turn.started', 'agent.state_changed']);
    expect(task).toEqual([
      { '~': asked.taskId, status: ['waiting', 'running'], waiting_on: ['approval', null] },
    ]);
    expect(tree).toEqual([{ '~': asked.sessionId, last_seq: expect.anything() }]);
  });
});
