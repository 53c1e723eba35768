/** Sessions that are named, archived and deleted: every row of every table is looked at. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { spawnChildren } from '../../src/store/delegations.ts';
import { forkSession } from '../../src/store/forks.ts';
import { forgetOutputs, putImage, putOutput } from '../../src/store/outputs.ts';
import { revertSession } from '../../src/store/revisions.ts';
import { searchSessions, takeInPassages } from '../../src/store/search.ts';
import { archiveSession, deleteSession, renameSession } from '../../src/store/sessions.ts';
import { cancelTask, createTask, postMessage, resolveApproval } from '../../src/store/tasks.ts';
import { parkTurn, recordAnswer, settleTurn } from '../../src/store/turns.ts';
import { readUsage } from '../../src/store/usage.ts';
import { childOf, delegateCall } from '../support/delegations.ts';
import {
  addTeam,
  answerOf,
  callOf,
  changesBetween,
  checkWitnesses,
  claim,
  forgetSessions,
  forkOf,
  resultOf,
  revertOf,
  snapshotRows,
  submissionOf,
  submit,
  useStore,
  waitsForLock,
} from '../support/store.ts';

const store = useStore();
let other: Database;

beforeAll(async () => {
  // Without patience nothing is repeated: a deadlock is an error that fails the test.
  other = openDatabase({ url: store.url, log: silentLog, connections: 1, patienceMs: 0 });
});
afterAll(() => other.close());
beforeEach(() => forgetSessions(store.db));
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

const of = (sessionId: string) => ({ teamId: store.teamId, sessionId });
const WORD = 'zebrafish';
const FAILED = { kind: 'finish', status: 'failed', code: 'refused', message: `No ${WORD}.` } as const;

/** A session whose every table has something of it, all of it over, with that word wherever a word may stand. */
async function full(idempotency?: { key: string; requestHash: string }) {
  const { db, teamId, userId } = store;
  const sessionId = newId();
  const hash = await putImage(db, sessionId, Buffer.from(`an image of a ${WORD}`));
  const file = {
    type: 'file',
    mediaType: 'image/png',
    name: `${WORD}.png`,
    bytes: 9,
    width: 2,
    height: 1,
    hash,
  } as const;
  const wanted = submissionOf(store, {
    sessionId,
    text: `A ${WORD}?`,
    attached: [file],
    ...(idempotency && { idempotency }),
  });
  const submission = {
    ...wanted,
    session: { id: sessionId, title: `The ${WORD}`, workspace: { id: newId(), kind: 'empty', path: null } },
    task: {
      ...wanted.task,
      limits: { ...wanted.task.limits, children: 1, concurrentChildren: 1, depth: 1 },
      metadata: { fish: WORD },
      webhookUrl: `https://${WORD}.example/done`,
    },
  } as const;
  await createTask(db, submission);
  const { id: taskId, turnId } = submission.task;
  const held = await claim(db, turnId);
  const calls = [
    callOf('awaiting_approval'),
    callOf('requested', { ordinal: 1, effect: 'read' }),
    delegateCall(2),
  ];
  const answer = answerOf(calls);
  await recordAnswer(db, held, {
    ...answer,
    parts: [{ type: 'text', text: `It is a ${WORD}.` }, ...answer.parts.slice(1)],
  });
  const [asked, read, delegate] = calls as [(typeof calls)[0], (typeof calls)[0], (typeof calls)[0]];
  const child = childOf(store, delegate, {
    task: { parts: [{ type: 'text', text: `Look for a ${WORD}.` }] },
  });
  await spawnChildren(db, held, [child]);
  const below = await claim(db, child.task.turnId);
  await recordAnswer(db, below, answerOf());
  await settleTurn(db, below, { results: [], end: FAILED, nextTurnId: newId() });
  await resolveApproval(db, {
    teamId,
    userId,
    approvalId: asked.approvalId ?? '',
    decision: 'allowed',
    ruleId: newId(),
  });
  await postMessage(db, {
    teamId,
    userId,
    taskId,
    id: newId(),
    parts: [{ type: 'text', text: `Feed the ${WORD}.` }],
  });
  const results = [
    resultOf(read, {
      parts: [{ type: 'text', text: `a ${WORD}` }],
      outputHash: await putOutput(db, sessionId, `${WORD} `.repeat(9)),
      noted: { todos: [{ text: `Feed the ${WORD}.`, status: 'done' }] },
      processes: { started: [{ id: newId(), number: 1, command: `feed ${WORD}` }] },
    }),
  ];
  const settled = await settleTurn(db, held, { results, end: FAILED, nextTurnId: newId() });
  if (settled.outcome !== 'settled') throw new Error(settled.outcome);
  const [log] = await db.sql<{
    last: number;
  }>`SELECT max(position) AS last FROM entry WHERE session_id = ${sessionId}`;
  const revert = await revertSession(db, revertOf(store, sessionId, { to: log?.last ?? 0 }));
  if (revert.outcome !== 'reverted') throw new Error(revert.outcome);
  await takeInPassages(db, 1);
  return { sessionId, taskId, childId: child.session.id, attemptId: held.attemptId, submission };
}

/** What stays of sessions in general: who worked, and what tasks share. */
const SHARED = ['worker', 'profile'];

describe('delete_session', () => {
  test('leaves no row but what was used and an empty key, and no word', async () => {
    await submit(store);
    await takeInPassages(store.db, 1);
    const before = await snapshotRows(store.db);
    const key = { key: 'once', requestHash: 'ab' };
    const { sessionId, taskId, submission } = await full(key);
    const there = await snapshotRows(store.db);
    const made = changesBetween(before, there);
    // Nothing is proved of a table that had nothing of it.
    const empty = Object.keys(before).filter((table) => !(table in made));
    expect(empty).toEqual([
      ...['api_key', 'audit', 'mcp_server', 'mcp_sign_in', 'metric_mark', 'metric_total', 'model_health'],
      ...['profile', 'rate_bucket', 'rate_line', 'schedule', 'team', 'upload', 'user', 'webhook'],
    ]);

    expect(await deleteSession(store.db, of(sessionId))).toEqual({ outcome: 'deleted', rootId: sessionId });
    const after = await snapshotRows(store.db);
    const left = Object.keys(changesBetween(before, after)).filter((table) => !SHARED.includes(table));
    expect(left).toEqual(['idempotency_key', 'usage']);
    expect(after.usage).toEqual(there.usage);
    const words = Object.entries(after).filter(([, rows]) =>
      JSON.stringify([...rows.values()]).includes(WORD),
    );
    expect(words.map(([table]) => table)).toEqual([]);
    expect([...(after.idempotency_key?.values() ?? [])]).toMatchObject([{ key: 'once', task_id: null }]);

    expect(await deleteSession(store.db, of(sessionId))).toEqual({ outcome: 'not_found' });
    const again = { ...submission, task: { ...submission.task, id: newId() } };
    expect(await createTask(store.db, again)).toEqual({ outcome: 'task_deleted' });
    expect(await createTask(store.db, { ...again, idempotency: { ...key, requestHash: 'cd' } })).toEqual({
      outcome: 'idempotency_conflict',
    });
    expect(await cancelTask(store.db, { teamId: store.teamId, taskId, nextTurnId: newId() })).toEqual({
      outcome: 'not_found',
    });
  });

  test('keeps what was used, by whom, and of which session', async () => {
    const { sessionId } = await full();
    const counted = async () => {
      const by = (['user', 'model', 'day'] as const).map((each) =>
        readUsage(store.db, { by: each, teamId: store.teamId }, 10),
      );
      return Promise.all(by);
    };
    const before = await counted();
    expect(before[0]?.rows).toMatchObject([{ key: 'Ada', requests: 2 }]);
    await deleteSession(store.db, of(sessionId));
    expect(await counted()).toEqual(before);
    const { rows } = await readUsage(store.db, { by: 'session', teamId: store.teamId }, 10);
    expect(rows.map(({ key, name }) => [key, name])).toContainEqual([sessionId, null]);
  });

  test('leaves every row of another session as it is, also where both stored the same', async () => {
    const one = await full();
    const kept = await full();
    const before = await snapshotRows(store.db);
    await deleteSession(store.db, of(one.sessionId));
    const changes = changesBetween(before, await snapshotRows(store.db));
    expect(JSON.stringify(changes)).not.toContain('"~"');
    expect(changes.output).toBeUndefined();
    expect(JSON.stringify(changes)).not.toContain(kept.sessionId);
    await deleteSession(store.db, of(kept.sessionId));
    expect(await store.db.sql`SELECT hash FROM output`).toEqual([]);
  });

  test('is refused while a task is unfinished, also below; for a child; and while a log begins with its', async () => {
    const { sessionId, childId } = await full();
    const { teamId, userId } = store;
    const before = await snapshotRows(store.db);
    const child = { outcome: 'child', rootId: sessionId };
    expect(await deleteSession(store.db, of(childId))).toEqual(child);
    expect(await deleteSession(store.db, { ...of(sessionId), teamId: newId() })).toEqual({
      outcome: 'not_found',
    });
    const stranger = await addTeam(store.db);
    expect(await deleteSession(store.db, { ...of(childId), teamId: stranger.teamId })).toEqual({
      outcome: 'not_found',
    });
    await store.db.sql`DELETE FROM "user" WHERE team_id = ${stranger.teamId}`;
    await store.db.sql`DELETE FROM team WHERE id = ${stranger.teamId}`;
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});

    const task = await submit(store, { sessionId: childId });
    const unfinished = { outcome: 'unfinished', taskId: task.taskId, sessionId: childId };
    expect(await deleteSession(store.db, of(sessionId))).toEqual(unfinished);
    await cancelTask(store.db, { teamId, taskId: task.taskId, nextTurnId: newId() });
    const fork = forkOf(store, childId);
    await forkSession(store.db, { ...fork, teamId, userId });
    expect(await deleteSession(store.db, of(sessionId))).toEqual({ outcome: 'forked', sessionId: fork.id });
    expect(await deleteSession(store.db, of(fork.id))).toEqual({ outcome: 'deleted', rootId: fork.id });
    expect(await deleteSession(store.db, of(sessionId))).toEqual({ outcome: 'deleted', rootId: sessionId });
  });
});

/** Runs `later` beside a deletion that has happened but is not committed: it waits, or it is through. */
async function besideDeletion<T>(sessionId: string, later: (db: Database) => Promise<T>): Promise<T> {
  const holder = await store.db.pool.connect();
  const [row] = await other.sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`;
  try {
    await holder.query('BEGIN');
    const [{ schema }] = (
      await holder.query(`SELECT nspname AS schema FROM pg_namespace WHERE nspname LIKE 'capybara\\_%'`)
    ).rows;
    const { rows } = await holder.query(`SELECT ${schema}.delete_session($1, $2) AS said`, [
      store.teamId,
      sessionId,
    ]);
    expect(rows[0].said.outcome).toBe('deleted');
    let over = false;
    const done = later(other).finally(() => {
      over = true;
    });
    while (!over && !(await waitsForLock(store.db, row?.pid ?? 0))) {}
    await holder.query('COMMIT');
    return await done;
  } finally {
    holder.release();
  }
}

describe('beside a deletion', () => {
  test('an output that another session stores meanwhile stays', async () => {
    const { sessionId } = await full();
    const { sessionId: another } = await submit(store);
    const text = `${WORD} `.repeat(9);
    const hash = await besideDeletion(sessionId, (db) => putOutput(db, another, text));
    const [row] = await store.db
      .sql`SELECT size::float8 AS size FROM output WHERE hash = decode(${hash}, 'hex')`;
    expect(row).toEqual({ size: text.length });
    const uses = await store.db.sql`SELECT session_id AS id FROM output_use`;
    expect(uses).toEqual([{ id: another }]);
  });

  test('no fork begins, and nothing of it is taken into search', async () => {
    const { sessionId } = await full();
    const fork = await besideDeletion(sessionId, (db) => forkSession(db, forkOf(store, sessionId)));
    expect(fork).toEqual({ outcome: 'not_found' });
    const again = await full();
    await store.db.sql`DELETE FROM passage`;
    await besideDeletion(again.sessionId, (db) => takeInPassages(db, 1));
    expect(await store.db.sql`SELECT id FROM passage`).toEqual([]);
  });
});

describe('outputs of sessions that are not there', () => {
  test('are forgotten once they are as old as that', async () => {
    const { db } = store;
    await putOutput(db, newId(), 'for nobody');
    const { sessionId } = await submit(store);
    await putOutput(db, sessionId, 'for somebody');
    expect(await forgetOutputs(db, { olderMs: 60_000, limit: 10 })).toBe(0);
    await db.sql`UPDATE output_use SET created_at = created_at - interval '61 s'`;
    expect(await forgetOutputs(db, { olderMs: 60_000, limit: 10 })).toBe(1);
    expect(await db.sql`SELECT size::float8 AS size FROM output`).toEqual([{ size: 'for somebody'.length }]);
  });
});

describe('archive_session', () => {
  test('archives all below it, which then take no task, and back', async () => {
    const { sessionId, childId } = await full();
    const archived = () => store.db.sql`SELECT id FROM session WHERE archived_at IS NOT NULL ORDER BY id`;
    expect(await archiveSession(store.db, { ...of(childId), isArchived: true })).toMatchObject({
      outcome: 'child',
    });
    expect(await archiveSession(store.db, { ...of(sessionId), isArchived: true })).toMatchObject({
      outcome: 'done',
    });
    expect(await archived()).toEqual([sessionId, childId].sort().map((id) => ({ id })));
    for (const id of [sessionId, childId]) {
      const outcome = await createTask(store.db, submissionOf(store, { sessionId: id }));
      expect(outcome).toEqual({ outcome: 'session_archived' });
    }
    await archiveSession(store.db, { ...of(sessionId), isArchived: false });
    expect(await archived()).toEqual([]);
    const types = await store.db.sql<{ type: string }>`
      SELECT type FROM event WHERE root_id = ${sessionId} ORDER BY seq DESC LIMIT 4`;
    expect(types.map(({ type }) => type).reverse()).toEqual([
      ...['session.archived', 'session.archived', 'session.unarchived', 'session.unarchived'],
    ]);
    const { taskId } = await submit(store, { sessionId });
    for (const isArchived of [true, false])
      expect(await archiveSession(store.db, { ...of(sessionId), isArchived })).toEqual({
        ...{ outcome: 'unfinished', taskId, sessionId },
      });
  });
});

test('rename_session writes the title and one event, and nothing where it is that already', async () => {
  const { sessionId } = await submit(store);
  const before = await snapshotRows(store.db);
  await renameSession(store.db, { ...of(sessionId), title: 'Mended' });
  expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
    session: [{ '~': sessionId, title: ['A session', 'Mended'] }],
    tree: [{ '~': sessionId, last_seq: [2, 3] }],
    event: ['session.renamed'],
  });
  expect(await renameSession(store.db, { ...of(newId()), title: 'x' })).toEqual({ outcome: 'not_found' });
});

describe('search', () => {
  const found = async (text: string, withArchived = false) => {
    const { rows } = await searchSessions(
      store.db,
      { teamId: store.teamId, withArchived },
      { text, limit: 10 },
    );
    return rows.map(({ id, match }) => [id, match.where, match.text]);
  };

  test('finds what people said and what was answered, by whole words, with a part of the text', async () => {
    const { db } = store;
    const long = `${'before '.repeat(200)}the torque_limit of the Gearbox ${'after '.repeat(200)}`;
    const { sessionId, turnId } = await submit(store, { text: long });
    const held = await claim(db, turnId);
    const parts = [{ type: 'text' as const, text: 'Mind the naïve Zahnräder, 东京 and ΣΑΣ.' }];
    await recordAnswer(db, held, { ...answerOf(), parts });
    const [[id, where, text] = []] = await found('gearbox TORQUE');
    expect([id, where]).toEqual([sessionId, 'said']);
    expect(text).toContain('torque_limit of the Gearbox');
    expect(text?.length).toBeLessThan(250);
    for (const each of ['zahnräder', '"the naïve"', '东京', 'mind -gearbox', 'ZAHNRÄDER or nothing'])
      expect([each, (await found(each)).map(([, place]) => place)]).toEqual([each, ['answered']]);
    for (const each of ['gear', '"naïve the"', 'gearbox -torque', '&', 'zahnräder gearbox'])
      expect([each, await found(each)]).toEqual([each, []]);
  });

  test('finds a title by its words or any part of it, and archived ones where asked', async () => {
    const { sessionId } = await full();
    await renameSession(store.db, { ...of(sessionId), title: 'Mend 100% of it: naïve 東京都' });
    for (const each of ['100%', '京都', 'mend of', 'NAÏVE'])
      expect((await found(each))[0]?.slice(0, 2)).toEqual([sessionId, 'title']);
    await archiveSession(store.db, { ...of(sessionId), isArchived: true });
    expect(await found('mend')).toEqual([]);
    expect((await found('mend', true)).map(([id]) => id)).toEqual([sessionId]);
  });
});

test('a turn that waits for its children parks as before, and its session cannot be deleted', async () => {
  const { db } = store;
  const { sessionId, turnId, taskId } = await submit(store);
  const held = await claim(db, turnId);
  const call = callOf('awaiting_approval');
  await recordAnswer(db, held, answerOf([call]));
  await parkTurn(db, held, []);
  expect(await deleteSession(db, of(sessionId))).toEqual({ outcome: 'unfinished', taskId, sessionId });
});
