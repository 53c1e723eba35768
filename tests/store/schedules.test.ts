/** Schedules as Postgres has them: who may make one, and that a due time makes one task, whoever looks and however often. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { MAX_UNFINISHED, type Overlap } from '../../src/core/schedule.ts';
import { silentLog } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { removeUser, revokeKey } from '../../src/store/keys.ts';
import {
  type Acting,
  changeSchedule,
  createSchedule,
  type Due,
  dueSchedules,
  fireSchedule,
  type NewSchedule,
  passSchedule,
  readSchedule,
  runSchedule,
  type ScheduleChange,
  type ScheduleRow,
} from '../../src/store/schedules.ts';
import { cancelTask } from '../../src/store/tasks.ts';
import { addTeam, forgetSessions, keyOf, submissionOf, submit, useStore } from '../support/store.ts';
import { lineTo } from './reply-thief.ts';

const store = useStore();
let me: Acting;
const MOST = 3;
const NEXT = new Date(Date.now() + 3_600_000);
const HASH = 'a'.repeat(64);

beforeAll(async () => {
  const { teamId, userId } = store;
  me = { teamId, userId, keyId: (await keyOf(store.db, { teamId, userId, name: 'mine' })).id };
});
beforeEach(() => forgetSessions(store.db));
afterEach(async () => {
  await store.db.sql`DELETE FROM schedule`;
});

const termsOf = (change: Partial<NewSchedule> = {}): NewSchedule => ({
  ...{ id: newId(), name: newId(), cron: null, everySeconds: 60, timeZone: 'UTC', task: { prompt: 'x' } },
  ...{ overlap: 'skip', dueAt: new Date(Date.now() - 1_000), requestHash: HASH },
  ...change,
});

async function add(change: Partial<NewSchedule> = {}, by = me): Promise<DueRow> {
  const terms = termsOf(change);
  expect(await createSchedule(store.db, by, terms, MOST)).toEqual({ outcome: 'created' });
  return look(terms.id, by);
}

type DueRow = ScheduleRow & Due;

async function look(id: string, by = me): Promise<DueRow> {
  const row = await readSchedule(store.db, { teamId: by.teamId, id });
  if (row === undefined) throw new Error('it is gone');
  return row as DueRow;
}

const ready = (sessionId?: string) => submissionOf(store, sessionId === undefined ? {} : { sessionId });
const fire = (due: Due, task = ready()) => fireSchedule(store.db, due, NEXT, task);
const run = (row: ScheduleRow, submission = ready()) => runSchedule(store.db, row, submission);
const made = async (id: string) =>
  store.db.sql<{
    id: string;
    user_id: string;
  }>`SELECT id, user_id FROM task WHERE schedule_id = ${id} ORDER BY id`;
const change = (row: ScheduleRow, what: Partial<ScheduleChange>, by = me) =>
  changeSchedule(store.db, by, row, { ...row, isNewWhen: false, dueAt: null, ...what });
const end = (taskId: string) => cancelTask(store.db, { ...me, taskId, nextTurnId: newId() });

describe('a schedule', () => {
  test('is made once, under a name of its own, and is one of as many as a team may have', async () => {
    const terms = termsOf({ name: 'nightly' });
    const create = (change: Partial<NewSchedule>) =>
      createSchedule(store.db, me, { ...terms, ...change }, MOST);
    expect(await create({})).toEqual({ outcome: 'created' });
    expect(await create({})).toEqual({ outcome: 'repeated' });
    expect(await create({ requestHash: 'b'.repeat(64) })).toEqual({ outcome: 'conflict' });
    expect(await create({ id: newId() })).toEqual({ outcome: 'name_taken' });
    await add();
    await add();
    expect(await create({ id: newId(), name: 'more' })).toEqual({ outcome: 'too_many' });
    await change(await look(terms.id), { removed: true });
    expect(await create({ id: newId() })).toEqual({ outcome: 'created' });
    const theirs = await addTeam(store.db);
    const keyId = (await keyOf(store.db, { ...theirs, name: 'theirs' })).id;
    await add({ name: 'nightly' }, { ...theirs, keyId });
  });

  test('is changed where nobody else has meanwhile', async () => {
    const row = await add();
    expect(await change(row, { overlap: 'queue' })).toEqual({ outcome: 'changed' });
    expect(await change(row, { overlap: 'skip' })).toEqual({ outcome: 'moved_on' });
    expect(await look(row.id)).toEqual({ ...row, overlap: 'queue', revision: 1 });
    const other = await add();
    expect(await change(other, { name: row.name })).toEqual({ outcome: 'name_taken' });
    const away = { ...me, teamId: (await addTeam(store.db)).teamId };
    expect(await change(other, {}, away)).toEqual({ outcome: 'not_found' });
  });

  test('is due again once it is enabled, for whoever enabled it', async () => {
    const row = await add();
    const [bo] = await store.db.sql<{ id: string }>`
      INSERT INTO "user" (id, team_id, name) VALUES (${newId()}, ${store.teamId}, 'Bo') RETURNING id`;
    const owner = { teamId: store.teamId, userId: bo?.id ?? '' };
    const other = { ...owner, keyId: (await keyOf(store.db, { ...owner, name: 'other' })).id };
    await change(row, { enabled: false }, other);
    const off = await look(row.id);
    expect(off).toMatchObject({ dueAt: null, disabledReason: 'person', userName: 'Ada' });
    await change(off, { overlap: 'queue' }, other);
    expect(await look(row.id)).toMatchObject({ dueAt: null, disabledReason: 'person', userName: 'Ada' });
    await change(await look(row.id), { enabled: true, dueAt: NEXT }, other);
    expect(await look(row.id)).toMatchObject({ dueAt: NEXT, disabledReason: null, userName: 'Bo' });
    await change(await look(row.id), { enabled: true, dueAt: new Date() }, other);
    expect(await look(row.id)).toMatchObject({ dueAt: NEXT });
  });

  test('that is due is found, and none else', async () => {
    const [late, early] = [await add(), await add({ dueAt: new Date(Date.now() - 60_000) })];
    await add({ dueAt: NEXT });
    const ids = async (...except: string[]) => (await dueSchedules(store.db, 10, except)).map(({ id }) => id);
    expect(await ids()).toEqual([early.id, late.id]);
    expect(await ids(early.id)).toEqual([late.id]);
    await change(late, { enabled: false });
    await change(early, { removed: true });
    expect(await ids()).toEqual([]);
  });
});

describe('a due time', () => {
  test('makes one task, whoever is at it at the same moment, and whatever was not heard of the first', async () => {
    const due = await add();
    const first = ready();
    const outcomes = await Promise.all([fire(due, first), fire(due), fire(due), fire(due, first)]);
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(1);
    expect(await made(due.id)).toHaveLength(1);
    expect(await fire(due)).toEqual({ outcome: 'moved_on' });
    const [task] = await made(due.id);
    expect(task).toMatchObject({ user_id: store.userId });
    expect(await look(due.id)).toMatchObject({ dueAt: NEXT, lastTaskId: task?.id });
    const again = { ...first, task: { ...first.task, id: task?.id ?? '' } };
    expect(await fire(due, again)).toMatchObject({ outcome: 'repeated', taskId: task?.id });
  });

  test('makes one where the reply to its commit is lost', async () => {
    const due = await add();
    const line = await lineTo(store.url);
    const db = openDatabase({ url: line.url, log: silentLog });
    await db.sql`SELECT 1`;
    line.loseNextReply();
    const task = ready();
    expect(await fireSchedule(db, due, NEXT, task)).toMatchObject({
      outcome: 'repeated',
      taskId: task.task.id,
    });
    expect(await made(due.id)).toHaveLength(1);
    await db.close();
    await line.close();
  });

  test('makes none of what it was before somebody changed it', async () => {
    const due = await add();
    await change(due, { task: { prompt: 'y' } });
    expect(await fire(due)).toEqual({ outcome: 'moved_on' });
    expect(await passSchedule(store.db, due, NEXT, { code: 'x', message: 'y' })).toEqual({
      outcome: 'moved_on',
    });
    expect(await fire(await look(due.id))).toMatchObject({ outcome: 'created' });
  });

  test('comes with its task, or neither does', async () => {
    const due = await add();
    const gone = ready(newId());
    expect(await fire(due, gone)).toEqual({ outcome: 'session_not_found' });
    expect(await look(due.id)).toEqual(due);
    await passSchedule(store.db, due, NEXT, { code: 'unknown_model', message: 'There is none.' });
    expect(await look(due.id)).toMatchObject({ dueAt: NEXT, errorMessage: 'There is none.' });
    await passSchedule(store.db, { ...due, dueAt: NEXT }, NEXT, {
      ...{ code: 'session_archived', message: 'It is.', disables: 'session' },
    });
    expect(await look(due.id)).toMatchObject({ dueAt: null, disabledReason: 'session' });
  });

  test.each<[Overlap, number]>([
    ['skip', 1],
    ['queue', MAX_UNFINISHED],
  ])('with %s makes none where %i have not ended', async (overlap, most) => {
    const { id } = await add({ overlap });
    const { sessionId } = await submit(store);
    const now = async () => {
      await store.db.sql`UPDATE schedule SET due_at = clock_timestamp() WHERE id = ${id}`;
      return (await fire(await look(id), ready(sessionId))).outcome;
    };
    for (let count = 0; count < most; count += 1) expect(await now()).toBe('created');
    expect(await now()).toBe('skipped');
    expect(await look(id)).toMatchObject({ dueAt: NEXT, skippedAt: expect.any(Date) });
    const [first] = await made(id);
    await end(first?.id ?? '');
    expect(await now()).toBe('created');
  });

  test.each(['its key was revoked', 'its user has left', 'its key outlived who left', 'its key has expired'])(
    'disables where %s',
    async (why) => {
      const team = await addTeam(store.db);
      // Somebody else administrates the team.
      await keyOf(store.db, { ...team, name: 'admin', scopes: ['admin'] });
      const [bo] = await store.db.sql<{ id: string }>`
        INSERT INTO "user" (id, team_id, name) VALUES (${newId()}, ${team.teamId}, 'Bo') RETURNING id`;
      const owner = { teamId: team.teamId, userId: bo?.id ?? '' };
      const by = { ...owner, keyId: (await keyOf(store.db, { ...owner, name: 'bo' })).id };
      const due = await add({}, by);
      if (why.endsWith('revoked')) await revokeKey(store.db, by);
      else if (why.endsWith('has left')) await removeUser(store.db, by);
      else if (why.endsWith('who left'))
        await store.db.sql`UPDATE "user" SET left_at = clock_timestamp() WHERE id = ${by.userId}`;
      else await store.db.sql`UPDATE api_key SET expires_at = clock_timestamp() WHERE id = ${by.keyId}`;
      expect(await fire(due, { ...ready(), ...owner })).toEqual({ outcome: 'revoked' });
      expect(await look(due.id, by)).toMatchObject({ dueAt: null, disabledReason: 'revoked' });
      expect(await made(due.id)).toEqual([]);
    },
  );
});

describe('a run beside that', () => {
  test('makes a task of whoever asks, and leaves when it is due', async () => {
    const row = await add({ dueAt: NEXT });
    const ran = await run(row);
    expect(ran).toMatchObject({ outcome: 'created' });
    expect(await look(row.id)).toMatchObject({ dueAt: NEXT, lastTaskId: (await made(row.id))[0]?.id });
    expect(await run(row)).toEqual({ outcome: 'busy', taskId: (await made(row.id))[0]?.id });
    expect(await run({ ...row, revision: 9 })).toEqual({ outcome: 'moved_on' });
  });

  test('is one however often it is asked for under one key', async () => {
    const row = await add();
    const idempotency = { key: newId(), requestHash: HASH };
    const runs = await Promise.all([1, 2].map(() => run(row, { ...ready(), idempotency })));
    expect(runs.map(({ outcome }) => outcome).sort()).toEqual(['created', 'repeated']);
    expect(await made(row.id)).toHaveLength(1);
  });
});
