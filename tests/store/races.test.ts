import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { checkWitnesses, forgetSessions, useStore, waitsForLock } from '../support/store.ts';
import { type Act, onceTreeIsFree, othersOf, SCENES } from './scenes.ts';

const store = useStore();
// Hundreds of sessions: seconds on an idle machine, more on a busy one.
vi.setConfig({ testTimeout: 120_000 });
let first: Database;
let second: Database;

beforeAll(async () => {
  // Without patience nothing is repeated: a deadlock is an error that fails the test.
  first = openDatabase({ url: store.url, log: silentLog, connections: 1, patienceMs: 0 });
  second = openDatabase({ url: store.url, log: silentLog, connections: 1, patienceMs: 0 });
});
afterAll(async () => {
  await first.close();
  await second.close();
});

/** Runs `later` from the moment that `earlier` has written but not committed: it waits for a lock, or it is through. */
async function overlap(earlier: Act, later: Act): Promise<void> {
  // Anew each time: a connection that broke has another.
  const [row] = await second.sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`;
  await first.sql`BEGIN`;
  try {
    await earlier(first);
    let over = false;
    const done = onceTreeIsFree(() => later(second)).finally(() => {
      over = true;
    });
    // Its failure is seen below.
    done.catch(() => {});
    while (!over && !(await waitsForLock(store.db, row?.pid ?? 0))) {}
    await first.sql`COMMIT`;
    await done;
  } finally {
    // Where something failed: who comes next is not to wait for this one. Elsewhere it does nothing.
    await first.sql`ROLLBACK`;
  }
}

describe.each(Object.keys(SCENES))('on a turn that is %s', (scene) => {
  const build = SCENES[scene] as (typeof SCENES)[string];

  test('every pair of transitions meets, in both orders, and leaves each task its one witness', async () => {
    const names = Object.keys(await build(store));
    for (const earlier of names) {
      await forgetSessions(store.db);
      for (const later of othersOf(scene, earlier, names)) {
        const acts = await build(store);
        await overlap(acts[earlier] as Act, acts[later] as Act);
      }
      // All of their sessions are still there.
      expect(await checkWitnesses(store.db), `${earlier}, then each`).toEqual([]);
    }
  });
});
