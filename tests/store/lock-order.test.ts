import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { checkWitnesses, forgetSessions, useStore, waitsForLock } from '../support/store.ts';
import { type Act, onceTreeIsFree, othersOf, SCENES } from './scenes.ts';

const store = useStore();
// Hundreds of sessions: seconds on an idle machine, more on a busy one.
vi.setConfig({ testTimeout: 120_000 });
const databases: Database[] = [];

beforeAll(() => {
  // Without patience nothing is repeated: a deadlock is an error that fails the test.
  for (const _ of [0, 1])
    databases.push(openDatabase({ url: store.url, log: silentLog, connections: 1, patienceMs: 0 }));
});
afterAll(async () => {
  for (const db of databases) await db.close();
});

/** Starts an act, and goes on once it waits for a lock or is through. */
async function start(act: Act, db: Database): Promise<{ done: Promise<unknown> }> {
  const [row] = await db.sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`;
  let over = false;
  const done = onceTreeIsFree(() => act(db)).finally(() => {
    over = true;
  });
  // A rejection is the test's to see, when it awaits `done`.
  done.catch(() => {});
  while (!over) {
    if (await waitsForLock(store.db, row?.pid ?? 0)) break;
  }
  return { done };
}

/** Both acts run up to the locked row, with what they had locked before it; then the row is let go. */
async function meetAt(row: string, acts: readonly [Act, Act]): Promise<void> {
  const holder = await store.db.pool.connect();
  await holder.query('BEGIN');
  await holder.query(`SELECT id FROM ${row} ORDER BY id FOR NO KEY UPDATE`);
  const [first, second] = databases as [Database, Database];
  const started = [await start(acts[0], first), await start(acts[1], second)];
  await holder.query('COMMIT');
  holder.release();
  for (const { done } of started) await done;
}

test.each([
  ['queued', 'turn'],
  ['queued, with commands in the background', 'turn'],
  ['queued, with commands whose worker is gone', 'background_process'],
  ['running', 'turn'],
  ['answered', 'turn'],
  ['answered', 'tool_call'],
  ['answered', 'approval'],
  ['parked', 'turn'],
  ['running, with open children', 'turn'],
  ['parked on its children', 'session'],
  ['a child that a person is asked in', 'turn'],
  ['ready', 'turn'],
])(
  'on a turn that is %s no pair of transitions that meets at its %s locks what the other needs next',
  async (scene, row) => {
    const build = SCENES[scene] as (typeof SCENES)[string];
    const names = Object.keys(await build(store));
    for (const one of names) {
      await forgetSessions(store.db);
      for (const other of othersOf(scene, one, names)) {
        const acts = await build(store);
        await meetAt(row, [acts[one] as Act, acts[other] as Act]).catch((error: unknown) => {
          throw new Error(`${one}, then ${other}`, { cause: error });
        });
      }
      // All of their sessions are still there.
      expect(await checkWitnesses(store.db), `${one}, then each`).toEqual([]);
    }
  },
);
