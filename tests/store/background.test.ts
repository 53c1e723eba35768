/** Commands in the background: who may take the session's turns while they run, and when the model was told of their end. */
import { describe, expect, test } from 'vitest';
import { sentenceOf } from '../../src/api/why-sentence.ts';
import { newId } from '../../src/clock.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { cancelTask } from '../../src/store/tasks.ts';
import {
  type CallResult,
  claimTurn,
  handBackTurn,
  recordAnswer,
  recordResults,
  settleTurn,
} from '../../src/store/turns.ts';
import { readWaitingTasks } from '../../src/store/witnesses.ts';
import { sessionsPinnedTo } from '../../src/store/workers.ts';
import {
  type Answered,
  addWorker,
  answered,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  claimOf,
  lose,
  resultOf,
  snapshotRows,
  useStore,
} from '../support/store.ts';

const store = useStore();
const started = (number: number) => ({ id: newId(), number, command: `serve ${number}` });

/** A turn whose one call has begun these commands, committed. */
async function serving(...numbers: number[]): Promise<Answered & { ids: string[]; results: CallResult[] }> {
  const call = callOf('started');
  const held = await answered(store, [call]);
  const all = numbers.map(started);
  const results = [resultOf(call, { processes: { started: all } })];
  await recordResults(store.db, held, { results, start: [] });
  return { ...held, results, ids: all.map(({ id }) => id) };
}

async function next(held: Answered): Promise<string> {
  const end = { kind: 'continue' } as const;
  const outcome = await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
  if (outcome.outcome === 'fenced' || outcome.wake === null) throw new Error('there is no next turn');
  return outcome.wake.turnId;
}

async function claimBy(turnId: string, workerId: string, leaseMs = 0) {
  const wanted = { ...claimOf(turnId, workerId), leaseMs };
  return { held: wanted, outcome: await claimTurn(store.db, wanted) };
}

const rowsOf = ({ sessionId }: Answered) => store.db.sql<{
  number: number;
  end: string | null;
  worker: string | null;
}>`
  SELECT number, "end", worker_id AS worker FROM background_process WHERE session_id = ${sessionId} ORDER BY number`;

describe('a command that goes on', () => {
  test('is committed with the result that began it, once', async () => {
    const call = callOf('started');
    const held = await answered(store, [call]);
    const [one, two] = [started(1), started(2)];
    const before = await snapshotRows(store.db);
    const results = [
      resultOf(call, { processes: { started: [one, two], ended: [{ id: two.id, end: 'exit 1' }] } }),
    ];
    await recordResults(store.db, held, { results, start: [] });
    const changes = changesBetween(before, await snapshotRows(store.db));
    const row = {
      session_id: held.sessionId,
      task_id: held.taskId,
      tool_call_id: call.id,
      worker_id: held.workerId,
    };
    expect(changes.background_process).toEqual([
      { '+': { ...row, ...one, started_at: 'time', ended_at: null, end: null } },
      { '+': { ...row, ...two, started_at: 'time', ended_at: 'time', end: 'exit 1' } },
    ]);
    const after = await snapshotRows(store.db);
    await recordResults(store.db, held, { results, start: [] });
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });

  test('keeps the session’s turns for its worker while that lives', async () => {
    const held = await serving(1, 2);
    const turnId = await next(held);
    const peer = await addWorker(store.db);
    const before = await snapshotRows(store.db);
    expect((await claimBy(turnId, peer)).outcome).toEqual({
      outcome: 'pinned',
      workerId: held.workerId,
      rootId: held.sessionId,
    });
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
    const { rows } = await readWaitingTasks(store.db, held.sessionId, 10);
    expect(rows).toMatchObject([{ kind: 'queued', evidence: { pinnedTo: held.workerId } }]);
    expect(rows.map(sentenceOf)).toEqual([
      expect.stringMatching(
        /^Turn 2 has waited .* for the worker \w+, where commands of its session run in the background\.$/,
      ),
    ]);
    expect(await sessionsPinnedTo(store.db, held.workerId)).toEqual([held.sessionId]);
    expect((await claimBy(turnId, held.workerId)).outcome).toMatchObject({
      outcome: 'claimed',
      turn: {
        lastProcess: 2,
        processes: [
          { id: held.ids[0], number: 1, command: 'serve 1', isHere: true },
          { id: held.ids[1], number: 2, command: 'serve 2', isHere: true },
        ],
      },
    });
  });

  test.each([
    ['has ended', 'ended'],
    ['has let its lease run out', 'expired'],
  ])('is lost with a worker that %s: who claims is told, and it is nobody’s any more', async (_, how) => {
    const held = await serving(1);
    const turnId = await next(held);
    if (how === 'ended') await lose(store.db, held.workerId);
    else
      await store.db
        .sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = ${held.workerId}`;
    const peer = await addWorker(store.db);
    const { held: claimed, outcome } = await claimBy(turnId, peer);
    expect(outcome).toMatchObject({
      outcome: 'claimed',
      turn: { processes: [{ number: 1, isHere: false }] },
    });
    expect(await rowsOf(held)).toEqual([{ number: 1, end: null, worker: null }]);
    expect(await sessionsPinnedTo(store.db, held.workerId)).toEqual([]);
    // A repeat hears the same.
    expect(await claimTurn(store.db, claimed)).toMatchObject({
      outcome: 'repeated',
      turn: { processes: [{ number: 1, isHere: false }] },
    });
    const answer = {
      ...answerOf(),
      before: [{ kind: 'notice' as const, parts: [{ type: 'text' as const, text: 'It is gone.' }] }],
      ended: [{ id: held.ids[0] ?? '', end: 'lost' }],
    };
    for (const _try of [1, 2]) await recordAnswer(store.db, claimed, answer);
    expect(await rowsOf(held)).toEqual([{ number: 1, end: 'lost', worker: null }]);
    expect(await findBrokenInvariants(store.db)).toEqual([]);
  });

  test('is not lost before Postgres has been up for a lease', async () => {
    const held = await serving(1);
    const turnId = await next(held);
    await store.db
      .sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = ${held.workerId}`;
    const peer = await addWorker(store.db);
    expect((await claimBy(turnId, peer, 2_000_000_000)).outcome).toMatchObject({ outcome: 'pinned' });
    expect((await claimBy(turnId, peer, 0)).outcome).toMatchObject({ outcome: 'claimed' });
  });

  test('of a worker that comes back after another has claimed is not its own again', async () => {
    const held = await serving(1);
    const turnId = await next(held);
    await store.db
      .sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = ${held.workerId}`;
    const { held: claimed } = await claimBy(turnId, await addWorker(store.db));
    await store.db
      .sql`UPDATE worker SET lease_expires_at = clock_timestamp() + interval '1 h' WHERE id = ${held.workerId}`;
    const back = await handBackTurn(store.db, claimed, { results: [], spent: false, nextTurnId: newId() });
    expect(back.outcome).toBe('handed_back');
    expect((await claimBy(turnId, held.workerId)).outcome).toMatchObject({
      outcome: 'claimed',
      turn: { processes: [{ number: 1, isHere: false }] },
    });
  });

  test('of a turn that is handed back is nobody’s: whoever is free takes the turn', async () => {
    const held = await serving(1);
    await handBackTurn(store.db, held, { results: [], spent: false, nextTurnId: newId() });
    expect(await rowsOf(held)).toEqual([{ number: 1, end: null, worker: null }]);
    const { outcome } = await claimBy(held.turnId, await addWorker(store.db));
    expect(outcome).toMatchObject({
      outcome: 'claimed',
      turn: { processes: [{ number: 1, isHere: false }] },
    });
  });

  test('whose end was told holds nobody, and its number is not given again', async () => {
    const held = await serving(1);
    const call = callOf('requested', { ordinal: 0 });
    const turnId = await next(held);
    const { held: claimed } = await claimBy(turnId, held.workerId);
    await recordAnswer(store.db, claimed, answerOf([call]));
    const ended = [{ id: held.ids[0] ?? '', end: 'exit 0' }];
    const results = [resultOf(call, { processes: { ended } })];
    const end = { kind: 'continue' } as const;
    const settled = await settleTurn(store.db, claimed, { results, end, nextTurnId: newId() });
    if (settled.outcome !== 'settled') throw new Error(settled.outcome);
    expect(await rowsOf(held)).toMatchObject([{ number: 1, end: 'exit 0' }]);
    const { outcome } = await claimBy(settled.wake?.turnId ?? '', await addWorker(store.db));
    expect(outcome).toMatchObject({ outcome: 'claimed', turn: { lastProcess: 1, processes: null } });
  });

  test('ends with its task, and no earlier', async () => {
    const held = await serving(1);
    const { teamId } = store;
    await next(held);
    await cancelTask(store.db, { teamId, taskId: newId(), nextTurnId: newId() });
    expect(await rowsOf(held)).toMatchObject([{ end: null }]);
    await cancelTask(store.db, { teamId, taskId: held.taskId, nextTurnId: newId() });
    expect(await rowsOf(held)).toMatchObject([{ end: 'task' }]);
    expect(await checkWitnesses(store.db)).toEqual([]);
  });

  test('on two workers at once is a broken invariant', async () => {
    const held = await serving(1, 2);
    const peer = await addWorker(store.db);
    await store.db.sql`UPDATE background_process SET worker_id = ${peer} WHERE id = ${held.ids[1]}`;
    const broken = await findBrokenInvariants(store.db);
    expect(broken).toMatchObject([{ id: held.sessionId, found: '2 workers, 0 of ended tasks' }]);
    await store.db.sql`UPDATE background_process SET worker_id = ${held.workerId} WHERE id = ${held.ids[1]}`;
  });
});
