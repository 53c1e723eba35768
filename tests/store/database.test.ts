import { createServer } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Database, DatabaseUnavailable, MAX_ENDED, openDatabase } from '../../src/store/database.ts';
import { toJson } from '../../src/store/json.ts';
import { createTask } from '../../src/store/tasks.ts';
import { submissionOf, useStore } from '../support/store.ts';
import { type Line, lineTo } from './reply-thief.ts';

const store = useStore();

describe('toJson', () => {
  const roundTrip = async (value: unknown) =>
    (await store.db.pool.query('SELECT $1::jsonb AS value', [toJson(value)])).rows[0]?.value;

  test.each([
    ['NUL', 'a\0b', 'a\uFFFDb'],
    ['a high surrogate alone', 'a\uD83Db', 'a\uFFFDb'],
    ['a low surrogate alone', '\uDE00', '\uFFFD'],
    ['text that only looks like an escape', '\\u0000 and \\ud83d', '\\u0000 and \\ud83d'],
    ['a whole pair', '🦫 \u2028 ', '🦫 \u2028 '],
    ['keys', { 'k\0': [{ '\uD83D': 1 }] }, { 'k\uFFFD': [{ '\uFFFD': 1 }] }],
    ['what is no text', { a: null, b: [true, 1.5, 'x\0'] }, { a: null, b: [true, 1.5, 'x\uFFFD'] }],
  ])('writes %s so that jsonb takes it', async (_what, value, stored) => {
    expect(await roundTrip(value)).toEqual(stored);
  });

  test('loses nothing of any text that Postgres can hold, and refuses none', async () => {
    const anyText = fc.string({ unit: 'binary', maxLength: 20 });
    const broken = fc
      .array(fc.constantFrom('a', '\0', '\uD83D', '\uDE00', '\\u0000', '"'))
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyText, broken), async (text) => {
        expect(await roundTrip({ text })).toEqual({ text: text.toWellFormed().replaceAll('\0', '\uFFFD') });
      }),
      { numRuns: 100 },
    );
  });
});

describe('a database that goes away', () => {
  let line: Line;
  let db: Database;
  beforeAll(async () => {
    line = await lineTo(store.url);
    db = openDatabase({ url: line.url, log: silentLog });
  });
  afterAll(async () => {
    await db.close();
    await line.close();
  });

  /** The backends of `db` that wait for a lock. */
  async function waiting(): Promise<{ pid: number }[]> {
    for (;;) {
      const rows = await store.db.sql<{ pid: number }>`
        SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%create_task%'`;
      if (rows.length > 0) return rows;
    }
  }

  test('is asked again after its backends were terminated in the middle of a transition', async () => {
    const submission = submissionOf(store, { prompt: 'terminated' });
    const holder = await store.db.pool.connect();
    await holder.query('BEGIN');
    const { profileHash, profile } = submission.task;
    await holder.query(`INSERT INTO profile VALUES (decode($1, 'hex'), $2)`, [profileHash, profile]);
    const outcome = createTask(db, submission);
    const first = await waiting();
    for (const { pid } of first) await store.db.sql`SELECT pg_terminate_backend(${pid}::int)`;
    for (let now = first; now[0]?.pid === first[0]?.pid; ) now = await waiting();
    await holder.query('COMMIT');
    holder.release();
    expect(await outcome).toMatchObject({ outcome: 'created' });
  });

  test('is asked again after idle connections were terminated', async () => {
    await Promise.all([db.sql`SELECT 1`, db.sql`SELECT 2`]);
    await store.db.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'`;
    expect(await db.sql`SELECT 3 AS three`).toEqual([{ three: 3 }]);
  });

  test('does not repeat what Postgres itself refused', async () => {
    const began = performance.now();
    await expect(db.sql`SELECT 1 / ${0}::int`).rejects.toMatchObject({ code: '22012' });
    await expect(db.transition('no_such_transition')).rejects.toMatchObject({ code: '42883' });
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  test('is called unavailable once patience runs out: nothing listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    const port = typeof address === 'object' ? address?.port : 0;
    const nobody = openDatabase({
      url: `postgresql://a:b@127.0.0.1:${port}/c`,
      log: silentLog,
      patienceMs: 120,
    });
    const error = await nobody.sql`SELECT 1`.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    expect(error).toMatchObject({
      code: 'database_unavailable',
      exitCode: 3,
      cause: { code: 'ECONNREFUSED' },
    });
    await nobody.close();
  });

  test('is called unavailable where its name is known to nobody', async () => {
    const nobody = openDatabase({ url: 'postgresql://a:b@nowhere.invalid/c', log: silentLog, patienceMs: 1 });
    await expect(nobody.sql`SELECT 1`).rejects.toBeInstanceOf(DatabaseUnavailable);
    await nobody.close();
  });

  test('is called unavailable where the line is silent', async () => {
    const silent = await lineTo(store.url);
    const far = openDatabase({ url: silent.url, log: silentLog, patienceMs: 1, statementTimeoutMs: 100 });
    await far.sql`SELECT 1`;
    silent.freeze();
    await expect(far.sql`SELECT 1`).rejects.toBeInstanceOf(DatabaseUnavailable);
    await silent.close();
    await far.close();
  });

  test('ends a statement that waits for what is not coming', async () => {
    const brief = openDatabase({ url: store.url, log: silentLog, patienceMs: 1, statementTimeoutMs: 50 });
    await expect(brief.sql`SELECT pg_sleep(30)`).rejects.toMatchObject({
      code: 'database_unavailable',
      cause: { code: '57014' },
    });
    await brief.close();
  });
});

describe('a statement that never ends within its time', () => {
  const EVER = { ms: Number.POSITIVE_INFINITY };

  /** Sleeps, except from the call on that `until` names. Its calls are counted by a sequence, which no rollback undoes. */
  async function sleeper(until: number): Promise<{ calls(): Promise<number>; name: string }> {
    const name = `sleeper_${until}`;
    await store.db.pool.query(`CREATE SEQUENCE ${name}_calls; CREATE FUNCTION ${name}() RETURNS text LANGUAGE plpgsql AS
      $$BEGIN IF nextval('${name}_calls') < ${until} THEN PERFORM pg_sleep(30); END IF; RETURN 'done'; END$$`);
    const { pool } = store.db;
    return {
      name,
      calls: async () =>
        Number((await pool.query(`SELECT last_value FROM ${name}_calls`)).rows[0]?.last_value),
    };
  }

  test.each([
    ['ends at the last try', MAX_ENDED, true],
    ['would end at the next', MAX_ENDED + 1, false],
  ])('is repeated for whoever waits for ever, and given up where it %s', async (_, until, ends) => {
    const { name, calls } = await sleeper(until);
    const brief = openDatabase({ url: store.url, log: silentLog, statementTimeoutMs: 30 });
    const said = brief.within(EVER).read(`SELECT ${name}() AS said`);
    if (ends) expect(await said).toEqual([{ said: 'done' }]);
    else await expect(said).rejects.toMatchObject({ code: '57014' });
    expect(await calls()).toBe(MAX_ENDED);
    await brief.close();
  });

  test('is waited for as long as a lock is held, an operator’s too', async () => {
    const { pool } = store.db;
    await pool.query(`CREATE SEQUENCE lock_tries; CREATE TABLE held (); CREATE FUNCTION take_lock() RETURNS text
      LANGUAGE plpgsql AS $$BEGIN PERFORM nextval('lock_tries'); LOCK TABLE held; RETURN 'done'; END$$`);
    const locker = await pool.connect();
    await locker.query('BEGIN; LOCK TABLE held');
    const brief = openDatabase({ url: store.url, log: silentLog, statementTimeoutMs: 100 });
    const said = brief.within(EVER).read('SELECT take_lock() AS said');
    await vi.waitFor(
      async () => {
        const { rows } = await pool.query('SELECT last_value FROM lock_tries');
        expect(Number(rows[0]?.last_value)).toBeGreaterThan(MAX_ENDED + 1);
      },
      { timeout: 20_000 },
    );
    await locker.query('COMMIT');
    locker.release();
    expect(await said).toEqual([{ said: 'done' }]);
    await brief.close();
  });
});

test('a connection that breaks while idle is told of, but not while this process closes it', async () => {
  const told: string[] = [];
  const log = { ...silentLog, warn: (_: unknown, message: string) => told.push(message) };
  const db = openDatabase({ url: store.url, log });
  const [one, two] = [await db.pool.connect(), await db.pool.connect()];
  one.release();
  two.release();
  // As a Postgres that stops says it: the goodbye of `close` may still be on its way.
  const stopping = new Error('terminating connection due to administrator command');
  one.emit('error', stopping);
  expect(told).toEqual(['lost an idle Postgres connection']);
  const closed = db.close();
  two.emit('error', stopping);
  await closed;
  expect(told).toHaveLength(1);
});

test('what is asked of a closed one is refused as when Postgres is away, in words', async () => {
  const db = openDatabase({ url: store.url, log: silentLog });
  await db.close();
  const asked = [db.sql`SELECT 1`, db.transition('cancel_task'), db.rows('expire_approval')];
  for (const answer of asked) {
    await expect(answer).rejects.toThrow(DatabaseUnavailable);
    await expect(answer).rejects.toThrow(
      'This Capybara is stopping, and reaches no Postgres at the moment; the request can be sent again.',
    );
  }
});

test('values go as parameters, objects as JSON, bytes and dates as they are', async () => {
  const date = new Date(0);
  const [row] = await store.db.sql`
    SELECT ${"'; DROP TABLE task; --"}::text AS text, ${{ a: [1] }}::jsonb AS json, ${Buffer.from('b')}::bytea AS bytes,
           ${date}::timestamptz AS date, ${null}::int AS nothing, ${undefined}::int AS missing, ${'a\0'}::text AS nul`;
  expect(row).toEqual({
    text: "'; DROP TABLE task; --",
    json: { a: [1] },
    bytes: Buffer.from('b'),
    date,
    nothing: null,
    missing: null,
    nul: 'a\uFFFD',
  });
});
