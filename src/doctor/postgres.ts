/** The Postgres that is configured: whether it answers, is the right one, keeps what it is given, and holds this version's tables. */
import { DatabaseError, type PoolClient } from 'pg';
import type { Config } from '../config.ts';
import { messageOf } from '../core/errors.ts';
import { BriefPool } from '../postgres.ts';
import { isMigrated } from '../store/migrate.ts';
import { type Check, reasonOf, shownAddress, withoutStop } from './check.ts';
import { compareClocks } from './clock.ts';

const ANSWER_TIMEOUT_MS = 5_000;
/** The oldest one that is still maintained. */
const LEAST_MAJOR = 14;

interface Facts {
  readonly version: string;
  readonly major: number;
  readonly standby: boolean;
  readonly fsync: string;
  readonly commits: string;
  readonly pid: number;
  readonly nowMs: number;
  /** When it started, and which database: two addresses of one are alike in it. */
  readonly identity: string;
}

const FACTS = `
  SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
         pg_is_in_recovery() AS standby, current_setting('fsync') AS fsync,
         current_setting('synchronous_commit') AS commits, pg_backend_pid() AS pid,
         (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs",
         pg_postmaster_start_time()::text || current_database() AS identity`;

/** What was found at one address; `facts` where it let us in. */
interface Looked {
  readonly checks: readonly Check[];
  readonly facts?: Facts;
  readonly pooled: boolean;
}

/** Of both addresses, and whether they lead to one database. */
export async function postgres({
  databaseUrl,
  databaseDirectUrl,
}: Pick<Config, 'databaseUrl' | 'databaseDirectUrl'>): Promise<Check[]> {
  if (databaseUrl === undefined) return [];
  const [main, direct] = await Promise.all([
    lookAt(databaseUrl, 'DATABASE_URL', databaseDirectUrl === undefined),
    databaseDirectUrl && lookAt(databaseDirectUrl, 'DATABASE_DIRECT_URL', true),
  ]);
  const kept = main.checks.map((check) => ({ ...check }));
  if (!direct) return kept;
  const named = direct.checks.slice(0, 1).map((check) => ({ ...check, name: `${check.name}, direct` }));
  return [...kept, ...named, ...pooler('DATABASE_DIRECT_URL', direct), ...sameDatabase(main, direct)];
}

async function lookAt(url: string, setting: string, isDirect: boolean): Promise<Looked> {
  const options = { connectionTimeoutMillis: ANSWER_TIMEOUT_MS, query_timeout: ANSWER_TIMEOUT_MS };
  const pool = new BriefPool({ connectionString: url, max: 1, ...options }, () => {});
  try {
    const client = await pool.connect();
    const before = Date.now();
    const facts = await factsOf(client).finally(() => client.release());
    const after = Date.now();
    const looked = { facts, pooled: (client as PoolClient & { processID?: number }).processID !== facts.pid };
    const migrated = await migrations(pool);
    const clock = compareClocks({ of: 'Postgres', theirs: facts.nowMs, before, after });
    const through = isDirect && setting === 'DATABASE_URL' ? pooler(setting, looked) : [];
    return { ...looked, checks: [answering(url, facts), ...durability(facts), ...through, migrated, clock] };
  } catch (error) {
    return { checks: [refusal(url, setting, error)], pooled: false };
  } finally {
    await pool.end().catch(() => {});
  }
}

function refusal(url: string, setting: string, error: unknown): Check {
  const [name, state] = ['Postgres', 'wrong'] as const;
  const where = shownAddress(url);
  if (error instanceof DatabaseError)
    return {
      ...{ name, state, found: `${where} does not let us in (${withoutStop(error.message)})` },
      cure: `check the user, the password and the database in ${setting}`,
    };
  const found = `${where} does not answer (${withoutStop(reasonOf(error))})`;
  return { name, state, found, cure: `start it, or set ${setting} to the one that runs` };
}

async function factsOf(client: PoolClient): Promise<Facts> {
  const { rows } = await client.query<Facts>(FACTS);
  const [facts] = rows;
  if (facts === undefined) throw new Error('it says nothing of itself');
  return facts;
}

function answering(url: string, { version, major, standby }: Facts): Check {
  const name = 'Postgres';
  const found = `${shownAddress(url)} answers, version ${version}`;
  if (standby) {
    const cure = 'set DATABASE_URL to the primary';
    return { name, state: 'wrong', found: `${found}, and it is a standby that takes no writes`, cure };
  }
  if (major >= LEAST_MAJOR) return { name, state: 'ok', found };
  const cure = `use Postgres ${LEAST_MAJOR} or newer`;
  return { name, state: 'wrong', found: `${found}, which nobody maintains any more`, cure };
}

/** Nothing where it keeps what it said it has. */
function durability({ fsync, commits }: Pick<Facts, 'fsync' | 'commits'>): Check[] {
  const off = [
    ...(fsync === 'off' ? ['fsync'] : []),
    ...(commits === 'off' || commits === 'local' ? ['synchronous_commit'] : []),
  ];
  return off.map((setting) => ({
    ...{ name: 'Postgres durability', state: 'warning' },
    found: `${setting} is ${setting === 'fsync' ? fsync : commits}, so what was accepted may be lost with its machine`,
    cure: `ALTER SYSTEM SET ${setting} = on, and SELECT pg_reload_conf()`,
  }));
}

/** A pooler answers with a process number of its own making, not with that of the Postgres behind it. */
function pooler(setting: string, { pooled }: Pick<Looked, 'pooled'>): Check[] {
  if (!pooled) return [];
  return [
    {
      ...{ name: 'pooler', state: 'wrong' },
      found: `${setting} leads through a pooler, which LISTEN and session locks do not`,
      cure: 'set DATABASE_DIRECT_URL to Postgres itself',
    },
  ];
}

function sameDatabase({ facts: main }: Looked, { facts: direct }: Looked): Check[] {
  if (!main || !direct || main.identity === direct.identity) return [];
  return [
    {
      ...{ name: 'Postgres, direct', state: 'wrong' },
      found: 'DATABASE_URL and DATABASE_DIRECT_URL lead to two databases',
      cure: 'set both to the same one',
    },
  ];
}

async function migrations(pool: BriefPool): Promise<Check> {
  const name = 'migrations';
  try {
    if (await isMigrated(pool))
      return { name, state: 'ok', found: 'the database is the one of this version' };
    return {
      ...{ name, state: 'wrong', found: 'the database is not the one of this version' },
      cure: 'capybara migrate brings it up to it',
    };
  } catch (error) {
    return { name, state: 'wrong', found: `they cannot be read (${messageOf(error)})` };
  }
}
