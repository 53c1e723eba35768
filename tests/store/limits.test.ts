import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
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
  resultOf,
  running,
  snapshotRows,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

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

  test('treeTurns: one turn is told as one', async () => {
    const held = await running(store, { limits: { treeTurns: 1 } });
    await recordAnswer(store.db, held, answerOf());
    const end = { kind: 'finish', status: 'succeeded', resultPosition: 2 } as const;
    await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
    const { turnId, taskId } = await submit(store, { sessionId: held.sessionId, limits: { treeTurns: 1 } });
    expect(await claimTurn(store.db, claimOf(turnId, held.workerId))).toMatchObject({ outcome: 'ended' });
    expect(await failure(taskId)).toMatchObject({
      message: 'The session used its one turn. Give the next task a higher limit with --limit treeTurns=N.',
    });
  });

  test('treeTurns: a turn counts once, however many attempts it takes', async () => {
    const { turnId, taskId } = await submit(store, { limits: { treeTurns: 1 } });
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const held = await claim(store.db, turnId);
      await handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() });
    }
    expect(await failure(taskId)).toMatchObject({ status: 'running' });
  });

  test.each([
    ['treeTurns', { treeTurns: 5 }, 'limit_tree_turns'],
    ['tokens', { tokens: 59 }, 'limit_tokens'],
  ])('%s: eight sessions of one tree that begin at once never pass it together', async (_, limits, code) => {
    const submitted = await Promise.all(Array.from({ length: 8 }, () => submit(store, { limits })));
    const root = submitted[0]?.sessionId ?? '';
    const ids = `{${submitted.map(({ sessionId }) => sessionId).join(',')}}`;
    await store.db
      .sql`UPDATE session SET root_id = ${root}, parent_id = ${root}, depth = 1 WHERE id = ANY(${ids}::uuid[]) AND id <> ${root}`;
    await store.db.sql`UPDATE tree SET children = ${submitted.length - 1} WHERE root_id = ${root}`;
    await store.db.sql`UPDATE task SET root_id = ${root} WHERE session_id = ANY(${ids}::uuid[])`;
    await store.db.sql`UPDATE turn SET root_id = ${root} WHERE session_id = ANY(${ids}::uuid[])`;
    const workerId = await addWorker(store.db);
    const outcomes = await Promise.all(
      submitted.map(({ turnId }) => claimTurn(store.db, claimOf(turnId, workerId, 11))),
    );
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([
      ...Array(5).fill('claimed'),
      ...Array(3).fill('ended'),
    ]);
    const codes = await store.db
      .sql`SELECT DISTINCT error_code AS code FROM task WHERE root_id = ${root} AND ended_at IS NOT NULL`;
    expect(codes).toEqual([{ code }]);
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
    const message = expect.stringMatching(
      /^The session has used 0 of its 500 tokens, and the next turn might need more/,
    );
    if (outcome === 'ended') expect(await failure(taskId)).toMatchObject({ code: 'limit_tokens', message });
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

  test('tokens: an answer that passed them is finished, also by the worker that takes its turn over', async () => {
    const held = await running(store, { limits: { tokens: 5000 }, reserve: 4096 });
    const answer = answerOf([callOf('requested', { effect: 'read' })]);
    await recordAnswer(store.db, held, { ...answer, usage: { ...answer.usage, input: 6000 } });
    await handBackTurn(store.db, held, { results: [], spent: true, nextTurnId: newId() });
    const next = claimOf(held.turnId, await addWorker(store.db), 4096);
    expect(await claimTurn(store.db, next)).toMatchObject({
      outcome: 'claimed',
      turn: { answerPosition: 2 },
    });
  });

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
    await handBackTurn(store.db, first, { results: [], spent: true, nextTurnId: newId() });
    const second = await claim(store.db, turnId);
    await handBackTurn(store.db, second, { results: [], spent: true, nextTurnId: newId() });
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
