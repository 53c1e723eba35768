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
 * Makes a key with every scope in the team that runs this Capybara, which is `default` where there was none; `undefined` where an
 * administrator of it has one that opens it now. The database at `url` is migrated. Safe when several do it at once. Throws the
 * `UserError`s of `connect`.
 */
export async function bootstrap(url: string): Promise<{ apiKey: string } | undefined> {
  return inTransaction(url, async (ask) => {
    if ((await ask(OPENING_ADMIN_KEYS, [])).length > 0) return undefined;
    const apiKey = mintKey();
    const owner = await operator(ask);
    await addKey(ask, owner, { apiKey, name: 'first', action: 'capybara migrate --bootstrap' });
    return { apiKey };
  });
}

/** A key opens something where it was not revoked, has not expired, and its user has not left. */
const OPENING = `
  FROM api_key k JOIN "user" u ON u.id = k.user_id
 WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()) AND u.left_at IS NULL`;

const OPENING_ADMIN_KEYS = `SELECT k.id ${OPENING} AND 'admin' = ANY(k.scopes) AND k.team_id IN (SELECT id FROM team WHERE operates) LIMIT 1`;

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
    const id = await addKey(ask, owner, { apiKey, name: 'recovered', action: 'capybara keys recover' });
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

async function teamOf(ask: Ask, name: string | undefined): Promise<Team> {
  if (name === undefined) return operatingTeam(ask);
  const [found] = await ask('SELECT id, name FROM team WHERE name = $1', [name]);
  if (found !== undefined) return { id: String(found.id), name: String(found.name) };
  const teams = await ask('SELECT name FROM team ORDER BY created_at, id LIMIT 20', []);
  throw new UserError(
    'not_found',
    `There is no team ${JSON.stringify(name)}: expected one of ${teams.map((row) => String(row.name)).join(', ')}.`,
  );
}

/** The one that runs this Capybara. Where none does, `default` does from now on: somebody has to make the others. */
async function operatingTeam(ask: Ask): Promise<Team> {
  const [found] = await ask('SELECT id, name FROM team WHERE operates ORDER BY created_at, id LIMIT 1', []);
  if (found !== undefined) return { id: String(found.id), name: String(found.name) };
  const [made] = await ask(
    `INSERT INTO team (id, name, operates) VALUES ($1, $2, true)
     ON CONFLICT (name) DO UPDATE SET operates = true RETURNING id`,
    [newId(), TEAM],
  );
  return { id: String(made?.id), name: TEAM };
}

/** `admin` of the team that runs this Capybara. Names are not used again: once that one has left, it is `admin-2`, and so on. */
async function operator(ask: Ask): Promise<Owner> {
  const team = await operatingTeam(ask);
  for (let count = 1; ; count += 1) {
    const userId = await presentMember(ask, team, count === 1 ? USER : `${USER}-${count}`);
    if (userId !== undefined) return { teamId: team.id, userId };
  }
}

async function memberOf(ask: Ask, team: Team, name: string): Promise<string> {
  const userId = await presentMember(ask, team, name);
  if (userId !== undefined) return userId;
  throw new UserError(
    'has_left',
    `${JSON.stringify(name)} has left the team ${team.name}, and names are not used again: name somebody else with --user.`,
  );
}

/** Made where nobody is called so; undefined where they have left. */
async function presentMember(ask: Ask, team: Team, name: string): Promise<string | undefined> {
  const owner = 'INSERT INTO "user" (id, team_id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING';
  await ask(owner, [newId(), team.id, name]);
  const member = 'SELECT id, left_at FROM "user" WHERE team_id = $1 AND name = $2 FOR NO KEY UPDATE';
  const [row] = await ask(member, [team.id, name]);
  return row === undefined || row.left_at !== null ? undefined : String(row.id);
}

/**
 * Sees to it that `apiKey` opens the team that runs this Capybara: the embedded one keeps its key in a file of its user's. False where
 * that key was revoked, as it stays. Every statement may be repeated. Throws `UserError` (`invalid_key`) where it is no key.
 */
export async function ensureEmbeddedKey(db: Database, apiKey: string): Promise<boolean> {
  if (!isKey(apiKey)) {
    throw new UserError(
      'invalid_key',
      'The key of the embedded Capybara is not one: expected capy_ and 43 letters, digits, "-" or "_"; delete its file and start again.',
      3,
    );
  }
  const ask: Ask = async (text, values) => (await db.pool.query(text, values)).rows;
  const known = await ask('SELECT id FROM api_key WHERE hash = $1', [hashOfKey(apiKey)]);
  if (known.length === 0)
    await addKey(ask, await operator(ask), { apiKey, name: 'embedded', action: 'capybara up' });
  return (await ask(`SELECT k.id ${OPENING} AND k.hash = $1`, [hashOfKey(apiKey)])).length > 0;
}

/** With every scope. Returns its id, which stands in the audit, in the same commit, as what it was made with. */
async function addKey(
  ask: Ask,
  owner: Owner,
  { apiKey, name, action }: { apiKey: string; name: string; action: string },
): Promise<string> {
  const id = newId();
  await ask(
    `WITH made AS (
       INSERT INTO api_key (id, team_id, user_id, name, prefix, hash, scopes) VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (hash) DO NOTHING RETURNING id, team_id, user_id)
     INSERT INTO audit (id, team_id, user_id, key_id, action, subject, status)
     SELECT $8, team_id, user_id, id, $9, $10, 201 FROM made`,
    [
      ...[id, owner.teamId, owner.userId, name],
      ...[prefixOfKey(apiKey), hashOfKey(apiKey), textArray(SCOPES)],
      ...[newId(), action, toPublicId('key', id)],
    ],
  );
  return id;
}
