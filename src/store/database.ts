/**
 * Postgres, as the rest of `store` speaks to it: tagged SQL for reads, one call per transition.
 *
 * Every transition is repeatable (PROTOCOL 14), so one whose connection broke, or that was chosen as a deadlock's victim,
 * is repeated here until its caller's patience runs out; nobody above has to care whether its COMMIT arrived.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError, type Pool, type QueryResultRow } from 'pg';
import type { Log } from '../log.ts';
import { BriefPool } from '../postgres.ts';
import { storableText, toJson } from './json.ts';
import { DatabaseUnavailable, isClosed, type Patience, Wait } from './patience.ts';
import { transitionsSchema } from './transitions-schema.ts';

export { DatabaseUnavailable } from './patience.ts';

export interface DatabaseOptions {
  readonly url: string;
  readonly log: Log;
  /** Connections this process may open for queries. */
  readonly connections?: number;
  /**
   * Whether calls of transitions are prepared once per connection, which saves a tenth of a millisecond each. Not behind a
   * pooler, which may hand every transaction to another connection.
   */
  readonly prepared?: boolean;
  /** How long a transition is repeated while Postgres is away. */
  readonly patienceMs?: number;
  /** A statement that Postgres has not answered by then has failed; one it did not even refuse, a little later. */
  readonly statementTimeoutMs?: number;
}

const CONNECTIONS = 10;
const PATIENCE_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement of ours takes milliseconds; one that waits this long waits for something that is not coming. */
const STATEMENT_TIMEOUT_MS = 30_000;
/**
 * A statement that Postgres has ended so often, for taking too long by itself, is not repeated, however patient its caller: it
 * would never end.
 */
export const MAX_ENDED = 5;
/** How much longer than Postgres itself a client waits: then the line is dead, though no one has said so. */
const SILENCE_MS = 2_000;
/** How much of a statement's time it may wait for one lock. */
const LOCK_SHARE = 0.8;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

export interface Database {
  /**
   * A query written as a template: `sql\`SELECT … WHERE id = ${id}\``. Values are always parameters. Repeated like a
   * transition, so only for what may run twice: a read, or a write that changes nothing the second time.
   */
  sql<Row extends QueryResultRow>(strings: TemplateStringsArray, ...values: unknown[]): Promise<Row[]>;
  /** A read whose text is put together from constants of `store`; values are parameters, and it is repeated as above. */
  read<Row extends QueryResultRow>(text: string, ...values: unknown[]): Promise<Row[]>;
  /** The same of what takes longer to plan than to run: a connection plans it once. `name`: of this text alone. */
  planned<Row extends QueryResultRow>(name: string, text: string, ...values: unknown[]): Promise<Row[]>;
  /** Calls a transition: one statement, one round trip, one commit. Repeats it while the connection breaks. */
  transition<Outcome>(name: string, ...args: unknown[]): Promise<Outcome>;
  /** Like `transition`, for functions that return rows. */
  rows<Row extends QueryResultRow>(name: string, ...args: unknown[]): Promise<Row[]>;
  /** Does what reaches Postgres another way, over `pool`, under the same conditions. */
  repeat<T>(act: () => Promise<T>): Promise<T>;
  readonly pool: Pool;
  /** The same connections, for callers that give up sooner, or never. */
  within(patience: Patience): Database;
  /** What is asked from now on fails at once. May be called again. */
  close(): Promise<void>;
}

/** Opens no connection yet. */
export function openDatabase(options: DatabaseOptions): Database {
  const { url, log, connections = CONNECTIONS, patienceMs = PATIENCE_MS, prepared = true } = options;
  const { statementTimeoutMs = STATEMENT_TIMEOUT_MS } = options;
  const config = {
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    // Before that: who waits for a lock waits as long as it is held, an operator's too; what is slow by itself does not.
    lock_timeout: Math.ceil(statementTimeoutMs * LOCK_SHARE),
    query_timeout: statementTimeoutMs + SILENCE_MS,
    keepAlive: true,
    application_name: 'capybara',
  };
  const pool = new BriefPool(config, (error) =>
    log.warn({ error: error.message }, 'lost an idle Postgres connection'),
  );
  return speakTo(pool, { ms: patienceMs }, prepared);
}

function speakTo(pool: Pool, patience: Patience, prepared: boolean): Database {
  const schema = transitionsSchema();
  const call = (name: string, args: readonly unknown[]) =>
    `${schema}.${name}(${args.map((_, index) => `$${index + 1}`).join(', ')})`;
  const query = async <Row extends QueryResultRow>(
    text: string,
    given: readonly unknown[],
    name?: string,
  ) => {
    const values = given.map(toParameter);
    const statement = name === undefined ? { text, values } : { name, text, values };
    return (await repeatedly(() => pool.query<Row>(statement), patience)).rows;
  };
  /** A connection takes no name for two texts: the schema says which version of the function is meant. */
  const nameOf = (name: string) => (prepared ? `${schema} ${name}` : undefined);
  let closing: Promise<void> | undefined;

  return {
    pool,
    read: (text, ...values) => query(text, values),
    planned: (name, text, ...values) => query(text, values, nameOf(name)),
    sql: (strings, ...values) =>
      query(
        strings.reduce((text, part, index) => `${text}$${index}${part}`),
        values,
      ),
    transition: async <Outcome>(name: string, ...args: unknown[]) => {
      const text = `SELECT ${call(name, args)} AS outcome`;
      const [row] = await query<{ outcome: Outcome }>(text, args, nameOf(name));
      return row?.outcome as Outcome;
    },
    repeat: (act) => repeatedly(act, patience),
    rows: (name, ...args) => query(`SELECT * FROM ${call(name, args)}`, args, nameOf(name)),
    within: (other) => speakTo(pool, other, prepared),
    close: () => {
      closing ??= pool.end();
      return closing;
    },
  };
}

/** Objects and arrays become JSON that `jsonb` accepts, text becomes text that `text` does; the rest goes as it is. */
function toParameter(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  const plain =
    value === null || typeof value !== 'object' || value instanceof Date || Buffer.isBuffer(value);
  return plain ? value : toJson(value);
}

/** What Postgres said to somebody who tells it in another way: `code` is the SQLSTATE. */
export class ForeignError extends Error {
  readonly code: string;
  constructor(code: string, cause: Error) {
    super(cause.message, { cause });
    this.code = code;
  }
}

async function repeatedly<T>(act: () => Promise<T>, patience: Patience): Promise<T> {
  const wait = new Wait(patience);
  try {
    let ended = 0;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      try {
        return await wait.for(act());
      } catch (error) {
        // Whoever stops waits for requests in hand only so long: one that comes back later is no fault.
        if (isClosed(error)) throw new DatabaseUnavailable(error);
        if (wasEnded(error)) ended += 1;
        if (!isPassing(error) || ended === MAX_ENDED) throw error;
        if (!wait.canPause(pause)) throw new DatabaseUnavailable(error);
        await wait.for(delay(pause));
      }
    }
  } finally {
    wait.end();
  }
}

/**
 * SQLSTATEs after which the same statement may succeed. Not among them: 53400, a limit of the configuration that the same
 * statement would hit again.
 *
 * - 08…: the connection broke; 57P01, 57P02, 57P03, 57P05: Postgres stops, crashed, starts, or sent an idle session away.
 * - 40P01, 40001: it lost to another transaction. 55P03: it waited for a lock longer than it may; nothing was written.
 *   57014: it took too long, by itself or over several locks; up to `MAX_ENDED` times.
 * - 53300: all connections are taken. 53100, 53200: no disk, or no memory, is left until somebody makes room.
 * - 25006: this server only reads: a standby that is about to be promoted, or an operator at work.
 */
const PASSING = /^(08...|57P0[1235]|40P01|40001|55P03|57014|53[123]00|25006)$/;

const ENDED = '57014';

function wasEnded(error: unknown): boolean {
  return (error as { code?: string }).code === ENDED;
}

function isPassing(error: unknown): boolean {
  if (error instanceof DatabaseError || error instanceof ForeignError) return PASSING.test(error.code ?? '');
  const { code, message = '' } = error as { code?: string; message?: string };
  if (code !== undefined)
    return /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOENT|ENOTFOUND|EAI_AGAIN)/.test(code);
  return /connection terminated|timeout exceeded when trying to connect|not queryable|query read timeout/i.test(
    message,
  );
}
