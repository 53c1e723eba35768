/** API keys: what users present. Only the SHA-256 of a key is kept, so that a copy of the database opens nothing. */
import { createHash, randomBytes } from 'node:crypto';
import { type Clock, newId, systemClock } from '../clock.ts';
import type { Database } from './database.ts';

/** How long a key is believed without asking Postgres: what a revocation in another process takes at most. */
export const KEY_CACHE_MS = 5_000;
/** Keys that a process remembers at a time. */
const MAX_CACHED_KEYS = 10_000;

/** `capy_` and 32 random bytes, base64url. */
const KEY = /^capy_[A-Za-z0-9_-]{43}$/;

/** Who presented a key. Ids are UUIDs. */
export interface Caller {
  readonly keyId: string;
  readonly teamId: string;
  readonly userId: string;
}

export interface Owner {
  readonly teamId: string;
  readonly userId: string;
}

export function mintKey(): string {
  return `capy_${randomBytes(32).toString('base64url')}`;
}

export function isKey(text: string): boolean {
  return KEY.test(text);
}

export function hashOfKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** Makes a key. `apiKey` is shown this once and kept nowhere. */
export async function createKey(
  db: Database,
  owner: Owner & { readonly name: string },
): Promise<{ id: string; apiKey: string }> {
  const apiKey = mintKey();
  const id = newId();
  await db.sql`
    INSERT INTO api_key (id, team_id, user_id, name, hash)
    VALUES (${id}, ${owner.teamId}, ${owner.userId}, ${owner.name}, ${hashOfKey(apiKey)}) ON CONFLICT DO NOTHING`;
  return { id, apiKey };
}

/** Whether the team had such a key in use. It opens nothing any more; elsewhere after `KEY_CACHE_MS` at most. */
export async function revokeKey(
  db: Database,
  key: { readonly teamId: string; readonly keyId: string },
): Promise<boolean> {
  const rows = await db.sql`
    UPDATE api_key SET revoked_at = clock_timestamp()
     WHERE id = ${key.keyId} AND team_id = ${key.teamId} AND revoked_at IS NULL RETURNING id`;
  return rows.length > 0;
}

/** Who a key belongs to; `undefined` where it is none, or revoked. */
export type FindKey = (key: string) => Promise<Caller | undefined>;

export interface KeyFinderOptions {
  readonly clock?: Clock;
  readonly maxCached?: number;
}

/** A `FindKey` that asks Postgres once per key and `KEY_CACHE_MS`. Keys that open nothing are not remembered. */
export function createKeyFinder(db: Database, options: KeyFinderOptions = {}): FindKey {
  const { clock = systemClock, maxCached = MAX_CACHED_KEYS } = options;
  const found = new Map<string, { caller: Caller; until: number }>();
  return async (key) => {
    if (!isKey(key)) return undefined;
    const hash = hashOfKey(key);
    const name = hash.toString('base64');
    const known = found.get(name);
    if (known !== undefined && clock() < known.until) return known.caller;
    found.delete(name);
    const caller = await readCaller(db, hash);
    if (caller === undefined) return undefined;
    found.set(name, { caller, until: clock() + KEY_CACHE_MS });
    if (found.size > maxCached) found.delete(found.keys().next().value ?? '');
    return caller;
  };
}

async function readCaller(db: Database, hash: Buffer): Promise<Caller | undefined> {
  const [row] = await db.sql<Caller & Record<string, unknown>>`
    SELECT id AS "keyId", team_id AS "teamId", user_id AS "userId"
      FROM api_key WHERE hash = ${hash} AND revoked_at IS NULL`;
  return row;
}
