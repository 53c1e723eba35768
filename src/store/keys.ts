/**
 * API keys: what users present. Of a key only its beginning, by which people tell it apart, and its SHA-256 are kept, so that a
 * copy of the database opens nothing.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Clock, newId, systemClock } from '../clock.ts';
import { SCOPES, type Scope, USUAL_SCOPES } from '../core/scope.ts';
import type { Database } from './database.ts';
import { cut, type Rows } from './views.ts';

/** How long a key is believed without asking Postgres: what a revocation in another process takes at most. */
export const KEY_CACHE_MS = 5_000;
/** Keys that a process remembers at a time. */
const MAX_CACHED_KEYS = 10_000;

/** `capy_` and 32 random bytes, base64url. */
const KEY = /^capy_[A-Za-z0-9_-]{43}$/;
/** Characters of a key that are kept as they are: 48 of its 256 random bits. */
const PREFIX_LENGTH = 'capy_'.length + 8;

/** Who presented a key. Ids are UUIDs. */
export interface Caller {
  readonly keyId: string;
  readonly teamId: string;
  readonly userId: string;
  readonly scopes: readonly Scope[];
}

export interface Owner {
  readonly teamId: string;
  readonly userId: string;
}

/** A request that makes a key, by which a repeat of it is known. */
export interface MakingRequest {
  /** The key that it was sent with. */
  readonly madeWith: string;
  /** SHA-256, in hexadecimal digits. */
  readonly requestHash: string;
}

export interface NewKey extends Owner {
  /** A UUID; a repeat makes nothing. */
  readonly id?: string;
  readonly name: string;
  readonly scopes?: readonly Scope[];
  readonly expiresAt?: Date | undefined;
  readonly making?: MakingRequest;
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

/** What is kept of a key as it is, and shown. */
export function prefixOfKey(key: string): string {
  return key.slice(0, PREFIX_LENGTH);
}

/** A list of words as Postgres takes an array of text. */
export function textArray(words: readonly string[]): string {
  return `{${words.join(',')}}`;
}

/**
 * Makes a key. `apiKey` is shown this once and kept nowhere; undefined where one of that id was there, or the user is not one of
 * the team, or has left it.
 */
export async function createKey(
  db: Database,
  { id = newId(), teamId, userId, name, scopes = USUAL_SCOPES, expiresAt, making }: NewKey,
): Promise<{ id: string; apiKey: string } | undefined> {
  const apiKey = mintKey();
  const hash = hashOfKey(apiKey);
  // Who leaves at this moment waits for the lock, and takes this key along; or this one waits, and finds that they have left.
  await db.sql`
    WITH owner AS MATERIALIZED (
      SELECT id, team_id FROM "user" WHERE id = ${userId} AND team_id = ${teamId} AND left_at IS NULL FOR NO KEY UPDATE)
    INSERT INTO api_key (id, team_id, user_id, name, prefix, hash, scopes, expires_at, made_with, request_hash)
    SELECT ${id}, team_id, id, ${name}, ${prefixOfKey(apiKey)}, ${hash}, ${textArray(scopes)}::text[], ${expiresAt ?? null},
           ${making?.madeWith ?? null}, decode(${making?.requestHash ?? null}, 'hex')
      FROM owner ON CONFLICT DO NOTHING`;
  const mine = await db.sql`SELECT FROM api_key WHERE id = ${id} AND hash = ${hash}`;
  return mine.length === 0 ? undefined : { id, apiKey };
}

/** `kept`: it was used, opens nothing, or was made with another key. */
export type RenewOutcome =
  | { readonly outcome: 'renewed'; readonly apiKey: string }
  | { readonly outcome: 'kept' | 'conflict' | 'not_found' };

/**
 * A key that nobody has used becomes another one under the same id, for a repeat of the request that made it: whoever sent that has not
 * heard of it. What was answered before opens nothing any more.
 */
export async function renewKey(
  db: Database,
  { id, madeWith, requestHash }: MakingRequest & { readonly id: string },
): Promise<RenewOutcome> {
  const apiKey = mintKey();
  const hash = hashOfKey(apiKey);
  await db.sql`
    UPDATE api_key SET prefix = ${prefixOfKey(apiKey)}, hash = ${hash}
     WHERE id = ${id} AND made_with = ${madeWith} AND request_hash = decode(${requestHash}, 'hex') AND last_used_at IS NULL
       AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())`;
  const [row] = await db.sql<{ isMine: boolean; isSame: boolean }>`
    SELECT hash = ${hash} AS "isMine", request_hash IS NOT DISTINCT FROM decode(${requestHash}, 'hex') AS "isSame" FROM api_key WHERE id = ${id}`;
  if (row === undefined) return { outcome: 'not_found' };
  if (row.isMine) return { outcome: 'renewed', apiKey };
  return { outcome: row.isSame ? 'kept' : 'conflict' };
}

export interface KeyRow {
  readonly id: string;
  readonly userId: string;
  readonly userName: string;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly lastUsedAt: Date | null;
}

const KEY_COLUMNS = `
  k.id, k.user_id AS "userId", u.name AS "userName", k.name, k.prefix, k.scopes, k.created_at AS "createdAt",
  k.expires_at AS "expiresAt", k.last_used_at AS "lastUsedAt" FROM api_key k JOIN "user" u ON u.id = k.user_id`;

/** The team's keys that were not revoked, the newest first. */
export async function readKeys(
  db: Database,
  filter: { readonly teamId: string; readonly before?: string | undefined },
  limit: number,
): Promise<Rows<KeyRow>> {
  const rows = await db.read<KeyRow & Record<string, unknown>>(
    `SELECT ${KEY_COLUMNS}
      WHERE k.team_id = $1 AND k.revoked_at IS NULL
        AND ($2::uuid IS NULL OR (k.created_at, k.id) < (SELECT created_at, id FROM api_key WHERE id = $2 AND team_id = $1))
      ORDER BY k.created_at DESC, k.id DESC LIMIT $3`,
    filter.teamId,
    filter.before ?? null,
    limit + 1,
  );
  return cut(rows, limit);
}

export async function readKey(
  db: Database,
  key: { readonly teamId: string; readonly id: string },
): Promise<KeyRow | undefined> {
  const [row] = await db.read<KeyRow & Record<string, unknown>>(
    `SELECT ${KEY_COLUMNS} WHERE k.team_id = $1 AND k.id = $2 AND k.revoked_at IS NULL`,
    key.teamId,
    key.id,
  );
  return row;
}

export type RevokeOutcome = { readonly outcome: 'revoked' | 'not_found' | 'last_admin' };

/** It opens nothing any more; elsewhere after `KEY_CACHE_MS` at most. */
export function revokeKey(
  db: Database,
  key: { readonly teamId: string; readonly keyId: string },
): Promise<RevokeOutcome> {
  return db.transition('revoke_keys', key.teamId, key.keyId, null);
}

/** Somebody leaves the team: their keys open nothing any more; what they did keeps their name. */
export function removeUser(db: Database, { teamId, userId }: Owner): Promise<RevokeOutcome> {
  return db.transition('revoke_keys', teamId, null, userId);
}

/** Who a key belongs to; `undefined` where it is none, was revoked, has expired, or its user has left. */
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
    const row = await findRow(db, prefixOfKey(key), hash);
    if (row === undefined) return undefined;
    const { leftMs, ...caller } = row;
    found.set(name, { caller, until: clock() + Math.min(KEY_CACHE_MS, leftMs ?? KEY_CACHE_MS) });
    if (found.size > maxCached) found.delete(found.keys().next().value ?? '');
    return caller;
  };
}

interface FoundKey extends Caller {
  readonly hash: Buffer;
  /** Until it expires. */
  readonly leftMs: number | null;
}

/** Found by what is shown of it; whether it is the one, its whole hash says, in a time that does not depend on where they differ. */
async function findRow(
  db: Database,
  prefix: string,
  hash: Buffer,
): Promise<Omit<FoundKey, 'hash'> | undefined> {
  const rows = await db.sql<FoundKey & Record<string, unknown>>`
    SELECT k.id AS "keyId", k.team_id AS "teamId", k.user_id AS "userId", k.scopes, k.hash,
           extract(epoch FROM k.expires_at - clock_timestamp())::float8 * 1000 AS "leftMs"
      FROM api_key k JOIN "user" u ON u.id = k.user_id
     WHERE k.prefix = ${prefix} AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
       AND u.left_at IS NULL`;
  const row = rows.find((each) => timingSafeEqual(each.hash, hash));
  if (row === undefined) return undefined;
  await markUsed(db, row.keyId);
  const { keyId, teamId, userId, scopes, leftMs } = row;
  return { keyId, teamId, userId, scopes: scopes.filter((scope) => SCOPES.includes(scope)), leftMs };
}

/** To the minute: a key that is used all the time costs a write a minute. */
async function markUsed(db: Database, keyId: string): Promise<void> {
  await db.sql`
    UPDATE api_key SET last_used_at = clock_timestamp()
     WHERE id = ${keyId} AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')`;
}
