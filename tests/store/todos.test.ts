import { afterEach, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import type { Todo } from '../../src/core/todos.ts';
import { todosIn } from '../../src/core/todos.ts';
import { forkSession } from '../../src/store/forks.ts';
import { findBrokenInvariants } from '../../src/store/invariants.ts';
import { revertSession } from '../../src/store/revisions.ts';
import { readEntries } from '../../src/store/session-log.ts';
import { type NewCall, recordResults, settleTurn } from '../../src/store/turns.ts';
import { readTodos } from '../../src/store/views-todos.ts';
import {
  type Answered,
  answered,
  callOf,
  changesBetween,
  forkOf,
  resultOf,
  revertOf,
  snapshotRows,
  useStore,
} from '../support/store.ts';

const store = useStore();
afterEach(async () => expect(await findBrokenInvariants(store.db)).toEqual([]));

const todo = (text: string, status: Todo['status'] = 'pending'): Todo => ({ text, status });
const listOf = async (sessionId: string) => (await readTodos(store.db, [sessionId])).get(sessionId);
/** What a worker reads of the same. */
const listInLog = async (sessionId: string) => todosIn(await readEntries(store.db, sessionId, 0))?.todos;

/** A running turn with so many `todo` calls, and results that hand in lists for them, in the model's order. */
async function asked(count: number) {
  const calls = Array.from({ length: count }, (_, ordinal) =>
    callOf('requested', { ordinal, name: 'todo', effect: 'read' }),
  );
  const held = await answered(store, calls);
  const result = (index: number, todos?: readonly Todo[]) =>
    resultOf(calls[index] as NewCall, todos && { noted: { todos } });
  return { held, result, record: recordIn(held) };
}

const recordIn =
  (held: Answered) =>
  (...results: ReturnType<typeof resultOf>[]) =>
    recordResults(store.db, held, { results, start: [] });

test('the newest list of a commit, in the model’s order, replaces the one before; what stays keeps its time', async () => {
  const { held, result, record } = await asked(4);
  const first = [todo('Look.', 'in_progress'), todo('Mend it.'), todo('Prove it.')];
  await record(result(0, [todo('Guess.')]), result(1, first));
  expect(await listOf(held.sessionId)).toEqual(first);
  const before = await snapshotRows(store.db);
  const second = [todo('Look.', 'in_progress'), todo('Mend it.', 'done')];
  const progress = [result(2, second), result(3)] as const;
  await record(...progress);
  const after = await snapshotRows(store.db);
  const at = (position: number) => `${held.sessionId} ${position}`;
  expect(changesBetween(before, after).todo).toEqual([
    { '~': at(2), status: ['pending', 'done'], updated_at: ['time', 'time'] },
    { '-': at(3) },
  ]);
  expect(await listInLog(held.sessionId)).toEqual(second);
  await record(...progress);
  expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
});

test('a list of a call that has its result, or of an attempt that lost the turn, is not written', async () => {
  const { held, result, record } = await asked(2);
  await record(result(0, [todo('Kept.')]));
  await record(result(0, [todo('Told twice.')]));
  const lost = { ...held, attemptId: newId() };
  expect(await recordIn(lost)(result(1, [todo('Late.')]))).toEqual({ outcome: 'fenced' });
  expect(await listOf(held.sessionId)).toEqual([todo('Kept.')]);
  await record(result(1, []));
  expect(await listOf(held.sessionId)).toEqual([]);
});

test('lists of several sessions are read at once, each by itself', async () => {
  const [one, other] = [await asked(1), await asked(1)];
  await one.record(one.result(0, [todo('One.'), todo('Two.')]));
  await other.record(other.result(0));
  const ids = [one.held.sessionId, other.held.sessionId];
  expect([...(await readTodos(store.db, ids))]).toEqual([
    [ids[0], [todo('One.'), todo('Two.')]],
    [ids[1], []],
  ]);
  expect(await readTodos(store.db, [])).toEqual(new Map());
});

/** A session whose task is over, with two lists in its log, and where each stands. */
async function twoLists() {
  const { held, result, record } = await asked(2);
  const lists = [[todo('First.')], [todo('First.', 'done'), todo('Second.')]] as const;
  await record(result(0, lists[0]), result(1, lists[1]));
  const end = { kind: 'finish', status: 'succeeded', resultPosition: 2 } as const;
  await settleTurn(store.db, held, { results: [], end, nextTurnId: newId() });
  return { sessionId: held.sessionId, lists, places: [3, 4] as const };
}

test('a fork begins with the list that its source had there, and goes its own way', async () => {
  const { sessionId, lists, places } = await twoLists();
  const fork = async (at: number, from = sessionId) => {
    const outcome = await forkSession(store.db, forkOf(store, from, { id: newId(), at }));
    if (outcome.outcome !== 'forked') throw new Error(outcome.outcome);
    return outcome.sessionId;
  };
  const early = await fork(places[0]);
  expect([await listOf(early), await listInLog(early)]).toEqual([lists[0], lists[0]]);
  expect(await listOf(await fork(places[1]))).toEqual(lists[1]);
  expect(await listOf(await fork(2))).toEqual([]);
  expect(await listOf(await fork(places[0] + 1, early))).toEqual(lists[0]);
  await revertSession(store.db, revertOf(store, early, { to: 2 }));
  expect([await listOf(early), await listOf(sessionId)]).toEqual([[], lists[1]]);
});

test('a revert takes the list back with the log, and a second one forward again', async () => {
  const { sessionId, lists, places } = await twoLists();
  const revert = (to: number) => revertSession(store.db, revertOf(store, sessionId, { to }));
  const both = async () => [await listOf(sessionId), (await listInLog(sessionId)) ?? []];
  await revert(places[0]);
  expect(await both()).toEqual([lists[0], lists[0]]);
  await revert(2);
  expect(await both()).toEqual([[], []]);
  await revert(places[1]);
  expect(await both()).toEqual([lists[1], lists[1]]);
  await revert(5);
  expect(await both()).toEqual([lists[0], lists[0]]);
});
