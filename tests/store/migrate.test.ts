import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { migrate, transitionsSchema } from '../../src/store/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const MODULE = join(import.meta.dirname, '..', '..', 'src', 'store', 'migrate.ts');
const LOCK = 72707369;
let directory: string;
let migrationsDir: string;
let transitionsDir: string;
let database: TestDatabase;
let client: Client;
let logged: string[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'capybara-migrate-'));
  migrationsDir = join(directory, 'migrations');
  transitionsDir = join(directory, 'transitions');
  logged = [];
  mkdirSync(transitionsDir, { recursive: true });
  database = await createTestDatabase({ empty: true });
  client = new Client(database.url);
  await client.connect();
});
afterEach(async () => {
  await client.end();
  await database.drop();
  rmSync(directory, { recursive: true });
});

function writeMigration(name: string, sql: string): void {
  mkdirSync(join(migrationsDir, name), { recursive: true });
  writeFileSync(join(migrationsDir, name, 'migration.sql'), sql);
}

const writeTransition = (name: string, sql: string) => writeFileSync(join(transitionsDir, name), sql);

const run = (url = database.url) =>
  migrate(url, { log: (line) => logged.push(line), migrationsDir, transitionsDir });

const refusal = (code: string, message: RegExp, exitCode = 3) =>
  expect.objectContaining({ name: 'UserError', code, exitCode, message: expect.stringMatching(message) });

async function rows(sql: string): Promise<unknown[]> {
  return (await client.query(sql)).rows;
}

const recorded = () => rows('SELECT * FROM _prisma_migrations ORDER BY started_at');

describe('migrations', () => {
  test('are applied in the order of their names, once, and recorded as Prisma records them', async () => {
    writeMigration('20260102_b', 'ALTER TABLE thing ADD COLUMN name text; CREATE INDEX ON thing (name);');
    writeMigration('20260101_a', 'CREATE TABLE thing (id int);');
    writeFileSync(join(migrationsDir, 'migration_lock.toml'), 'provider = "postgresql"');
    await run();
    const first = await recorded();
    await run();
    expect(await recorded()).toEqual(first);
    expect(first).toEqual(
      [
        ['20260101_a', 'CREATE TABLE thing (id int);'],
        ['20260102_b', 'ALTER TABLE thing ADD COLUMN name text; CREATE INDEX ON thing (name);'],
      ].map(([name, sql]) => ({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        checksum: createHash('sha256').update(`${sql}`).digest('hex'),
        finished_at: expect.any(Date),
        migration_name: name,
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        applied_steps_count: 1,
      })),
    );
    expect(logged).toEqual(['applying migration 20260101_a', 'applying migration 20260102_b']);
    expect(
      await rows("SELECT attname FROM pg_attribute WHERE attrelid = 'thing'::regclass AND attnum > 0"),
    ).toEqual([{ attname: 'id' }, { attname: 'name' }]);
  });

  test("bring BullMQ's tables with them", async () => {
    await run();
    expect(await rows("SELECT to_regclass('bullmq.migration') IS NOT NULL AS there")).toEqual([
      { there: true },
    ]);
  });

  test('of this package, from eight processes at once, are each applied once', async () => {
    const code = `const { migrate } = await import(${JSON.stringify(MODULE)}); await migrate(${JSON.stringify(database.url)}, { log: () => {} });`;
    const start = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
    await Promise.all(Array.from({ length: 8 }, start));
    expect(
      await rows(
        'SELECT migration_name FROM _prisma_migrations GROUP BY 1 HAVING count(*) <> 1 OR min(finished_at) IS NULL',
      ),
    ).toEqual([]);
    expect(
      await rows(`SELECT count(*)::int FROM pg_namespace WHERE nspname = '${transitionsSchema()}'`),
    ).toEqual([{ count: 1 }]);
  });

  test('wait for whoever migrates already, and say so', async () => {
    writeMigration('1_a', 'CREATE TABLE thing ();');
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    const running = run();
    await vi.waitFor(async () => {
      const waiting = await rows(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'",
      );
      expect(waiting).toHaveLength(1);
    }, 10_000);
    expect(logged).toEqual(['waiting for another process to finish migrating the database']);
    await client.query('SELECT pg_advisory_unlock($1)', [LOCK]);
    await running;
    expect(await recorded()).toHaveLength(1);
  });

  test('that are cut off leave nothing, and are applied by the next start', async () => {
    writeMigration(
      '1_slow',
      "CREATE TABLE thing (); SELECT pg_sleep(CASE current_setting('app.fast', true) WHEN 'on' THEN 0 ELSE 30 END);",
    );
    const cut = run().catch((error: Error) => error);
    await vi.waitFor(async () => {
      const ended = await rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
      );
      expect(ended).toHaveLength(1);
    }, 10_000);
    expect(await cut).toBeInstanceOf(Error);
    expect(await recorded()).toEqual([]);
    await client.query(`ALTER DATABASE ${client.database} SET app.fast = 'on'`);
    await run();
    expect(await recorded()).toHaveLength(1);
  });

  test('that fail leave their error and nothing else, and are refused until a person has mended it', async () => {
    writeMigration('1_a', 'CREATE TABLE good ();');
    writeMigration('2_bad', 'CREATE TABLE thing (); SELECT 1/0;');
    await expect(run()).rejects.toEqual(
      refusal('migration_failed', /^Migration 2_bad failed: division by zero\.$/),
    );
    expect(await recorded()).toMatchObject([
      { migration_name: '1_a', logs: null },
      {
        migration_name: '2_bad',
        finished_at: null,
        applied_steps_count: 0,
        logs: expect.stringContaining('division by zero'),
      },
    ]);
    expect(await rows("SELECT to_regclass('thing') AS t, to_regclass('good')::text AS g")).toEqual([
      { t: null, g: 'good' },
    ]);
    await expect(run()).rejects.toEqual(
      refusal('migration_failed', /^Migration 2_bad failed in this database before: .* delete that row\.$/),
    );
    await client.query("DELETE FROM _prisma_migrations WHERE migration_name = '2_bad'");
    writeMigration('2_bad', 'CREATE TABLE thing ();');
    await run();
    expect(await recorded()).toHaveLength(2);
  });

  test('that Prisma rolled back are applied again', async () => {
    writeMigration('1_a', 'CREATE TABLE thing ();');
    await run();
    await client.query(
      'DROP TABLE thing; UPDATE _prisma_migrations SET rolled_back_at = now(), finished_at = NULL',
    );
    await run();
    expect(await recorded()).toMatchObject([{ finished_at: null }, { finished_at: expect.any(Date) }]);
  });

  test('with other contents than were applied are refused', async () => {
    writeMigration('1_a', 'CREATE TABLE thing ();');
    await run();
    writeMigration('1_a', 'CREATE TABLE other ();');
    await expect(run()).rejects.toEqual(
      refusal('migration_changed', /^Migration 1_a was applied .* other contents/),
    );
  });

  test('of a newer Capybara are refused', async () => {
    writeMigration('1_a', 'CREATE TABLE thing ();');
    writeMigration('2_b', 'CREATE TABLE other ();');
    await run();
    rmSync(join(migrationsDir, '2_b'), { recursive: true });
    await expect(run()).rejects.toEqual(
      refusal('database_newer', /newer than this Capybara \(it has migration 2_b\)/),
    );
  });
});

describe('transition functions', () => {
  const answer = (value: number) =>
    `CREATE FUNCTION answer() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN ${value}; END $$;`;

  test('live in a schema named after their contents, so that two versions run side by side', async () => {
    writeTransition('a.sql', answer(1));
    writeTransition(
      'b.sql',
      'CREATE FUNCTION twice() RETURNS int LANGUAGE sql AS $$ SELECT answer() * 2 $$;',
    );
    writeTransition('README.md', 'not SQL');
    const old = transitionsSchema(transitionsDir);
    await run();
    writeTransition('a.sql', answer(2));
    await run();
    await run();
    const newer = transitionsSchema(transitionsDir);
    expect(old).toMatch(/^capybara_[0-9a-f]{12}$/);
    expect(newer).not.toBe(old);
    expect(await rows(`SELECT ${old}.answer() AS old, ${newer}.answer() AS new`)).toEqual([
      { old: 1, new: 2 },
    ]);
    await client.query(`SET search_path = ${newer}, public`);
    expect(await rows('SELECT twice()')).toEqual([{ twice: 4 }]);
  });

  test('are installed whole or not at all', async () => {
    writeTransition('a.sql', answer(1));
    writeTransition('b.sql', 'CREATE FUNCTION broken( ;');
    await expect(run()).rejects.toThrow(/syntax error/);
    expect(await rows("SELECT nspname FROM pg_namespace WHERE nspname ~ '^capybara_'")).toEqual([]);
  });
});

describe('one sentence says what is wrong, without the password, where', () => {
  const at = (change: (url: URL) => void) => {
    const url = new URL(database.url);
    change(url);
    return run(url.href);
  };

  test('nothing listens there', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    await expect(run(`postgresql://me:secret@127.0.0.1:${port}/x`)).rejects.toEqual(
      refusal(
        'database_unreachable',
        new RegExp(`^No Postgres answers at 127.0.0.1:${port}: start it, or correct DATABASE_URL.$`),
      ),
    );
    await expect(run('postgresql://me:secret@no-such-host.invalid/x')).rejects.toEqual(
      refusal('database_unreachable', /^No Postgres answers at no-such-host.invalid:5432: /),
    );
  });

  test.each(['told by Postgres', 'without a word'])('Postgres goes away meanwhile, %s', async (how) => {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    let connection: Socket | undefined;
    const { hostname, port } = new URL(database.url);
    const relay = createServer((socket) => {
      connection = socket;
      socket.on('error', () => {});
      const server = connect(Number(port), hostname).on('error', () => {});
      socket.pipe(server).pipe(socket);
      socket.once('close', () => server.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const own = (relay.address() as AddressInfo).port;
    const attempt = at((url) => {
      url.port = String(own);
    });
    const ended = expect(attempt).rejects.toEqual(
      refusal('database_unreachable', new RegExp(`^No Postgres answers at 127.0.0.1:${own}: `)),
    );
    await vi.waitFor(() => expect(logged).toHaveLength(1), 10_000);
    if (how === 'without a word') connection?.destroy();
    else
      await client.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      );
    await ended;
    connection?.destroy();
    await new Promise((resolve) => relay.close(resolve));
  });

  test('the password is wrong or missing', async () => {
    for (const password of ['wrong-one', '']) {
      const attempt = at((url) => {
        url.password = password;
      });
      await expect(attempt).rejects.toEqual(
        refusal(
          'database_access',
          /^The Postgres at 127.0.0.1:\d+ does not let user "capybara" in: check the user and password in DATABASE_URL\.$/,
        ),
      );
    }
  });

  test('there is no such database', async () => {
    const attempt = at((url) => {
      url.pathname = '/absent';
    });
    await expect(attempt).rejects.toEqual(
      refusal(
        'database_missing',
        /^The Postgres at 127.0.0.1:\d+ has no database "absent": create it, or name another/,
      ),
    );
  });

  test.each(['', 'localhost:5432', 'mysql://me:secret@host/db'])('the address is %j', async (url) => {
    await expect(run(url)).rejects.toEqual(
      refusal(
        'database_url',
        /^DATABASE_URL is not a Postgres address: expected postgresql:\/\/USER:PASSWORD@HOST:PORT\/DATABASE\.$/,
        2,
      ),
    );
  });
});
