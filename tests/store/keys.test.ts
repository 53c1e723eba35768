import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/clock.ts';
import { UserError } from '../../src/core/errors.ts';
import { toPublicId } from '../../src/core/id.ts';
import { SCOPES, USUAL_SCOPES } from '../../src/core/scope.ts';
import { openOwnKey } from '../../src/embedded/own-key.ts';
import { silentLog } from '../../src/log.ts';
import { readAudit } from '../../src/store/audit.ts';
import { bootstrap, ensureEmbeddedKey, recoverKey } from '../../src/store/bootstrap.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import {
  createKey,
  createKeyFinder,
  isKey,
  KEY_CACHE_MS,
  mintKey,
  type Owner,
  readKey,
  readKeys,
  removeUser,
  revokeKey,
} from '../../src/store/keys.ts';
import { createUser } from '../../src/store/teams.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addTeam, keyOf } from '../support/store.ts';

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

/** Whether somebody waits for a row of a person that somebody else holds. */
async function waitsForUser(db: Database): Promise<boolean> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'revoke_keys|api_key'`;
  return rows.length > 0;
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
    const { apiKey } = await keyOf(opened.db, { ...owner, name: 'ci' });
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
    const { id, apiKey } = await keyOf(opened.db, { ...owner, name: 'a' });
    const find = createKeyFinder(opened.db, { clock });
    expect(await find(apiKey)).toEqual({ keyId: id, ...owner, scopes: USUAL_SCOPES });
    expect(await find(mintKey())).toBeUndefined();
    expect(await find('')).toBeUndefined();
  });

  test('that was revoked opens nothing, elsewhere after the cache at most', async () => {
    const { id: keyId, apiKey } = await keyOf(opened.db, { ...owner, name: 'b' });
    const find = createKeyFinder(opened.db, { clock });
    expect(await find(apiKey)).toBeDefined();
    for (const _ of ['once', 'again'])
      expect(await revokeKey(opened.db, { teamId: owner.teamId, keyId })).toEqual({ outcome: 'revoked' });
    now += KEY_CACHE_MS - 1;
    expect(await find(apiKey)).toBeDefined();
    now += 1;
    expect(await find(apiKey)).toBeUndefined();
  });

  test('is not revoked for another team', async () => {
    const { id: keyId } = await keyOf(opened.db, { ...owner, name: 'c' });
    const teamId = '00000000-0000-7000-8000-000000000000';
    expect(await revokeKey(opened.db, { teamId, keyId })).toEqual({ outcome: 'not_found' });
    expect(await readKey(opened.db, { teamId: owner.teamId, id: keyId })).toBeDefined();
  });

  test('opens nothing once it has expired, also where it was remembered', async () => {
    const expiresAt = new Date(Date.now() + 60_000);
    const { id, apiKey } = await keyOf(opened.db, { ...owner, name: 'd', expiresAt });
    const find = createKeyFinder(opened.db, { clock });
    expect(await find(apiKey)).toMatchObject({ keyId: id });
    await opened.db.sql`UPDATE api_key SET expires_at = clock_timestamp() WHERE id = ${id}`;
    expect(await find(apiKey)).toBeDefined();
    expect(await createKeyFinder(opened.db, { clock })(apiKey)).toBeUndefined();
    const short = await keyOf(opened.db, { ...owner, name: 'e', expiresAt: new Date(Date.now() + 2_000) });
    expect(await find(short.apiKey)).toBeDefined();
    now += 3_000;
    await opened.db
      .sql`UPDATE api_key SET expires_at = clock_timestamp() - interval '1 second' WHERE id = ${short.id}`;
    expect(await find(short.apiKey)).toBeUndefined();
  });

  test('says to the minute when it was used last', async () => {
    const { id, apiKey } = await keyOf(opened.db, { ...owner, name: 'f' });
    const used = async () => (await readKey(opened.db, { teamId: owner.teamId, id }))?.lastUsedAt;
    expect(await used()).toBeNull();
    await createKeyFinder(opened.db, { clock })(apiKey);
    const first = await used();
    expect(first).toBeInstanceOf(Date);
    await createKeyFinder(opened.db, { clock })(apiKey);
    expect(await used()).toEqual(first);
    await opened.db.sql`UPDATE api_key SET last_used_at = last_used_at - interval '61 s' WHERE id = ${id}`;
    await createKeyFinder(opened.db, { clock })(apiKey);
    expect((await used())?.getTime()).toBeGreaterThanOrEqual(first?.getTime() ?? 0);
  });

  test('is made for somebody of the team alone, once under one id, and listed until it is revoked', async () => {
    const team = await addTeam(opened.db);
    const { id } = await keyOf(opened.db, { ...team, name: 'only' });
    expect(await createKey(opened.db, { ...team, id, name: 'only' })).toBeUndefined();
    expect(await createKey(opened.db, { ...team, userId: owner.userId, name: 'x' })).toBeUndefined();
    const names = async () => (await readKeys(opened.db, team, 10)).rows.map(({ name }) => name);
    expect(await names()).toEqual(['only']);
    await revokeKey(opened.db, { ...team, keyId: id });
    expect(await names()).toEqual([]);
  });

  test('of an administrator is not revoked where it is the team’s last, whoever asks at once', async () => {
    const team = await addTeam(opened.db);
    const scopes = ['admin'] as const;
    const keys = [
      await keyOf(opened.db, { ...team, name: '1', scopes }),
      await keyOf(opened.db, { ...team, name: '2', scopes }),
    ];
    const outcomes = await Promise.all(keys.map(({ id: keyId }) => revokeKey(opened.db, { ...team, keyId })));
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['last_admin', 'revoked']);
    expect(await removeUser(opened.db, team)).toEqual({ outcome: 'last_admin' });
    const other = newId();
    await createUser(opened.db, { id: other, teamId: team.teamId, name: 'Cy' });
    await keyOf(opened.db, { teamId: team.teamId, userId: other, name: '3', scopes });
    expect(await removeUser(opened.db, team)).toEqual({ outcome: 'revoked' });
    expect((await readKeys(opened.db, team, 10)).rows.map(({ name }) => name)).toEqual(['3']);
    expect(await createKey(opened.db, { ...team, name: 'again' })).toBeUndefined();
  });

  test('is not made for who leaves at the same moment, and opens nothing where it was not revoked', async () => {
    const team = await addTeam(opened.db);
    const boss = newId();
    await createUser(opened.db, { id: boss, teamId: team.teamId, name: 'Boss' });
    await keyOf(opened.db, { teamId: team.teamId, userId: boss, name: 'b', scopes: ['admin'] });
    const holder = await opened.db.pool.connect();
    const begin = async (text: string, values: unknown[]) => {
      await holder.query('BEGIN');
      await holder.query(text, values);
    };
    const end = async (waited: Promise<unknown>) => {
      await expect.poll(() => waitsForUser(opened.db), { interval: 5 }).toBe(true);
      await holder.query('COMMIT');
      return waited;
    };
    const user = 'SELECT FROM "user" WHERE id = $1 FOR NO KEY UPDATE';
    // Who makes one holds the user's row: whoever removes them waits, and revokes that one too.
    await begin(user, [team.userId]);
    const id = newId();
    await holder.query(
      `INSERT INTO api_key (id, team_id, user_id, name, prefix, hash, scopes)
       VALUES ($1, $2, $3, 'while', 'capy_aaaaaaaa', sha256('x'), '{read}')`,
      [id, team.teamId, team.userId],
    );
    expect(await end(removeUser(opened.db, team))).toEqual({ outcome: 'revoked' });
    expect(await readKey(opened.db, { ...team, id })).toBeUndefined();
    // Whoever has left when the lock is free gets none.
    await opened.db.sql`UPDATE "user" SET left_at = NULL WHERE id = ${team.userId}`;
    await begin('UPDATE "user" SET left_at = clock_timestamp() WHERE id = $1', [team.userId]);
    expect(await end(createKey(opened.db, { ...team, name: 'late' }))).toBeUndefined();
    holder.release();
    await opened.db.sql`UPDATE "user" SET left_at = NULL WHERE id = ${team.userId}`;
    const { apiKey } = await keyOf(opened.db, { ...team, name: 'forgotten' });
    await opened.db.sql`UPDATE "user" SET left_at = clock_timestamp() WHERE id = ${team.userId}`;
    expect(await createKeyFinder(opened.db)(apiKey)).toBeUndefined();
  });

  test('is remembered in a process among a limited number', async () => {
    const find = createKeyFinder(opened.db, { clock, maxCached: 2 });
    const keys = await Promise.all(['1', '2', '3'].map((name) => keyOf(opened.db, { ...owner, name })));
    for (const { apiKey } of keys) await find(apiKey);
    for (const { id: keyId } of keys) await revokeKey(opened.db, { teamId: owner.teamId, keyId });
    const known = await Promise.all(keys.map(({ apiKey }) => find(apiKey)));
    expect(known.map((caller) => caller !== undefined)).toEqual([false, true, true]);
  });
});

describe('the first key', () => {
  test('is made once, however many ask at once, and again when none of an administrator opens any more', async () => {
    const { database, db, close } = await open();
    const make = () => bootstrap(database.url);
    const made = await Promise.all(Array.from({ length: 5 }, make));
    const [first, ...others] = made.filter((each) => each !== undefined);
    expect(others).toEqual([]);
    const find = createKeyFinder(db);
    const caller = await find(first?.apiKey ?? '');
    const owner = await ownerOf(db);
    expect(caller).toMatchObject(owner);
    await keyOf(db, { ...owner, name: 'usual' });
    expect(await make()).toBeUndefined();

    await db.sql`UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = ${caller?.keyId ?? ''}`;
    expect(await find((await make())?.apiKey ?? '')).toMatchObject(owner);
    await db.sql`UPDATE api_key SET expires_at = clock_timestamp() WHERE 'admin' = ANY(scopes)`;
    expect(await find((await make())?.apiKey ?? '')).toMatchObject(owner);
    // Who has left gets none, though a key of theirs was forgotten.
    await db.sql`UPDATE "user" SET left_at = clock_timestamp()`;
    const next = await find((await make())?.apiKey ?? '');
    expect(await make()).toBeUndefined();
    expect(await db.sql`SELECT name FROM "user" WHERE id = ${next?.userId ?? ''}`).toEqual([
      { name: 'admin-2' },
    ]);
    expect(await db.sql`SELECT name FROM team`).toEqual([{ name: 'default' }]);
    await close();
  });

  test('is of the team that runs this Capybara, whatever that is called', async () => {
    const { database, db, close } = await open();
    const ours = await addTeam(db);
    await db.sql`UPDATE team SET operates = true WHERE id = ${ours.teamId}`;
    const theirs = newId();
    await db.sql`INSERT INTO team (id, name) VALUES (${theirs}, 'default')`;
    const first = await bootstrap(database.url);
    expect(await createKeyFinder(db)(first?.apiKey ?? '')).toMatchObject({ teamId: ours.teamId });
    expect(await bootstrap(database.url)).toBeUndefined();
    expect(await db.sql`SELECT name FROM team WHERE operates`).toHaveLength(1);
    await close();
  });

  test('of an embedded Capybara is the one that was given, as often as it is', async () => {
    const { db, close } = await open();
    const apiKey = mintKey();
    await Promise.all([ensureEmbeddedKey(db, apiKey), ensureEmbeddedKey(db, apiKey)]);
    expect(await ensureEmbeddedKey(db, mintKey())).toBe(true);
    const caller = await createKeyFinder(db)(apiKey);
    expect(caller).toMatchObject(await ownerOf(db));
    expect(await db.sql`SELECT id FROM api_key`).toHaveLength(2);
    expect(await db.sql`SELECT id FROM "user"`).toHaveLength(1);
    const { rows } = await readAudit(db, await ownerOf(db), 10);
    expect(rows.map(({ action }) => action)).toEqual(['capybara up', 'capybara up']);
    await close();
  });

  test('of an embedded Capybara stays revoked, and its person is let in with another one', async () => {
    const { db, close } = await open();
    const dataDir = mkdtempSync(join(tmpdir(), 'capybara-own-key-'));
    const path = join(dataDir, 'api-key');
    const first = await openOwnKey(db, dataDir);
    expect(await openOwnKey(db, dataDir)).toEqual({ apiKey: first.apiKey, path });
    await db.sql`UPDATE api_key SET revoked_at = clock_timestamp()`;
    const next = await openOwnKey(db, dataDir);
    expect(next.notice).toBe(
      `The key in ${path} was revoked, and stays so: another one is in that file now.`,
    );
    const find = createKeyFinder(db);
    expect([await find(first.apiKey), await find(next.apiKey)]).toEqual([
      undefined,
      expect.objectContaining(await ownerOf(db)),
    ]);
    expect(await openOwnKey(db, dataDir)).toEqual({ apiKey: next.apiKey, path });
    expect([readdirSync(dataDir), statSync(path).mode & 0o777]).toEqual([['api-key'], 0o600]);
    rmSync(dataDir, { recursive: true });
    await close();
  });

  test('that is no key is refused in one sentence', async () => {
    const { db, close } = await open();
    await expect(ensureEmbeddedKey(db, 'secret')).rejects.toThrow(UserError);
    await expect(ensureEmbeddedKey(db, 'secret')).rejects.not.toThrow(/secret/);
    await close();
  });
});

describe('a recovered key', () => {
  let opened: Opened;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());

  test('opens the team that runs this Capybara, leaves the others as they are, and stands in the audit', async () => {
    const { db, database } = opened;
    const first = await bootstrap(database.url);
    const { id, ...key } = await recoverKey(database.url);
    expect(key).toEqual({ apiKey: expect.any(String), team: 'default', user: 'admin' });
    const find = createKeyFinder(db);
    const owner = await ownerOf(db);
    expect(await find(key.apiKey)).toEqual({ keyId: id, ...owner, scopes: [...SCOPES] });
    expect(await find(first?.apiKey ?? '')).toMatchObject(owner);
    const { rows } = await readAudit(db, owner, 10);
    expect(rows.map(({ action, subject, status }) => ({ action, subject, status }))).toEqual([
      { action: 'capybara keys recover', subject: toPublicId('key', id), status: 201 },
      { action: 'capybara migrate --bootstrap', subject: expect.stringMatching(/^key_/), status: 201 },
    ]);
  });

  test('may be for somebody else of another team, who is made where nobody is called so, and not for who has left', async () => {
    const { db, database } = opened;
    const [row] = await db.sql<{ name: string }>`
      INSERT INTO team (id, name) VALUES (${newId()}, 'design') RETURNING name`;
    const made = await recoverKey(database.url, { team: row?.name, user: 'Ana' });
    const again = await recoverKey(database.url, { team: 'design', user: 'Ana' });
    const find = createKeyFinder(db);
    const callers = await Promise.all([find(made.apiKey), find(again.apiKey)]);
    expect(callers[0]?.userId).toBe(callers[1]?.userId);
    await db.sql`UPDATE "user" SET left_at = clock_timestamp() WHERE name = 'Ana'`;
    const refused = (recovery: Parameters<typeof recoverKey>[1]) =>
      recoverKey(database.url, recovery).catch((error: UserError) => error.message);
    expect(await refused({ team: 'design', user: 'Ana' })).toBe(
      '"Ana" has left the team design, and names are not used again: name somebody else with --user.',
    );
    expect(await refused({ team: 'desing' })).toBe(
      'There is no team "desing": expected one of default, design.',
    );
  });

  test('needs the tables', async () => {
    const empty = await createTestDatabase({ empty: true });
    await expect(recoverKey(empty.url)).rejects.toThrow(
      'The database is empty: run `capybara migrate` first.',
    );
    await empty.drop();
  });
});
