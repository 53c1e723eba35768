import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { messageOf } from '../core/errors.ts';
import { atMostEvery, type Log } from '../log.ts';

const CONNECT_MS = 5_000;
const QUERY_MS = 5_000;
const KEEPALIVE_MS = 10_000;
const GOODBYE_MS = 1_000;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2_000;
const REPEAT_LOG_MS = 10_000;

export interface SteadyOptions {
  readonly url: string;
  /** `application_name`. */
  readonly name: string;
  readonly log: Log;
  /** Runs on each new connection before anyone is given it. */
  readonly prepare: (client: pg.Client) => Promise<void>;
}

/**
 * One connection to Postgres that is made again, with back-off, whenever it is lost, until `close`. Modes: connecting
 * (whoever asks waits), connected, closed (whoever asks or waits is refused).
 */
export class SteadyConnection {
  readonly #options: SteadyOptions;
  readonly #warn: Log['warn'];
  readonly #closing = new AbortController();
  #client: PromiseWithResolvers<pg.Client> = promiseOfClient();
  #life: Promise<void> | undefined;

  constructor(options: SteadyOptions) {
    this.#options = options;
    this.#warn = atMostEvery(REPEAT_LOG_MS, options.log);
  }

  /** The first call begins to connect. @throws when it is closed before there is a connection. */
  client(): Promise<pg.Client> {
    this.#life ??= this.#live();
    return this.#client.promise;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#client.reject(new Error('the bus is closed'));
    await this.#life;
  }

  async #live(): Promise<void> {
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      const client = await this.#connect();
      if (client === undefined) {
        await this.#pause(Math.min(FIRST_RETRY_MS * 2 ** failures, MAX_RETRY_MS));
        failures += 1;
        continue;
      }
      failures = 0;
      this.#client.resolve(client);
      await this.#untilLost(client);
      this.#client = promiseOfClient();
    }
    this.#client.reject(new Error('the bus is closed'));
  }

  async #connect(): Promise<pg.Client | undefined> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      application_name: this.#options.name,
      options: '-c synchronous_commit=off',
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: QUERY_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_MS,
    });
    client.on('error', (error) => {
      if (this.#closing.signal.aborted) return;
      this.#warn({ error: messageOf(error) }, 'bus lost its Postgres connection');
    });
    const stop = () => client.connection.stream.destroy();
    this.#closing.signal.addEventListener('abort', stop);
    try {
      await client.connect();
      await this.#options.prepare(client);
      return client;
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#warn({ error: messageOf(error) }, 'bus cannot reach Postgres');
      await end(client);
      return undefined;
    } finally {
      this.#closing.signal.removeEventListener('abort', stop);
    }
  }

  async #untilLost(client: pg.Client): Promise<void> {
    // Rejects on 'error' and on close: each means that this connection is over.
    await once(client, 'end', { signal: this.#closing.signal }).catch(() => {});
    await end(client);
  }

  async #pause(ms: number): Promise<void> {
    // Rejects on close, and then the loop ends.
    await delay(ms, undefined, { signal: this.#closing.signal }).catch(() => {});
  }
}

/** A server that does not answer the goodbye is left without one. */
async function end(client: pg.Client): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS);
  await client.end().catch(() => {});
  clearTimeout(timer);
}

/** Nobody may be waiting when it is rejected. */
function promiseOfClient(): PromiseWithResolvers<pg.Client> {
  const resolvers = Promise.withResolvers<pg.Client>();
  resolvers.promise.catch(() => {});
  return resolvers;
}
