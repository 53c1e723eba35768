/** Teams and their people. Ids are UUIDs. */

import type { Scope } from '../core/scope.ts';
import type { Database } from './database.ts';
import { hashOfKey, type MakingRequest, mintKey, prefixOfKey, textArray } from './keys.ts';
import { cut, type Rows } from './views.ts';

export interface TeamRow {
  readonly id: string;
  readonly name: string;
  /** It runs this Capybara: its administrators make teams. */
  readonly operates: boolean;
  readonly createdAt: Date;
}

/** The team itself; every team where it is the one that runs this Capybara. In the order in which they were made. */
export async function readTeams(db: Database, teamId: string): Promise<TeamRow[]> {
  return db.sql<TeamRow & Record<string, unknown>>`
    SELECT t.id, t.name, t.operates, t.created_at AS "createdAt" FROM team t JOIN team me ON me.id = ${teamId}
     WHERE t.id = me.id OR me.operates ORDER BY t.created_at, t.id`;
}

export async function isOperator(db: Database, teamId: string): Promise<boolean> {
  const [row] = await db.sql<{ operates: boolean }>`SELECT operates FROM team WHERE id = ${teamId}`;
  return row?.operates === true;
}

export interface NewTeam {
  readonly id: string;
  readonly name: string;
  /** Its first person, and their key. */
  readonly user: { readonly id: string; readonly name: string };
  readonly key: { readonly id: string; readonly name: string; readonly scopes: readonly Scope[] };
  readonly making: MakingRequest;
}

/** Makes a team with its first user and their key, all or nothing. `taken`: a team has the name, or one of that id is there. */
export async function createTeam(
  db: Database,
  { id, name, user, key, making }: NewTeam,
): Promise<{ readonly outcome: 'created'; readonly apiKey: string } | { readonly outcome: 'taken' }> {
  const apiKey = mintKey();
  const hash = hashOfKey(apiKey);
  await db.sql`
    WITH t AS (INSERT INTO team (id, name) VALUES (${id}, ${name}) ON CONFLICT DO NOTHING RETURNING id),
         u AS (INSERT INTO "user" (id, team_id, name) SELECT ${user.id}, id, ${user.name} FROM t RETURNING id, team_id)
    INSERT INTO api_key (id, team_id, user_id, name, prefix, hash, scopes, made_with, request_hash)
    SELECT ${key.id}, team_id, id, ${key.name}, ${prefixOfKey(apiKey)}, ${hash}, ${textArray(key.scopes)}::text[],
           ${making.madeWith}, decode(${making.requestHash}, 'hex') FROM u`;
  const mine = await db.sql`SELECT FROM api_key WHERE id = ${key.id} AND hash = ${hash}`;
  return mine.length === 0 ? { outcome: 'taken' } : { outcome: 'created', apiKey };
}

export interface UserRow {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly leftAt: Date | null;
}

/** The team's people, the newest first; those who have left among them, for what they did is still there. */
export async function readUsers(
  db: Database,
  filter: { readonly teamId: string; readonly before?: string | undefined },
  limit: number,
): Promise<Rows<UserRow>> {
  const { teamId, before = null } = filter;
  const rows = await db.sql<UserRow & Record<string, unknown>>`
    SELECT id, name, created_at AS "createdAt", left_at AS "leftAt" FROM "user"
     WHERE team_id = ${teamId}
       AND (${before}::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM "user" WHERE id = ${before} AND team_id = ${teamId}))
     ORDER BY created_at DESC, id DESC LIMIT ${limit + 1}`;
  return cut(rows, limit);
}

/** By id, or by name. */
export async function readUser(
  db: Database,
  user: { readonly teamId: string; readonly id?: string; readonly name?: string },
): Promise<UserRow | undefined> {
  const [row] = await db.sql<UserRow & Record<string, unknown>>`
    SELECT id, name, created_at AS "createdAt", left_at AS "leftAt" FROM "user"
     WHERE team_id = ${user.teamId} AND (id = ${user.id ?? null} OR name = ${user.name ?? null})`;
  return row;
}

/** Undefined where somebody of the team has the name, or had it. Where one of that id is there, that one, whatever its name. */
export async function createUser(
  db: Database,
  user: { readonly id: string; readonly teamId: string; readonly name: string },
): Promise<UserRow | undefined> {
  const { id, teamId, name } = user;
  await db.sql`INSERT INTO "user" (id, team_id, name) VALUES (${id}, ${teamId}, ${name}) ON CONFLICT DO NOTHING`;
  return readUser(db, { teamId, id });
}
