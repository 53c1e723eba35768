import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { postMessage } from '../../src/store/tasks.ts';
import { claimTurn, handBackTurn, recordAnswer, settleTurn } from '../../src/store/turns.ts';
import {
  addWorker,
  answered,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  claim,
  claimOf,
  lose,
  PROFILE,
  parked,
  resultOf,
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
        profileHash: submissionOf(store).task.profileHash,
        turnLimit: 70,
        cancelRequested: false,
        secondsLeft: expect.closeTo(60, 0),
        workspace: { id: expect.any(String), kind: 'local', path: '/srv/project' },
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
            tokens_reserved: 500,
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
            message_id: message?.id,
            stop_reason: null,
            call_id: null,
            status: null,
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
          checked_at: ['time', null],
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
    await store.db.sql`UPDATE worker SET lease_expires_at = clock_timestamp() WHERE id = ${late}`;
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
    await handBackTurn(store.db, wanted, { results: [], nextTurnId: newId() });
    const before = await snapshotRows(store.db);
    expect(await claimTurn(store.db, wanted)).toEqual({ outcome: 'moved_on' });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });

  test('takes messages in once each, and none once the turn has its answer', async () => {
    const { turnId, taskId } = await submit(store);
    const post = () =>
      postMessage(store.db, {
        teamId: store.teamId,
        taskId,
        id: newId(),
        parts: [{ type: 'text', text: 'More.' }],
      });
    await post();
    const first = await claim(store.db, turnId);
    expect(first.outcome).toMatchObject({ takenIn: 2 });
    await handBackTurn(store.db, first, { results: [], nextTurnId: newId() });
    await post();
    const second = await claim(store.db, turnId);
    expect(second.outcome).toMatchObject({ takenIn: 1 });
    await recordAnswer(store.db, second, answerOf([callOf()]));
    await post();
    await handBackTurn(store.db, second, { results: [], nextTurnId: newId() });
    const third = await claim(store.db, turnId);
    expect(third.outcome).toMatchObject({ takenIn: 0, turn: { answerPosition: 4 } });
  });

  test('resumes a task that waited, and does not reserve for a turn that has its answer', async () => {
    const asked = await parked(store);
    await store.db
      .sql`UPDATE approval SET status = 'allowed', resolved_at = clock_timestamp() WHERE id = ${asked.approvalId}`;
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

describe('limits, on both sides', () => {
  /** Settles the held turn's answer with one more turn, and claims that. */
  async function anotherTurn(held: Awaited<ReturnType<typeof answered>>, reserve = 0) {
    const nextTurnId = newId();
    const results = held.calls.map((call) => resultOf(call));
    await settleTurn(store.db, held, { results, end: { kind: 'continue' }, nextTurnId });
    return claimOf(nextTurnId, await addWorker(store.db), reserve);
  }

  async function failure(taskId: string) {
    const [task] = await store.db
      .sql`SELECT status, error_code AS code, error_message AS message FROM task WHERE id = ${taskId}`;
    return task;
  }

  test('treeTurns: the session’s last turn is claimed, one more is not', async () => {
    const held = await answered(store, [callOf()], { limits: { treeTurns: 2 } });
    const second = await anotherTurn(held);
    expect(await claimTurn(store.db, second)).toMatchObject({ outcome: 'claimed' });
    await recordAnswer(store.db, second, answerOf());
    const end = { kind: 'finish', status: 'succeeded', resultPosition: 4 } as const;
    await settleTurn(store.db, second, { results: [], end, nextTurnId: newId() });
    const next = await submit(store, { sessionId: held.sessionId, limits: { treeTurns: 2 } });
    const before = await snapshotRows(store.db);
    const third = claimOf(next.turnId, second.workerId);
    expect(await claimTurn(store.db, third)).toMatchObject({
      outcome: 'ended',
      rootId: held.sessionId,
      wake: null,
    });
    expect(changesBetween(before, await snapshotRows(store.db)).event).toEqual([
      'turn.failed',
      'limit.reached',
      'task.failed',
      'agent.state_changed',
    ]);
    expect(await failure(next.taskId)).toEqual({
      status: 'failed',
      code: 'limit_tree_turns',
      message:
        'The session used all of its 2 turns. Give the next task a higher limit with --limit treeTurns=N.',
    });
  });

  test('treeTurns: a turn counts once, however many attempts it takes', async () => {
    const { turnId, taskId } = await submit(store, { limits: { treeTurns: 1 } });
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const held = await claim(store.db, turnId);
      await handBackTurn(store.db, held, { results: [], nextTurnId: newId() });
    }
    expect(await failure(taskId)).toMatchObject({ status: 'running' });
  });

  test.each([
    [500, 'claimed', 500],
    [501, 'ended', 0],
  ])('tokens: of 500, a reservation of %i is %s', async (reserve, outcome, reserved) => {
    const { turnId, sessionId, taskId } = await submit(store, { limits: { tokens: 500 } });
    expect(await claimTurn(store.db, claimOf(turnId, await addWorker(store.db), reserve))).toMatchObject({
      outcome,
    });
    const [tree] = await store.db
      .sql`SELECT turns, tokens_reserved::int AS reserved FROM tree WHERE root_id = ${sessionId}`;
    expect(tree).toEqual({ turns: outcome === 'claimed' ? 1 : 0, reserved });
    if (outcome === 'ended') expect(await failure(taskId)).toMatchObject({ code: 'limit_tokens' });
  });

  test.each([
    [100, 'claimed'],
    [101, 'ended'],
  ])(
    'tokens: the last request counts as used, and again as what the next one sends (%i)',
    async (reserve, outcome) => {
      const held = await answered(store, [callOf()], { limits: { tokens: 130 } });
      expect(await claimTurn(store.db, await anotherTurn(held, reserve))).toMatchObject({ outcome });
    },
  );

  test('tokens: counts that an integer cannot hold end the task instead of stopping it', async () => {
    const held = await running(store, { limits: { tokens: 5_000_000_000 } });
    const call = callOf();
    await recordAnswer(store.db, held, answerOf([call], { input: 2_147_483_647, output: 2_147_483_647 }));
    const next = await anotherTurn({ ...held, calls: [call], answerPosition: 2 }, 1);
    expect(await claimTurn(store.db, next)).toMatchObject({ outcome: 'ended' });
  });

  test('seconds: a turn is claimed before the deadline and not after it', async () => {
    const { turnId, taskId } = await submit(store, { limits: { seconds: 3600 } });
    const first = await claim(store.db, turnId);
    await handBackTurn(store.db, first, { results: [], nextTurnId: newId() });
    const second = await claim(store.db, turnId);
    await handBackTurn(store.db, second, { results: [], nextTurnId: newId() });
    await store.db
      .sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 ms' WHERE id = ${taskId}`;
    expect(await claimTurn(store.db, claimOf(turnId, second.workerId))).toMatchObject({ outcome: 'ended' });
    expect(await failure(taskId)).toMatchObject({
      code: 'limit_seconds',
      message: expect.stringContaining('3600 seconds'),
    });
  });

  test.each([
    [2, 'running'],
    [1, 'failed'],
  ])('turns: with %i of them, a task with one turn behind it is %s', async (turns, status) => {
    const held = await answered(store, [callOf()], { limits: { turns } });
    await settleTurn(store.db, held, {
      results: held.calls.map((call) => resultOf(call)),
      end: { kind: 'continue' },
      nextTurnId: newId(),
    });
    expect(await failure(held.taskId)).toMatchObject({
      status,
      code: status === 'failed' ? 'limit_turns' : null,
    });
  });

  test('a limit that ends a task begins the session’s next one, and a repeat tells its wake-up again', async () => {
    const first = await submit(store, { limits: { tokens: 1 } });
    const second = await submit(store, { sessionId: first.sessionId });
    const wanted = claimOf(first.turnId, await addWorker(store.db), 2);
    const outcome = await claimTurn(store.db, wanted);
    expect(outcome).toMatchObject({ outcome: 'ended', wake: { turnId: wanted.nextTurnId, wake: 1 } });
    const before = await snapshotRows(store.db);
    expect(await claimTurn(store.db, wanted)).toEqual(outcome);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    expect((await claim(store.db, wanted.nextTurnId)).outcome).toMatchObject({
      turn: { taskId: second.taskId },
    });
  });
});
