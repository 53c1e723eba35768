/** The keys that are made beside the API: the first, which lets the first person in, and one where the last was lost. */
import { newId } from '../clock.ts';
import { UserError } from '../core/errors.ts';
import { toPublicId } from '../core/id.ts';
import { SCOPES } from '../core/scope.ts';
import { connect } from './connect.ts';
import type { Database } from './database.ts';
import { hashOfKey, isKey, mintKey, type Owner, prefixOfKey, textArray } from './keys.ts';

type Ask = (text: string, values: unknown[]) => Promise<Record<string, unknown>[]>;

const TEAM = 'default';
const USER = 'admin';
/** Advisory lock: of two that make the first key, one finds it made. */
const LOCK = 2_036_427_011;

/**
 * Makes the team `default`, its user `admin` and their key; `undefined` where a key is in use already. The database at
 * `url` is migrated. Safe when several do it at once. Throws the `UserError`s of `connect`.
 */
export async function bootstrap(url: string): Promise<{ apiKey: string } | undefined> {
  return inTransaction(url, async (ask) => {
    if ((await ask('SELECT id FROM api_key WHERE revoked_at IS NULL LIMIT 1', [])).length > 0)
      return undefined;
    const apiKey = mintKey();
    const owner = await defaultOwner(ask);
    await addAudited(ask, owner, { apiKey, name: 'first', action: 'capybara migrate --bootstrap' });
    return { apiKey };
  });
}

/** Whom a recovered key is for, by name. */
export interface Recovery {
  /** Where left out, the team that runs this Capybara. */
  readonly team?: string | undefined;
  /** Made where the team has nobody of that name. */
  readonly user?: string | undefined;
}

export interface RecoveredKey {
  /** A UUID. */
  readonly id: string;
  readonly apiKey: string;
  readonly team: string;
  readonly user: string;
}

/**
 * Makes a key with every scope for whoever may write to the database at `url`, which is migrated; other keys stay as they are. The
 * audit has it in the same commit.
 *
 * @throws UserError `not_found`: there is no such team; `has_left`: that person left it; those of `connect`.
 */
export async function recoverKey(url: string, { team, user = USER }: Recovery = {}): Promise<RecoveredKey> {
  return inTransaction(url, async (ask) => {
    const of = await teamOf(ask, team);
    const userId = await memberOf(ask, of, user);
    const apiKey = mintKey();
    const owner = { teamId: of.id, userId };
    const id = await addAudited(ask, owner, { apiKey, name: 'recovered', action: 'capybara keys recover' });
    return { id, apiKey, team: of.name, user };
  });
}

async function inTransaction<Result>(url: string, act: (ask: Ask) => Promise<Result>): Promise<Result> {
  const client = await connect(url);
  try {
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    const result = await act(async (text, values) => (await client.query(text, values)).rows);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    if (!isNoTable(error)) throw error;
    throw new UserError('not_migrated', 'The database is empty: run `capybara migrate` first.', 3);
  } finally {
    // An open transaction ends with its connection.
    await client.end();
  }
}

/** SQLSTATE undefined_table. */
function isNoTable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '42P01';
}

interface Team {
  readonly id: string;
  readonly name: string;
}

/** A database that nobody has used yet gets its default team. */
async function teamOf(ask: Ask, name: string | undefined): Promise<Team> {
  const [found] = await ask(
    'SELECT id, name FROM team WHERE name = $1 OR ($1::text IS NULL AND operates) ORDER BY id LIMIT 1',
    [name ?? null],
  );
  if (found !== undefined) return { id: String(found.id), name: String(found.name) };
  if (name === undefined) return { id: (await defaultOwner(ask)).teamId, name: TEAM };
  const teams = (await ask('SELECT name FROM team ORDER BY id LIMIT 20', [])).map((row) => String(row.name));
  throw new UserError(
    'not_found',
    `There is no team ${JSON.stringify(name)}: expected one of ${teams.join(', ')}.`,
  );
}

async function memberOf(ask: Ask, team: Team, name: string): Promise<string> {
  const owner = 'INSERT INTO "user" (id, team_id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING';
  await ask(owner, [newId(), team.id, name]);
  const member = 'SELECT id, left_at FROM "user" WHERE team_id = $1 AND name = $2 FOR NO KEY UPDATE';
  const [row] = await ask(member, [team.id, name]);
  if (row !== undefined && row.left_at === null) return String(row.id);
  throw new UserError(
    'has_left',
    `${JSON.stringify(name)} has left the team ${team.name}, and names are not used again: name somebody else with --user.`,
  );
}

/** Returns the id of the key, which stands in the audit as what it was made with. */
async function addAudited(
  ask: Ask,
  owner: Owner,
  { action, ...key }: { apiKey: string; name: string; action: string },
): Promise<string> {
  const id = await addKey(ask, owner, key);
  await ask(
    'INSERT INTO audit (id, team_id, user_id, key_id, action, subject, status) VALUES ($1, $2, $3, $4, $5, $6, 201)',
    [newId(), owner.teamId, owner.userId, id, action, toPublicId('key', id)],
  );
  return id;
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

async function addKey(ask: Ask, owner: Owner, key: { apiKey: string; name: string }): Promise<string> {
  const [row] = await ask(
    `INSERT INTO api_key (id, team_id, user_id, name, prefix, hash, scopes) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL RETURNING id`,
    [
      ...[newId(), owner.teamId, owner.userId, key.name],
      ...[prefixOfKey(key.apiKey), hashOfKey(key.apiKey), textArray(SCOPES)],
    ],
  );
  return String(row?.id);
}
