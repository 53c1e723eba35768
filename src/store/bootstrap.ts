/** The first team, user and key: what lets the first person in. */
import type { Client } from 'pg';
import { newId } from '../clock.ts';
import { UserError } from '../core/errors.ts';
import { SCOPES } from '../core/scope.ts';
import { connect } from './connect.ts';
import type { Database } from './database.ts';
import { hashOfKey, isKey, mintKey, type Owner, prefixOfKey, textArray } from './keys.ts';

const TEAM = 'default';
const USER = 'admin';
/** Advisory lock: of two that make the first key, one finds it made. */
const LOCK = 2_036_427_011;

/**
 * Makes the team `default`, its user `admin` and their key; `undefined` where a key is in use already. The database at
 * `url` is migrated. Safe when several do it at once. Throws the `UserError`s of `connect`.
 */
export async function bootstrap(url: string): Promise<{ apiKey: string } | undefined> {
  const client = await connect(url);
  try {
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    const apiKey = await firstKey(client);
    await client.query('COMMIT');
    return apiKey === undefined ? undefined : { apiKey };
  } finally {
    // An open transaction ends with its connection.
    await client.end();
  }
}

async function firstKey(client: Client): Promise<string | undefined> {
  const { rowCount } = await client.query('SELECT FROM api_key WHERE revoked_at IS NULL LIMIT 1');
  if (rowCount !== 0) return undefined;
  const apiKey = mintKey();
  const ask: Ask = async (text, values) => (await client.query(text, values)).rows;
  await addKey(ask, await defaultOwner(ask), { apiKey, name: 'first' });
  return apiKey;
}

/**
 * Sees to it that `apiKey` opens the team `default`: the embedded Capybara keeps its key in a file of its user's. Every
 * statement may be repeated. Throws `UserError` (`invalid_key`) where it is no key.
 */
export async function ensureEmbeddedKey(db: Database, apiKey: string): Promise<void> {
  if (!isKey(apiKey)) {
    throw new UserError(
      'invalid_key',
      'The key of the embedded Capybara is not one: expected capy_ and 43 letters, digits, "-" or "_"; delete its file and start again.',
      3,
    );
  }
  const ask: Ask = async (text, values) => (await db.pool.query(text, values)).rows;
  await addKey(ask, await defaultOwner(ask), { apiKey, name: 'embedded' });
}

type Ask = (text: string, values: unknown[]) => Promise<Record<string, unknown>[]>;

async function defaultOwner(ask: Ask): Promise<Owner> {
  await ask('INSERT INTO team (id, name, operates) VALUES ($1, $2, true) ON CONFLICT DO NOTHING', [
    newId(),
    TEAM,
  ]);
  await ask(
    'INSERT INTO "user" (id, team_id, name) SELECT $1, id, $2 FROM team WHERE name = $3 ON CONFLICT DO NOTHING',
    [newId(), USER, TEAM],
  );
  const [owner] = await ask(
    'SELECT u.id, u.team_id FROM "user" u JOIN team t ON t.id = u.team_id WHERE t.name = $1 AND u.name = $2',
    [TEAM, USER],
  );
  if (owner === undefined) throw new Error('the default team was removed while its first key was made');
  return { teamId: String(owner.team_id), userId: String(owner.id) };
}

async function addKey(ask: Ask, owner: Owner, key: { apiKey: string; name: string }): Promise<void> {
  await ask(
    `INSERT INTO api_key (id, team_id, user_id, name, prefix, hash, scopes) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL`,
    [
      ...[newId(), owner.teamId, owner.userId, key.name],
      ...[prefixOfKey(key.apiKey), hashOfKey(key.apiKey), textArray(SCOPES)],
    ],
  );
}
