import { setTimeout as delay } from 'node:timers/promises';
import {
  assertSchemaCompatibility,
  type IQueueBackend,
  type PgPool,
  type PgPoolClient,
  type PgQueryResult,
  PostgresConnection,
  type PostgresConnectionOptions,
  PostgresQueueBackend,
  type QueueBaseOptions,
} from 'bullmq';
import pg from 'pg';
import { messageOf } from '../core/errors.ts';
import { atMostEvery, type Log } from '../log.ts';
import { BriefPool } from '../postgres.ts';
import {
  BullConsumer,
  BullQueue,
  DELIVERIES,
  IDLE_POLL_SECONDS,
  type JobKind,
  type QueueBackendOptions,
  type StoreAccess,
  TURNS,
} from './bullmq.ts';
import type { JobState, Lane, QueueBackend } from './queue.ts';

/** Commands of a process; each consumer's LISTEN has one more. */
const MAX_COMMAND_CONNECTIONS = 4;
/** Kept when idle: a new session has no plans yet, and its first job would be milliseconds late. */
const IDLE_CONNECTIONS = 2;
const IDLE_MS = 60_000;
const CONNECT_MS = 5_000;
const QUERY_MS = 5_000;
/** A server that does not answer the goodbye is left without one. */
const GOODBYE_MS = 1_000;
const KEEPALIVE_MS = 10_000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1_000;
const REPEAT_LOG_MS = 10_000;

/**
 * BullMQ on Postgres, in its schema `bullmq` (made by `migrate`). A process holds at most four connections (two when
 * idle) and one per consumer; they commit without waiting for the disk, since the queue holds no truth. `url` leads to
 * Postgres itself, not to a pooler. Errors of connections are logged; they come back by themselves.
 */
export function createPostgresQueueBackend(options: QueueBackendOptions): QueueBackend {
  const pool = openPool(options);
  const names = new StatementNames();
  const laneOf = <Job>(kind: JobKind<Job>): Lane<Job> => {
    const access = (role: 'queue' | 'consumer') =>
      new PostgresAccess(new PreparingPool(pool, names), { role, queue: kind.name }, options.log);
    return {
      queue: () => new BullQueue(access('queue'), kind, options.log),
      consume: (consume) => new BullConsumer(access('consumer'), { ...options, kind }, consume),
    };
  };
  return {
    ...{ kind: 'postgres', ...laneOf(TURNS), deliveries: laneOf(DELIVERIES) },
    close: () => pool.end(),
  };
}

interface Part {
  readonly role: 'queue' | 'consumer';
  /** Its name. */
  readonly queue: string;
}

function openPool({ url, log }: { url: string; log: Log }): BriefPool {
  const warn = atMostEvery(REPEAT_LOG_MS, log);
  const config = {
    connectionString: url,
    application_name: 'capybara-queue',
    options: '-c search_path=bullmq -c synchronous_commit=off',
    max: MAX_COMMAND_CONNECTIONS,
    min: IDLE_CONNECTIONS,
    idleTimeoutMillis: IDLE_MS,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: QUERY_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
  };
  return new BriefPool(config, (error) =>
    warn({ error: messageOf(error) }, 'queue lost a Postgres connection'),
  );
}

class PostgresAccess implements StoreAccess {
  readonly #pool: PreparingPool;
  readonly #part: Part;
  readonly #log: Log;
  readonly #closing = new AbortController();

  constructor(pool: PreparingPool, part: Part, log: Log) {
    this.#pool = pool;
    this.#part = part;
    this.#log = log;
  }

  backend(opts: QueueBaseOptions): IQueueBackend {
    const { role, queue } = this.#part;
    const listenName = role === 'consumer' ? queue : undefined;
    const named = opts as QueueBaseOptions<PostgresConnectionOptions>;
    const connection = new SteadyConnection(this.#pool, this.#closing.signal, this.#log);
    return new PollingBackend(connection, queue, named, true, listenName);
  }

  async states(jobIds: readonly string[]): Promise<JobState[]> {
    const { rows } = await this.#pool.query<{ id: string; state: string }>(
      'SELECT id, state FROM job WHERE queue = $1 AND id = ANY($2)',
      [this.#part.queue, jobIds],
    );
    const states = new Map(rows.map((row) => [row.id, row.state]));
    return jobIds.map((jobId) => {
      const state = states.get(jobId);
      if (state === undefined || state === 'completed' || state === 'failed') return 'missing';
      return state === 'active' ? 'active' : 'waiting';
    });
  }

  /** Who waits for Postgres is let go first; queries under way get a moment. */
  async closeWith(close: () => Promise<void>): Promise<void> {
    this.#closing.abort();
    const timer = setTimeout(() => this.#pool.breakOff(), GOODBYE_MS);
    await close();
    clearTimeout(timer);
    await this.#pool.endListeners();
  }
}

class PollingBackend extends PostgresQueueBackend {
  /** After an error BullMQ waits this long for a notification, an hour unless said otherwise. */
  override get maximumBlockTimeout(): number {
    return IDLE_POLL_SECONDS;
  }
}

/** BullMQ looks at its schema once, and where that fails its queue fails for ever: this one looks again. */
class SteadyConnection extends PostgresConnection {
  readonly #pool: PgPool;
  readonly #closing: AbortSignal;
  readonly #warn: Log['warn'];
  #ready: Promise<void> | undefined;

  constructor(pool: PgPool, closing: AbortSignal, log: Log) {
    super(pool);
    this.#pool = pool;
    this.#closing = closing;
    this.#warn = atMostEvery(REPEAT_LOG_MS, log);
  }

  override waitUntilReady(): Promise<void> {
    this.#ready ??= this.#untilReady();
    return this.#ready;
  }

  async #untilReady(): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await assertSchemaCompatibility(this.#pool, this.schema);
        return;
      } catch (error) {
        if (this.#closing.aborted) throw error;
        this.#warn({ error: messageOf(error) }, 'queue waits for Postgres');
        const ms = Math.min(FIRST_RETRY_MS * 2 ** attempt, MAX_RETRY_MS);
        // Rejects on close, and then the next attempt is the last.
        await delay(ms, undefined, { signal: this.#closing }).catch(() => {});
      }
    }
  }
}

/**
 * The pool as BullMQ sees it. Statements are prepared (BullMQ's are a fixed set), and every failure to reach Postgres
 * carries the code by which BullMQ knows one and tries again.
 */
class PreparingPool implements PgPool {
  readonly options = { keepAlive: true };
  readonly #pool: BriefPool;
  readonly #names: StatementNames;
  readonly #listeners = new Set<pg.Client>();
  #closed = false;

  constructor(pool: BriefPool, names: StatementNames) {
    this.#pool = pool;
    this.#names = names;
  }

  /** For LISTEN: outside the pool, so that listeners never use up what commands need. */
  async connect(): Promise<PgPoolClient> {
    const client = new pg.Client(this.#pool.options);
    this.#listeners.add(client);
    try {
      if (this.#closed) throw new Error('the queue is closed');
      await client.connect();
    } catch (error) {
      await this.#end(client);
      throw forBullMQ(error);
    }
    return Object.assign(client, { release: () => void this.#end(client) }) as PgPoolClient;
  }

  /** What waits for an answer fails, and so does what is asked from now on: BullMQ would ask again. */
  breakOff(): void {
    this.#closed = true;
    this.#pool.breakOff();
  }

  /** BullMQ may still begin to listen while it closes, and would leave that connection open. */
  async endListeners(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#listeners].map((client) => this.#end(client)));
  }

  async #end(client: pg.Client): Promise<void> {
    this.#listeners.delete(client);
    // It is over for BullMQ, which hears no more of its errors.
    client.on('error', () => {});
    const timer = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS);
    await client.end().catch(() => {});
    clearTimeout(timer);
  }

  async query<R>(text: string, values: readonly unknown[] = []): Promise<PgQueryResult<R>> {
    try {
      if (this.#closed) throw new Error('the queue is closed');
      const { rows, rowCount } = await this.#pool.query({
        name: this.#names.of(text),
        text,
        values: [...values],
      });
      return { rows: rows as R[], rowCount };
    } catch (error) {
      throw forBullMQ(error);
    }
  }

  /** The pool belongs to the backend, which also hears its errors. */
  async end(): Promise<void> {}

  on(): this {
    return this;
  }

  removeAllListeners(): this {
    return this;
  }
}

/** One name per text, for all that share a pool: a connection takes no name for two texts. */
class StatementNames {
  readonly #names = new Map<string, string>();

  of(text: string): string {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    const name = `bullmq_${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }
}

/** Connection, resources, shutdown, failover to a read-only server, deadlock: classes of SQLSTATE that pass with time. */
const PASSING_STATES = /^(08|53|57|40|25006)/;

/**
 * An answer of Postgres to the statement stays as it is; that there was none, or that there may be another next time, is
 * a refused connection to BullMQ.
 */
function forBullMQ(error: unknown): unknown {
  if (error instanceof pg.DatabaseError && !PASSING_STATES.test(error.code ?? '')) return error;
  return Object.assign(new Error(messageOf(error), { cause: error }), { code: 'ECONNREFUSED' });
}
