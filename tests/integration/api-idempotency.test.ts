/** A request that is sent again under its key: after a crash at any point of it, with another body, and after a day. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/api/app.ts';
import { type Listening, listen } from '../../src/api/server.ts';
import type { Database } from '../../src/store/database.ts';
import { forgetIdempotencyKeys } from '../../src/store/tasks.ts';
import { type Answered, askerOf, startTestApi, type TestApi } from './api-harness.ts';

let it: TestApi;
/** The same API, on a database that breaks off where `crash` says. */
let crashing: Listening;
let askCrashing: TestApi['ask'];
let crash: { calls: number; readonly when: 'before' | 'after' } | undefined;
let sessionId: string;

beforeAll(async () => {
  it = await startTestApi();
  crashing = await listen(createApi({ ...it.deps, db: breaking(it.db) }), { host: '127.0.0.1', port: 0 });
  askCrashing = askerOf(crashing.url, it.me);
  ({ sessionId } = await it.submit());
  // Its key is known from here on, and is not asked for again.
  await askCrashing('GET', '/v1/tasks');
});
afterAll(async () => {
  await crashing.close();
  await it.close();
});

/** As if the process ended at a call: before it was sent, or before anyone heard of its commit. */
function breaking(db: Database): Database {
  async function perhaps<Result>(call: () => Promise<Result>): Promise<Result> {
    const fault = crash;
    if (fault === undefined || --fault.calls > 0) return call();
    crash = undefined;
    if (fault.when === 'after') await call();
    throw new Error('it ends here');
  }
  return {
    ...db,
    sql: (strings, ...values) => perhaps(() => db.sql(strings, ...values)),
    read: (text, ...values) => perhaps(() => db.read(text, ...values)),
    planned: (name, text, ...values) => perhaps(() => db.planned(name, text, ...values)),
    rows: (name, ...values) => perhaps(() => db.rows(name, ...values)),
    within: (patience) => breaking(db.within(patience)),
    transition: (name, ...values) => perhaps(() => db.transition(name, ...values)),
  };
}

interface Making {
  readonly table: 'task' | 'message' | 'session' | 'user' | 'api_key';
  readonly path: string;
  readonly body: (word: string) => object;
}

const SESSION = '/v1/sessions/SESSION';
const MAKINGS: Readonly<Record<string, Making>> = {
  task: { table: 'task', path: '/v1/tasks', body: (prompt) => ({ prompt }) },
  message: { table: 'message', path: `${SESSION}/messages`, body: (text) => ({ text }) },
  fork: { table: 'session', path: `${SESSION}/fork`, body: (title) => ({ title }) },
  user: { table: 'user', path: '/v1/users', body: (name) => ({ name }) },
  key: { table: 'api_key', path: '/v1/keys', body: (name) => ({ name }) },
};

function send(ask: TestApi['ask'], { path, body }: Making, key: string, word = key): Promise<Answered> {
  const headers = { 'idempotency-key': key };
  return ask('POST', path.replace('SESSION', sessionId), { body: body(word), headers });
}

async function count({ table }: Making): Promise<number> {
  const [row] = await it.db.read<{ count: number }>(`SELECT count(*)::int AS count FROM "${table}"`);
  return row?.count ?? 0;
}

describe.each(Object.keys(MAKINGS))('a %s', (name) => {
  const making = MAKINGS[name] as Making;

  test.each(['before', 'after'] as const)(
    'is made once, wherever the first try crashed: %s each call',
    async (when) => {
      let crashes = 0;
      for (let calls = 1; ; calls += 1) {
        const key = `${name} ${when} ${calls}`;
        const before = await count(making);
        crash = { calls, when };
        const first = await send(askCrashing, making, key);
        if (first.status < 500) break;
        crashes += 1;
        expect(first.json.code).toBe('internal');
        const again = await send(it.ask, making, key);
        const third = await send(it.ask, making, key);
        expect(await count(making)).toBe(before + 1);
        expect([again.status, third.status]).toEqual([201, 201]);
        // Nobody has used it: whoever did not hear of a secret is told another one, and the newest is good.
        const secret = name === 'key' ? { apiKey: expect.any(String), prefix: expect.any(String) } : {};
        expect(third.json).toEqual({ ...again.json, ...secret });
      }
      crash = undefined;
      expect(crashes).toBeGreaterThan(1);
    },
  );

  test('is refused under the key of another, which it does not change', async () => {
    const key = `${name} other`;
    const first = await send(it.ask, making, key);
    expect(first.status).toBe(201);
    const other = await send(it.ask, making, key, 'another');
    const conflict = { status: 409, code: 'idempotency_conflict', field: 'idempotency-key' };
    expect(other.json).toMatchObject(conflict);
    const again = await send(it.ask, making, key);
    const secret = name === 'key' ? { apiKey: expect.any(String), prefix: expect.any(String) } : {};
    expect(again.json).toEqual({ ...first.json, ...secret });
  });
});

describe('a key that is', () => {
  const making = MAKINGS.task as Making;

  async function age(key: string, interval: string): Promise<void> {
    await it.db
      .sql`UPDATE idempotency_key SET created_at = created_at - ${interval}::interval WHERE key = ${key}`;
  }

  test('not a day old stands for its task', async () => {
    const first = await send(it.ask, making, 'young');
    await age('young', '23 hours 59 minutes');
    expect((await send(it.ask, making, 'young')).json).toEqual(first.json);
    expect((await send(it.ask, making, 'young', 'another')).status).toBe(409);
  });

  test('a day old stands for the next one', async () => {
    const first = await send(it.ask, making, 'old');
    await age('old', '24 hours');
    const next = await send(it.ask, making, 'old', 'another');
    expect([next.status, next.json.id === first.json.id]).toEqual([201, false]);
    expect((await send(it.ask, making, 'old', 'another')).json).toEqual(next.json);
    expect((await send(it.ask, making, 'old')).status).toBe(409);
  });

  test('a day old is forgotten, and a younger one is not', async () => {
    await forgetIdempotencyKeys(it.db, 1_000);
    await send(it.ask, making, 'forgotten');
    await send(it.ask, making, 'kept');
    await age('forgotten', '24 hours');
    await age('kept', '23 hours 59 minutes');
    expect(await forgetIdempotencyKeys(it.db, 1_000)).toBe(1);
    const left = await it.db.sql`SELECT key FROM idempotency_key WHERE key IN ('forgotten', 'kept')`;
    expect(left).toEqual([{ key: 'kept' }]);
  });
});

test.each(['message', 'fork', 'user', 'key'])('a day old stands for the next %s', async (name) => {
  const making = MAKINGS[name] as Making;
  const key = `${name} for a day`;
  const first = await send(it.ask, making, key);
  await it.db
    .sql`UPDATE idempotency_key SET created_at = created_at - interval '24 hours' WHERE key LIKE ${`%\n${key}`}`;
  const before = await count(making);
  const next = await send(it.ask, making, key, 'another');
  expect([first.status, next.status, await count(making)]).toEqual([201, 201, before + 1]);
  expect((await send(it.ask, making, key, 'another')).status).toBe(201);
  expect((await send(it.ask, making, key)).json.code).toBe('idempotency_conflict');
  expect(await count(making)).toBe(before + 1);
});
