import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import { silentLog } from '../../src/log.ts';
import { bootstrap, ensureEmbeddedKey } from '../../src/store/bootstrap.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import {
  createKey,
  createKeyFinder,
  isKey,
  KEY_CACHE_MS,
  mintKey,
  type Owner,
  revokeKey,
} from '../../src/store/keys.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

interface Opened {
  readonly database: TestDatabase;
  readonly db: Database;
  close(): Promise<void>;
}

async function open(): Promise<Opened> {
  const database = await createTestDatabase();
  const db = openDatabase({ url: database.url, log: silentLog });
  return {
    database,
    db,
    close: async () => {
      await db.close();
      await database.drop();
    },
  };
}

async function ownerOf(db: Database): Promise<Owner> {
  const [row] = await db.sql<{ teamId: string; userId: string }>`
    SELECT team_id AS "teamId", id AS "userId" FROM "user" LIMIT 1`;
  if (row === undefined) throw new Error('no user');
  return row;
}

describe('a key', () => {
  let opened: Opened;
  let owner: Owner;
  let now = 0;
  const clock = () => now;

  beforeAll(async () => {
    opened = await open();
    await ensureEmbeddedKey(opened.db, mintKey());
    owner = await ownerOf(opened.db);
  });
  afterAll(() => opened.close());

  test('is capy_ and 32 random bytes, of which only the SHA-256 is kept', async () => {
    const { apiKey } = await createKey(opened.db, { ...owner, name: 'ci' });
    expect(apiKey).toMatch(/^capy_[A-Za-z0-9_-]{43}$/);
    expect(isKey(apiKey)).toBe(true);
    for (const other of [apiKey.slice(1), `${apiKey}x`, apiKey.slice(0, -1), `${apiKey}\n`])
      expect(isKey(other)).toBe(false);
    const [row] = await opened.db.sql<{
      text: string;
    }>`SELECT string_agg(k::text, ' ') AS text FROM api_key k`;
    expect(row?.text).not.toContain(apiKey.slice(5));
  });

  test('is found by whoever presents it, and nothing else is', async () => {
    const { id, apiKey } = await createKey(opened.db, { ...owner, name: 'a' });
    const find = createKeyFinder(opened.db, { clock });
    expect(await find(apiKey)).toEqual({ keyId: id, ...owner });
    expect(await find(mintKey())).toBeUndefined();
    expect(await find('')).toBeUndefined();
  });

  test('that was revoked opens nothing, elsewhere after the cache at most', async () => {
    const { id: keyId, apiKey } = await createKey(opened.db, { ...owner, name: 'b' });
    const find = createKeyFinder(opened.db, { clock });
    expect(await find(apiKey)).toBeDefined();
    expect(await revokeKey(opened.db, { teamId: owner.teamId, keyId })).toBe(true);
    expect(await revokeKey(opened.db, { teamId: owner.teamId, keyId })).toBe(false);
    now += KEY_CACHE_MS - 1;
    expect(await find(apiKey)).toBeDefined();
    now += 1;
    expect(await find(apiKey)).toBeUndefined();
  });

  test('is not revoked for another team', async () => {
    const { id: keyId } = await createKey(opened.db, { ...owner, name: 'c' });
    const teamId = '00000000-0000-7000-8000-000000000000';
    expect(await revokeKey(opened.db, { teamId, keyId })).toBe(false);
  });

  test('is remembered in a process among a limited number', async () => {
    const find = createKeyFinder(opened.db, { clock, maxCached: 2 });
    const keys = await Promise.all(['1', '2', '3'].map((name) => createKey(opened.db, { ...owner, name })));
    for (const { apiKey } of keys) await find(apiKey);
    for (const { id: keyId } of keys) await revokeKey(opened.db, { teamId: owner.teamId, keyId });
    const known = await Promise.all(keys.map(({ apiKey }) => find(apiKey)));
    expect(known.map((caller) => caller !== undefined)).toEqual([false, true, true]);
  });
});

describe('the first key', () => {
  test('is made once, however many ask at once, and again when all were revoked', async () => {
    const { database, db, close } = await open();
    const made = await Promise.all(Array.from({ length: 5 }, () => bootstrap(database.url)));
    const [first, ...others] = made.filter((each) => each !== undefined);
    expect(others).toEqual([]);
    const caller = await createKeyFinder(db)(first?.apiKey ?? '');
    expect(caller).toMatchObject(await ownerOf(db));
    expect(await bootstrap(database.url)).toBeUndefined();

    await revokeKey(db, { teamId: caller?.teamId ?? '', keyId: caller?.keyId ?? '' });
    const second = await bootstrap(database.url);
    expect(await createKeyFinder(db)(second?.apiKey ?? '')).toMatchObject(await ownerOf(db));
    expect(await db.sql`SELECT name FROM team`).toEqual([{ name: 'default' }]);
    await close();
  });

  test('of an embedded Capybara is the one that was given, as often as it is', async () => {
    const { db, close } = await open();
    const apiKey = mintKey();
    await Promise.all([ensureEmbeddedKey(db, apiKey), ensureEmbeddedKey(db, apiKey)]);
    await ensureEmbeddedKey(db, mintKey());
    const caller = await createKeyFinder(db)(apiKey);
    expect(caller).toMatchObject(await ownerOf(db));
    expect(await db.sql`SELECT id FROM api_key`).toHaveLength(2);
    expect(await db.sql`SELECT id FROM "user"`).toHaveLength(1);
    await revokeKey(db, { teamId: caller?.teamId ?? '', keyId: caller?.keyId ?? '' });
    await ensureEmbeddedKey(db, apiKey);
    expect(await createKeyFinder(db)(apiKey)).toBeDefined();
    await close();
  });

  test('that is no key is refused in one sentence', async () => {
    const { db, close } = await open();
    await expect(ensureEmbeddedKey(db, 'secret')).rejects.toThrow(UserError);
    await expect(ensureEmbeddedKey(db, 'secret')).rejects.not.toThrow(/secret/);
    await close();
  });
});
