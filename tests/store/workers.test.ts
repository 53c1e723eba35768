import { afterEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { handBackTurn, retryTurn } from '../../src/store/turns.ts';
import { countLeases } from '../../src/store/worker-health.ts';
import {
  admitTurns,
  attemptStates,
  endWorker,
  liveWorkers,
  lostAttempts,
  nextDueIn,
  queuedTurns,
  registerWorker,
  rewakeTurn,
  suspectWorker,
} from '../../src/store/workers.ts';
import {
  addWorker,
  changesBetween,
  checkWitnesses,
  claim,
  lose,
  running,
  snapshotRows,
  submit,
  useStore,
} from '../support/store.ts';

const store = useStore();
const LEASE_MS = 1;
const LONG_MS = 2_000_000_000;

afterEach(async () => {
  expect(await checkWitnesses(store.db)).toEqual([]);
  await store.db
    .sql`UPDATE turn SET status = 'cancelled', attempt_id = NULL, due_at = NULL, ended_at = clock_timestamp() WHERE ended_at IS NULL`;
  await store.db
    .sql`UPDATE task SET status = 'cancelled', waiting_on = NULL, ended_at = clock_timestamp() WHERE ended_at IS NULL`;
  await store.db
    .sql`UPDATE attempt SET outcome = 'cancelled', ended_at = clock_timestamp() WHERE ended_at IS NULL`;
  await store.db.sql`UPDATE worker SET ended_at = clock_timestamp() WHERE ended_at IS NULL`;
});

const expire = (id: string) =>
  store.db.sql`UPDATE worker SET lease_expires_at = clock_timestamp() - interval '1 ms' WHERE id = ${id}`;
const renew = (id: string) => store.db.transition<boolean>('renew_lease', id, 60_000);
const seconds = async (id: string) => {
  const [row] = await store.db.sql<{ left: number }>`
    SELECT round(extract(epoch FROM lease_expires_at - clock_timestamp()))::int AS left FROM worker WHERE id = ${id}`;
  return row?.left;
};

async function retrying(delayMs: number) {
  const held = await running(store);
  const failure = { code: 'overloaded', message: 'Busy.' };
  await retryTurn(store.db, held, { delayMs, failure, spent: false, nextTurnId: newId() });
  return held;
}

describe('a worker’s lease', () => {
  test('begins once, is renewed until it ends, and ends once', async () => {
    const id = newId();
    const identity = {
      id,
      host: 'h',
      pid: 1,
      pidStartedAt: '2',
      lockKey: '9007199254740993',
      version: '1.2.3',
    };
    const before = await snapshotRows(store.db);
    await registerWorker(store.db, identity, 60_000);
    await registerWorker(store.db, identity, 999_000);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      worker: [
        {
          '+': {
            id,
            host: 'h',
            pid: 1,
            pid_started_at: '2',
            lock_key: expect.any(Number),
            version: '1.2.3',
            lease_expires_at: 'time',
            started_at: 'time',
            ended_at: null,
          },
        },
      ],
    });
    expect(await seconds(id)).toBe(60);
    expect(await liveWorkers(store.db, newId())).toEqual([identity]);
    expect(await liveWorkers(store.db, id)).toEqual([]);
    await expire(id);
    expect(await renew(id)).toBe(true);
    expect(await seconds(id)).toBe(60);
    expect([await countLeases(store.url, 'h'), await countLeases(store.url, 'other')]).toEqual([1, 0]);
    await endWorker(store.db, id);
    expect(await countLeases(store.url, 'h')).toBe(0);
    const after = await snapshotRows(store.db);
    await endWorker(store.db, id);
    expect(await renew(id)).toBe(false);
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
  });

  test('whose worker has nothing open is no longer looked at once it has run out', async () => {
    const [idle, busy] = [await addWorker(store.db), await running(store)];
    await expire(idle);
    await expire(busy.workerId);
    expect((await liveWorkers(store.db, newId())).map(({ id }) => id)).toEqual([busy.workerId]);
  });

  test('is shortened, never lengthened, by a free lock, once Postgres has been up for one lease', async () => {
    const id = await addWorker(store.db);
    const [row] = await store.db.sql<{
      key: string;
    }>`SELECT lock_key::text AS key FROM worker WHERE id = ${id}`;
    expect(await suspectWorker(store.db, id, { leaseMs: LONG_MS, graceMs: 1_000 })).toBe(false);
    const holder = await store.db.pool.connect();
    await holder.query('SELECT pg_advisory_lock($1)', [row?.key]);
    expect(await suspectWorker(store.db, id, { leaseMs: LEASE_MS, graceMs: 1_000 })).toBe(false);
    expect(await seconds(id)).toBe(600);
    await holder.query('SELECT pg_advisory_unlock($1)', [row?.key]);
    holder.release();
    expect(await suspectWorker(store.db, id, { leaseMs: LEASE_MS, graceMs: 10_000 })).toBe(true);
    expect(await seconds(id)).toBe(10);
    await suspectWorker(store.db, id, { leaseMs: LEASE_MS, graceMs: 90_000 });
    expect(await seconds(id)).toBeLessThanOrEqual(10);
    await endWorker(store.db, id);
    expect(await suspectWorker(store.db, id, { leaseMs: LEASE_MS, graceMs: 1_000 })).toBe(false);
  });

  test('that has run out makes its attempts lost, once Postgres has been up for one lease; a worker’s end does so at once', async () => {
    const [late, over, alive] = [await running(store), await running(store), await running(store)];
    await expire(late.workerId);
    await lose(store.db, over.workerId);
    const ids = async (leaseMs: number, expired = true) =>
      (await lostAttempts(store.db, { leaseMs, expired }, 10)).map(({ attemptId }) => attemptId);
    expect((await ids(LEASE_MS)).sort()).toEqual([late.attemptId, over.attemptId].sort());
    expect(await ids(LONG_MS)).toEqual([over.attemptId]);
    expect(await ids(LEASE_MS, false)).toEqual([over.attemptId]);
    expect(await lostAttempts(store.db, { leaseMs: LEASE_MS, expired: true }, 1)).toHaveLength(1);
    expect(await ids(LEASE_MS)).not.toContain(alive.attemptId);
  });

  test('tells a worker which attempts are still its own, and which it should stop', async () => {
    const [held, marked, gone] = [await running(store), await running(store), await running(store)];
    await store.db.sql`UPDATE task SET cancel_requested_at = clock_timestamp() WHERE id = ${marked.taskId}`;
    await handBackTurn(store.db, gone, { results: [], spent: true, nextTurnId: newId() });
    const states = await attemptStates(store.db, [held.attemptId, marked.attemptId, gone.attemptId, newId()]);
    expect(new Set(states)).toEqual(
      new Set([
        { attemptId: held.attemptId, cancelRequested: false, held: true, isPaused: false },
        { attemptId: marked.attemptId, cancelRequested: true, held: true, isPaused: false },
        { attemptId: gone.attemptId, cancelRequested: false, held: false, isPaused: false },
      ]),
    );
    expect(await attemptStates(store.db, [])).toEqual([]);
  });
});

describe('admit_turns', () => {
  test('queues what is due, under the next wake number, and nothing else', async () => {
    const [due, later] = [await retrying(0), await retrying(60_000)];
    await running(store);
    const before = await snapshotRows(store.db);
    expect(await admitTurns(store.db, 10)).toEqual([{ turnId: due.turnId, wake: 2 }]);
    const after = await snapshotRows(store.db);
    expect(changesBetween(before, after)).toEqual({
      turn: [
        {
          '~': due.turnId,
          status: ['ready', 'queued'],
          due_at: ['time', null],
          wake: [1, 2],
          checked_at: [null, 'time'],
        },
      ],
    });
    expect(await admitTurns(store.db, 10)).toEqual([]);
    expect(changesBetween(after, await snapshotRows(store.db))).toEqual({});
    expect(await nextDueIn(store.db)).toBeGreaterThan(30_000);
    await store.db
      .sql`UPDATE turn SET due_at = clock_timestamp() - interval '1 ms' WHERE id = ${later.turnId}`;
    expect(await nextDueIn(store.db)).toBeLessThanOrEqual(0);
    await admitTurns(store.db, 10);
    expect(await nextDueIn(store.db)).toBeUndefined();
    expect((await claim(store.db, due.turnId)).outcome).toMatchObject({ turn: { retries: 1 } });
  });

  test.each(['admit_turns', 'check_queued'])(
    '%s takes no more than its limit, whatever the plan',
    async (name) => {
      for (let turn = 0; turn < 6; turn += 1) {
        if (name === 'admit_turns') await retrying(0);
        else await submit(store);
      }
      await store.db
        .sql`UPDATE turn SET checked_at = clock_timestamp() - interval '1 h' WHERE status = 'queued'`;
      const plans = [
        'hashjoin',
        'mergejoin',
        'hashagg',
        'sort',
        'material',
        'memoize',
        'indexscan',
        'bitmapscan',
      ];
      const url = new URL(store.url);
      url.searchParams.set('options', plans.map((plan) => `-c enable_${plan}=off`).join(' '));
      const db = openDatabase({ url: url.href, log: silentLog, connections: 1 });
      const takes = () => (name === 'admit_turns' ? admitTurns(db, 2) : queuedTurns(db, 1_000, 2));
      expect([
        (await takes()).length,
        (await takes()).length,
        (await takes()).length,
        (await takes()).length,
      ]).toEqual([2, 2, 2, 0]);
      await db.close();
    },
  );

  test('shares what is due between sweepers', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => retrying(0)));
    const taken = await Promise.all(Array.from({ length: 6 }, () => admitTurns(store.db, 4)));
    const rest = await admitTurns(store.db, 100);
    const ids = [...taken.flat(), ...rest].map(({ turnId }) => turnId);
    expect(ids.sort()).toEqual(all.map(({ turnId }) => turnId).sort());
  });
});

describe('the jobs of queued turns', () => {
  test('are looked for once per interval', async () => {
    const { turnId } = await submit(store);
    await running(store);
    expect(await queuedTurns(store.db, 60_000, 10)).toEqual([]);
    await store.db.sql`UPDATE turn SET checked_at = clock_timestamp() - interval '61 s' WHERE id = ${turnId}`;
    const before = await snapshotRows(store.db);
    expect(await queuedTurns(store.db, 60_000, 10)).toEqual([{ turnId, wake: 1 }]);
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({
      turn: [{ '~': turnId, checked_at: ['time', 'time'] }],
    });
    expect(await queuedTurns(store.db, 60_000, 10)).toEqual([]);
  });

  test('get the next wake number once, and none where the turn has moved on', async () => {
    const { turnId } = await submit(store);
    expect(await rewakeTurn(store.db, { turnId, wake: 1 })).toBe(2);
    expect(await rewakeTurn(store.db, { turnId, wake: 1 })).toBeNull();
    const wakes = await Promise.all(
      Array.from({ length: 5 }, () => rewakeTurn(store.db, { turnId, wake: 2 })),
    );
    expect(wakes.filter((wake) => wake !== null)).toEqual([3]);
    await claim(store.db, turnId);
    const before = await snapshotRows(store.db);
    expect(await rewakeTurn(store.db, { turnId, wake: 3 })).toBeNull();
    expect(changesBetween(before, await snapshotRows(store.db))).toEqual({});
  });
});
