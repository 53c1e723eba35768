/** A database of the proof's own: in an embedded Postgres that may be restarted, or in one that was given and may not. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { messageOf, UserError } from '../core/errors.ts';
import { startPostgres } from '../embedded/postgres.ts';
import { connect } from '../store/connect.ts';

export interface ProofPostgres {
  /** Of the proof's database. Another one after a restart. */
  url(): string;
  /** Deadlocks that the log told of; undefined where Postgres counts them itself. */
  loggedDeadlocks(): number | undefined;
  readonly restart?: (how: { readonly crash: boolean }) => Promise<void>;
  /** Leaves nothing. */
  close(): Promise<void>;
}

export async function embeddedPostgres(dataDir: string): Promise<ProofPostgres> {
  let deadlocks = 0;
  const log = (line: string) => {
    if (line.includes('deadlock detected')) deadlocks += 1;
  };
  const start = () => startPostgres({ dataDir, log });
  let postgres = await start();
  const database = await createDatabase(postgres.url);
  return {
    url: () => database.at(postgres.url),
    loggedDeadlocks: () => deadlocks,
    restart: async ({ crash }) => {
      if (crash) process.kill(postmasterPid(dataDir), 'SIGQUIT');
      else await postgres.stop();
      await postgres.ended;
      postgres = await start();
    },
    close: () => postgres.stop(),
  };
}

/** The one named with `--postgres`: what is wrong with it is told by that name. */
export async function givenPostgres(url: string): Promise<ProofPostgres> {
  const database = await createDatabase(url);
  return {
    url: () => database.at(url),
    loggedDeadlocks: () => undefined,
    close: () => database.drop(url),
  };
}

function postmasterPid(dataDir: string): number {
  const [pid] = readFileSync(join(dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n');
  return Number(pid);
}

interface OwnDatabase {
  at(serverUrl: string): string;
  drop(serverUrl: string): Promise<void>;
}

async function createDatabase(serverUrl: string): Promise<OwnDatabase> {
  const name = `capybara_verify_${randomUUID().replaceAll('-', '')}`;
  await once(serverUrl, async (client) => {
    await client.query(`CREATE DATABASE ${name}`).catch((error: { code?: string }) => {
      throw error.code === '42501' ? mayNot(client.user ?? '') : error;
    });
  });
  return {
    at: (url) => {
      const own = new URL(url);
      own.pathname = `/${name}`;
      return own.href;
    },
    drop: (url) =>
      once(url, async (client) => {
        await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`).catch((error: unknown) => {
          throw new UserError(
            'database_left',
            `The database ${name} was not removed: ${messageOf(error)}. Drop it.`,
            3,
          );
        });
      }),
  };
}

function mayNot(user: string): UserError {
  return new UserError(
    'may_not_create',
    `User "${user}" may not create a database: let it (ALTER ROLE … CREATEDB), name another user in --postgres, or leave it out.`,
    3,
  );
}

async function once(url: string, use: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect(url, '--postgres');
  try {
    await use(client);
  } finally {
    await client.end();
  }
}
