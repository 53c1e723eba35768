/**
 * Brings a database to the schema of this code: Prisma's migrations, with Prisma's own bookkeeping (`prisma migrate`
 * accepts it), then the transition functions, then BullMQ's tables.
 *
 * Every process may do this at every start: a session lock that `prisma migrate` takes too lets one through at a time.
 * A migration and its row are one transaction, so a process that dies leaves neither.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runMigrations } from 'bullmq';
import { type Client, DatabaseError, type Pool } from 'pg';
import { UserError } from '../core/errors.ts';
import { connect, explainBreak } from './connect.ts';
import { installTransitions, transitionsSchema } from './transitions-schema.ts';

export { transitionsSchema } from './transitions-schema.ts';

export interface MigrateOptions {
  readonly log: (line: string) => void;
  /** Directories other than those of this package, for tests. */
  readonly migrationsDir?: string;
  readonly transitionsDir?: string;
}

interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** A row of `_prisma_migrations`. */
interface Recorded {
  readonly migration_name: string;
  readonly checksum: string;
  readonly finished_at: Date | null;
}

const MIGRATIONS_DIR = fileURLToPath(new URL('../../prisma/migrations', import.meta.url));

/** The advisory lock of Prisma's migration engine. */
const LOCK = 72707369;

/** Prisma's table, as its engine creates it. */
const CREATE_TABLE = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;

/**
 * Brings the database at `url` up to this code; does nothing where it is already. `url` leads to Postgres itself, not to
 * a pooler (the lock belongs to the connection).
 *
 * @throws UserError: those of `connect`; with exit code 3 `migration_failed`, `migration_changed` or `database_newer` where a
 * person has to decide.
 */
export async function migrate(url: string, options: MigrateOptions): Promise<void> {
  const client = await connect(url);
  try {
    await lock(client, options.log);
    await applyMigrations(client, options);
    await installTransitions(client, options.transitionsDir);
    await runMigrations(client);
  } catch (error) {
    // Postgres went away meanwhile: the next start finds nothing half done.
    throw explainBreak(error, url);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Of this code, read once: neither changes while it runs. */
let newest: readonly [migration: string | undefined, schema: string] | undefined;

/** Whether the database behind `pool` is the one of this code: its last migration, and its transitions. */
export async function isMigrated(pool: Pool): Promise<boolean> {
  newest ??= [readMigrations(MIGRATIONS_DIR).at(-1)?.name, transitionsSchema()];
  try {
    const { rows } = await pool.query<{ known: boolean }>(
      `SELECT to_regnamespace($2) IS NOT NULL
          AND EXISTS (SELECT FROM _prisma_migrations
                       WHERE migration_name = $1 AND finished_at IS NOT NULL AND rolled_back_at IS NULL) AS known`,
      [...newest],
    );
    return rows[0]?.known === true;
  } catch (error) {
    if (error instanceof DatabaseError && error.code === NO_SUCH_TABLE) return false;
    throw error;
  }
}

/** Of a database that was never migrated. */
const NO_SUCH_TABLE = '42P01';

/** Ends with the connection. */
async function lock(client: Client, log: (line: string) => void): Promise<void> {
  const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS held', [LOCK]);
  if (rows[0]?.held === true) return;
  log('waiting for another process to finish migrating the database');
  await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
}

async function applyMigrations(client: Client, options: MigrateOptions): Promise<void> {
  const migrations = readMigrations(options.migrationsDir ?? MIGRATIONS_DIR);
  await client.query(CREATE_TABLE);
  const { rows } = await client.query<Recorded>(
    `SELECT migration_name, checksum, finished_at FROM _prisma_migrations
     WHERE rolled_back_at IS NULL ORDER BY started_at`,
  );
  checkRecorded(rows, migrations);
  const applied = new Set(rows.map((row) => row.migration_name));
  for (const migration of migrations) {
    if (applied.has(migration.name)) continue;
    options.log(`applying migration ${migration.name}`);
    await apply(client, migration);
  }
}

function readMigrations(directory: string): Migration[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => existsSync(join(directory, name, 'migration.sql')));
  return names.sort().map((name) => {
    const bytes = readFileSync(join(directory, name, 'migration.sql'));
    return { name, sql: bytes.toString(), checksum: createHash('sha256').update(bytes).digest('hex') };
  });
}

/** What the database went through must be the beginning of what this code brings. */
function checkRecorded(rows: readonly Recorded[], migrations: readonly Migration[]): void {
  for (const { migration_name: name, checksum, finished_at } of rows) {
    if (finished_at === null) throw failedBefore(name);
    const known = migrations.find((migration) => migration.name === name);
    if (known === undefined) throw newerDatabase(name);
    if (known.checksum !== checksum) throw changedMigration(name);
  }
}

async function apply(client: Client, migration: Migration): Promise<void> {
  const id = randomUUID();
  await client.query('BEGIN');
  try {
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at) VALUES ($1, $2, $3, clock_timestamp())`,
      [id, migration.checksum, migration.name],
    );
    await client.query(migration.sql);
    await client.query(
      'UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = $1',
      [id],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    if (!(error instanceof DatabaseError) || isPassing(error)) throw error;
    await recordFailure(client, migration, error);
    throw new UserError('migration_failed', `Migration ${migration.name} failed: ${error.message}.`, 3);
  }
}

/** Lost connections, lack of resources, shutdown, deadlock: the next start may succeed, so nothing is recorded. */
function isPassing(error: DatabaseError): boolean {
  return /^(08|40|53|55P03|57)/.test(error.code ?? '');
}

async function recordFailure(client: Client, migration: Migration, error: DatabaseError): Promise<void> {
  const logs = `A migration failed to apply. Migration name: ${migration.name}\n\nDatabase error code: ${error.code}\n\nDatabase error:\n${error.message}`;
  await client.query(
    'INSERT INTO _prisma_migrations (id, checksum, migration_name, logs) VALUES ($1, $2, $3, $4)',
    [randomUUID(), migration.checksum, migration.name, logs],
  );
}

function failedBefore(name: string): UserError {
  return new UserError(
    'migration_failed',
    `Migration ${name} failed in this database before: mend what the column logs of its row in _prisma_migrations says, then delete that row.`,
    3,
  );
}

function newerDatabase(name: string): UserError {
  return new UserError(
    'database_newer',
    `The database is newer than this Capybara (it has migration ${name}): install a Capybara of at least that version.`,
    3,
  );
}

function changedMigration(name: string): UserError {
  return new UserError(
    'migration_changed',
    `Migration ${name} was applied to this database with other contents than this Capybara has: install the Capybara that the database belongs to.`,
    3,
  );
}
