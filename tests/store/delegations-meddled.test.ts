/** What becomes of delegated work where a person steps in: pauses, raises, cancels, or goes on with a child themselves. */
import { afterEach, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { raiseLimits } from '../../src/store/accounts.ts';
import { readUnmerged, spawnChildren } from '../../src/store/delegations.ts';
import { revertSession } from '../../src/store/revisions.ts';
import { cancelTask, createTask, pauseTask, resolveApproval, resumeTask } from '../../src/store/tasks.ts';
import {
  type CallResult,
  claimTurn,
  handBackTurn,
  parkTurn,
  recordAnswer,
  settleTurn,
  type TurnEnd,
} from '../../src/store/turns.ts';
import { expiredTasks } from '../../src/store/workers.ts';
import { CHILD_LIMITS, childOf, type Delegated, delegateCall, delegated } from '../support/delegations.ts';
import {
  addWorker,
  answered,
  answerOf,
  callOf,
  checkWitnesses,
  claim,
  claimOf,
  forgetSessions,
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
const GO_ON: TurnEnd = { kind: 'continue' };
const [ONE, TWO, THREE] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)] as const;

function onlyChild({ children: [child] }: Delegated) {
  if (child === undefined) throw new Error('there is a child');
  return child;
}

/** A turn with one call that has this outcome. */
async function work(turnId: string, outcome: Partial<CallResult> = {}, end: TurnEnd = FAILED) {
  const held = await claim(store.db, turnId);
  const call = callOf('requested', { name: 'note', effect: 'workspace' });
  await recordAnswer(store.db, held, answerOf([call]));
  return settle(held, [resultOf(call, outcome)], end);
}

async function settle(held: Parameters<typeof settleTurn>[1], results: readonly CallResult[], end: TurnEnd) {
  const outcome = await settleTurn(store.db, held, { results, end, nextTurnId: newId() });
  if (outcome.outcome !== 'settled') throw new Error(`not settled: ${outcome.outcome}`);
  return outcome.wake?.turnId ?? '';
}

async function continued(turnId: string, sessionId: string) {
  const held = await claim(store.db, turnId);
  const call = delegateCall();
  await recordAnswer(store.db, held, answerOf([call]));
  await spawnChildren(store.db, held, [childOf(store, call, { continues: sessionId })]);
  const [row] = await store.db.sql`
    SELECT d.base, w.head FROM delegation d JOIN session s ON s.id = d.child_session_id JOIN workspace w ON w.id = s.workspace_id
     WHERE d.tool_call_id = ${call.id}`;
  return row;
}

const cancel = (taskId: string) =>
  cancelTask(store.db, { teamId: store.teamId, taskId, nextTurnId: newId() });

test('a turn handed back to be paused while its child is open is parked, and goes on when it is resumed', async () => {
  const { teamId } = store;
  const held = await delegated(store);
  const child = onlyChild(held);
  const workerId = await addWorker(store.db);
  await pauseTask(store.db, { teamId, taskId: held.taskId });
  await handBackTurn(store.db, held, { results: [], spent: false, nextTurnId: newId() });
  const claimed = claimOf(held.turnId, workerId);
  expect(await claimTurn(store.db, claimed)).toMatchObject({ outcome: 'parked' });
  await resumeTask(store.db, { teamId, taskId: child.taskId });
  await work(child.turnId);
  expect(await claimTurn(store.db, claimed)).toEqual({ outcome: 'moved_on' });
  expect(await resumeTask(store.db, { teamId, taskId: held.taskId })).toMatchObject({
    also: { wakes: [{ turnId: held.turnId, wake: 3 }] },
  });
  expect(await claimTurn(store.db, claimed)).toMatchObject({ outcome: 'claimed', turn: { openWaits: 0 } });
});

test('what a paused task delegates is paused with it', async () => {
  const { teamId } = store;
  const call = delegateCall();
  const held = await answered(store, [call], { limits: CHILD_LIMITS });
  await pauseTask(store.db, { teamId, taskId: held.taskId });
  const { task, ...child } = childOf(store, call);
  await spawnChildren(store.db, held, [{ task, ...child }]);
  const claimed = claimOf(task.turnId, await addWorker(store.db));
  expect(await claimTurn(store.db, claimed)).toMatchObject({ outcome: 'parked' });
  await resumeTask(store.db, { teamId, taskId: held.taskId });
  expect(await claimTurn(store.db, claimed)).toMatchObject({ outcome: 'claimed' });
});

test('a child that waits for a higher limit has the time that it had', async () => {
  const { teamId } = store;
  const limits = { tokens: 1_000, onLimit: 'park' as const };
  const held = await delegated(store, { limits, change: { task: { limits: { turns: 70, seconds: 60 } } } });
  const child = onlyChild(held);
  const next = await work(child.turnId, {}, GO_ON);
  const claimed = claimOf(next, await addWorker(store.db), 5_000);
  expect(await claimTurn(store.db, claimed)).toMatchObject({ outcome: 'parked' });
  await store.db
    .sql`UPDATE task SET deadline_at = deadline_at - interval '90 s', clock_stopped_at = clock_stopped_at - interval '40 s' WHERE id = ${child.taskId}`;
  expect(await expiredTasks(store.db, 10)).toEqual([]);
  // Raised where it waits: that is a limit of the whole tree.
  expect(
    await raiseLimits(store.db, { teamId, taskId: child.taskId, limits: { tokens: 100_000 } }),
  ).toMatchObject({ outcome: 'raised', also: { wakes: [{ turnId: next }] } });
  const rows = await store.db.sql`
    SELECT id, token_limit::int AS tokens, clock_stopped_at AS stopped, round(extract(epoch FROM deadline_at - clock_timestamp()))::int AS left FROM task ORDER BY id`;
  expect(rows).toEqual([
    { id: held.taskId, tokens: 100_000, stopped: null, left: null },
    { id: child.taskId, tokens: 100_000, stopped: null, left: 10 },
  ]);
});

test('more at once for a child is more for its tree, and a person who works in a child takes no slot of it', async () => {
  const { teamId } = store;
  const held = await delegated(store, { count: 2, limits: { concurrentChildren: 1, depth: 2 } });
  const [one, two] = held.children;
  await work(one?.turnId ?? '');
  const own = submissionOf(store, { sessionId: one?.sessionId ?? '', limits: { ...CHILD_LIMITS, depth: 2 } });
  await createTask(store.db, own);
  const at = await claim(store.db, own.task.turnId);
  const call = delegateCall();
  await recordAnswer(store.db, at, answerOf([call]));
  const spawned = await spawnChildren(store.db, at, [childOf(store, call)]);
  expect(spawned).toMatchObject({ wakes: [{ wake: 1 }] });
  const limits = { concurrentChildren: 2 };
  await raiseLimits(store.db, { teamId, taskId: two?.taskId ?? '', limits });
  const rows = await store.db
    .sql`SELECT concurrent_limit AS limit FROM task WHERE id IN (${held.taskId}, ${two?.taskId})`;
  expect(rows).toEqual([{ limit: 2 }, { limit: 2 }]);
});

test('whoever asks for what a cancelled child did gets its files, and does not lose their own', async () => {
  const held = await delegated(store);
  const child = onlyChild(held);
  const ids = { parentId: held.sessionId, id: child.sessionId };
  const next = await work(child.turnId, { snapshot: ONE }, GO_ON);
  const at = await claim(store.db, next);
  const call = callOf('requested', { name: 'note', effect: 'workspace' });
  await recordAnswer(store.db, at, answerOf([call]));
  await cancel(held.taskId);
  expect(await readUnmerged(store.db, ids)).toBeUndefined();
  await settle(at, [resultOf(call, { snapshot: TWO })], GO_ON);
  expect(await readUnmerged(store.db, ids)).toMatchObject({ base: null, head: TWO });
  await settle(held, [], GO_ON);
  const own = submissionOf(store, { sessionId: held.sessionId, limits: CHILD_LIMITS });
  await createTask(store.db, own);
  expect(await continued(own.task.turnId, child.sessionId)).toEqual({ base: null, head: TWO });
});

test('a child that goes on keeps what a person did in it, and is merged from what was taken over', async () => {
  const held = await delegated(store);
  const child = onlyChild(held);
  const [call] = held.calls;
  await work(child.turnId, { snapshot: ONE });
  const merged = resultOf(call ?? delegateCall(), { merged: [call?.id ?? ''], snapshot: THREE });
  const next = await settle(held, [merged], GO_ON);
  const own = submissionOf(store, { sessionId: child.sessionId });
  await createTask(store.db, own);
  await work(own.task.turnId, { snapshot: TWO });
  expect(await continued(next, child.sessionId)).toEqual({ base: ONE, head: TWO });
});

test('nobody gives a task to a child that only reads its parent’s files, nor takes it back', async () => {
  const { teamId, userId } = store;
  const held = await delegated(store, { change: { isolation: 'shared' } });
  const child = onlyChild(held);
  await work(child.turnId);
  const own = submissionOf(store, { sessionId: child.sessionId });
  expect(await createTask(store.db, own)).toEqual({ outcome: 'session_shared' });
  const { sessionId } = child;
  const revert = { teamId, userId, sessionId, id: newId(), to: 1, snapshot: ONE, parts: [] };
  expect(await revertSession(store.db, revert)).toEqual({ outcome: 'shared' });
});

test('a child that runs while a person is asked below it has no deadline to keep', async () => {
  const limits = { ...CHILD_LIMITS, depth: 2 };
  const change = { task: { limits: { turns: 70, seconds: 60 } } };
  const held = await delegated(store, { limits, change });
  const child = onlyChild(held);
  const at = await claim(store.db, child.turnId);
  const call = delegateCall();
  await recordAnswer(store.db, at, answerOf([call]));
  const below = childOf(store, call);
  await spawnChildren(store.db, at, [below]);
  const asking = callOf('awaiting_approval');
  const deep = await claim(store.db, below.task.turnId);
  await recordAnswer(store.db, deep, answerOf([asking]));
  await parkTurn(store.db, deep, []);
  await handBackTurn(store.db, at, { results: [], spent: false, nextTurnId: newId() });
  const claimed = await claimTurn(store.db, claimOf(child.turnId, await addWorker(store.db)));
  expect(claimed).toMatchObject({ outcome: 'claimed', turn: { secondsLeft: null } });
  await resolveApproval(store.db, { ...store, approvalId: asking.approvalId ?? '', decision: 'denied' });
});

test('nothing begins below a task that waits at its own deadline for more', async () => {
  const held = await delegated(store, { limits: { seconds: 60, onLimit: 'park' } });
  const child = onlyChild(held);
  await store.db
    .sql`UPDATE task SET deadline_at = clock_timestamp() - interval '1 s' WHERE id = ${held.taskId}`;
  const claimed = await claimTurn(store.db, claimOf(child.turnId, await addWorker(store.db)));
  expect(claimed).toMatchObject({ outcome: 'ended' });
  const [row] = await store.db
    .sql`SELECT error_code AS code, error_message AS message FROM task WHERE id = ${child.taskId}`;
  expect(row).toEqual({
    code: 'limit_seconds',
    message: 'The task that it is a part of reached its limit of 60 seconds.',
  });
});

test('a child whose time is no longer limited has no clock to stand still', async () => {
  const held = await delegated(store, { change: { task: { limits: { turns: 70, seconds: 60 } } } });
  const child = onlyChild(held);
  const asking = await claim(store.db, child.turnId);
  await recordAnswer(store.db, asking, answerOf([callOf('awaiting_approval')]));
  await parkTurn(store.db, asking, []);
  const { teamId } = store;
  const outcome = await raiseLimits(store.db, { teamId, taskId: child.taskId, limits: { seconds: null } });
  expect(outcome).toMatchObject({ outcome: 'raised' });
});
