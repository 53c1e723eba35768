import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { createTask } from '../../src/store/tasks.ts';
import {
  changesBetween,
  checkWitnesses,
  forgetSessions,
  type RowChanges,
  snapshotRows,
  submissionOf,
  useStore,
} from '../support/store.ts';
import { type Line, lineTo } from './reply-thief.ts';
import { type Act, brokenOf, SCENES, type Scene } from './scenes.ts';

const store = useStore();
// Hundreds of sessions: seconds on an idle machine, more on a busy one.
vi.setConfig({ testTimeout: 120_000 });
let line: Line;
let db: Database;

beforeAll(async () => {
  line = await lineTo(store.url);
  db = openDatabase({ url: line.url, log: silentLog, connections: 1 });
});
afterAll(async () => {
  await db.close();
  await line.close();
});
afterEach(async () => expect(await checkWitnesses(store.db)).toEqual([]));

/** What a repeat says where it cannot say what the first try said, by what that said. */
const SAID_OTHERWISE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  cancel_task: { cancelled: 'ended' },
  delete_session: { deleted: 'not_found' },
  take_over_turn: { taken_over: 'skipped' },
  expire_task: { ended: 'skipped' },
  claim_turn: { ended: 'moved_on', parked: 'moved_on' },
  reserve_more: { ended: 'fenced', parked: 'fenced' },
  'reserve_more beyond them': { parked: 'fenced' },
  'claim_turn by another worker': { ended: 'moved_on' },
};

function outcomeOf(answer: unknown): string {
  return (answer as { outcome?: string } | null)?.outcome ?? 'none';
}

/** How much was written where: the same for two tries in two sessions. */
function amounts(changes: RowChanges): unknown {
  return Object.fromEntries(
    Object.entries(changes).map(([table, rows]) => [
      table,
      table === 'event' && rows.every((row) => typeof row === 'string') ? rows : rows.length,
    ]),
  );
}

/** What an act said, and how much it wrote. */
type Played = readonly [outcome: string, written: unknown];

/** Runs an act in a session of its own, with no other row but the worker's in the way. */
async function play(build: Scene, name: string, run: (act: Act) => Promise<unknown>) {
  await forgetSessions(store.db);
  await store.db.sql`DELETE FROM worker`;
  const act = (await build(store))[name] as Act;
  const before = await snapshotRows(store.db);
  const answer = await run(act);
  const after = await snapshotRows(store.db);
  const played: Played = [outcomeOf(answer), amounts(changesBetween(before, after))];
  return { act, after, played };
}

/** The act, while its session and turns are locked; the line breaks once it waits, and nobody hears its first outcome. */
async function cutWhileWaiting(act: Act): Promise<unknown> {
  const holder = await store.db.pool.connect();
  await holder.query('BEGIN');
  await holder.query(
    'SELECT FROM session WHERE id = (SELECT max(id::text)::uuid FROM session) FOR NO KEY UPDATE',
  );
  await holder.query(
    'SELECT FROM turn WHERE session_id = (SELECT max(id::text)::uuid FROM session) ORDER BY id FOR NO KEY UPDATE',
  );
  let over = false;
  const done = act(db).finally(() => {
    over = true;
  });
  await until(async () => over || (await working()) === 1);
  line.cut();
  await until(async () => over || (await working()) === 2);
  await holder.query('COMMIT');
  holder.release();
  const answer = await done;
  await until(async () => (await working()) === 0);
  return answer;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) {}
}

async function working(): Promise<number> {
  return (await store.db.planned('working', WORKING)).length;
}

/** Not from the view, which looks up more than is asked here again and again. */
const WORKING = `
  SELECT pid FROM pg_stat_get_activity(NULL) JOIN pg_database ON pg_database.oid = datid
   WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%capybara\\_%'`;

describe.each(Object.entries(SCENES))('on a turn that is %s, every transition', (scene, build) => {
  /** How each is where nothing breaks. */
  const whole = new Map<string, Played>();
  const names = async () => Object.keys(await build(store));

  test('writes nothing when it is repeated', async () => {
    for (const name of await names()) {
      const { act, after, played } = await play(build, name, (first) => first(store.db));
      whole.set(name, played);
      await act(store.db);
      expect(changesBetween(after, await snapshotRows(store.db)), name).toEqual({});
    }
  });

  test.each<[string, number, (act: Act) => Promise<unknown>]>([
    [
      'happens once where the reply to its COMMIT is lost',
      0,
      async (act) => {
        await db.sql`SELECT 1`;
        line.loseNextReply();
        return act(db);
      },
    ],
    [
      'happens once where its line is cut while it waits, and the first try goes on in Postgres',
      1,
      cutWhileWaiting,
    ],
  ])('%s', async (_fact, way, run) => {
    for (const name of brokenOf(scene, way, await names())) {
      const [outcome, written] = whole.get(name) ?? (await play(build, name, (act) => act(store.db))).played;
      const [repeated, inAll] = (await play(build, name, run)).played;
      const otherwise = SAID_OTHERWISE[name] ?? SAID_OTHERWISE[name.split(' ')[0] ?? ''];
      expect(['repeated', outcome, otherwise?.[outcome]], name).toContain(repeated);
      const skipped = /skipped|none/.test(repeated) && Object.keys(inAll as object).length === 0;
      if (!skipped) expect(inAll, name).toEqual(written);
    }
  });
});

test('a submit that starts a session happens once where its line is cut while it waits', async () => {
  const submission = submissionOf(store, { prompt: 'a profile of its own' });
  const holder = await store.db.pool.connect();
  await holder.query('BEGIN');
  const { profileHash, profile } = submission.task;
  await holder.query(`INSERT INTO profile VALUES (decode($1, 'hex'), $2)`, [profileHash, profile]);
  const outcome = createTask(db, submission);
  await until(async () => (await working()) === 1);
  line.cut();
  await until(async () => (await working()) === 2);
  await holder.query('COMMIT');
  holder.release();
  expect(await outcome).toMatchObject({
    outcome: 'repeated',
    taskId: submission.task.id,
    wake: { turnId: submission.task.turnId, wake: 1 },
  });
});
