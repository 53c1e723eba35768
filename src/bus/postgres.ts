import type pg from 'pg';
import type { Log } from '../log.ts';
import type { Bus, BusMessage } from './bus.ts';
import { Listeners } from './listeners.ts';
import { Outbox } from './outbox.ts';
import { SteadyConnection } from './postgres-connection.ts';
import { pack } from './wire.ts';

const CHANNEL = 'capybara';
/** Postgres takes less than 8,000. */
const MAX_PAYLOAD_BYTES = 7_900;
/** How long closing waits for a Postgres that does not answer. */
const CLOSE_MS = 1_000;

/**
 * The bus on LISTEN and NOTIFY, one channel of the database. Two connections per process: one that publishes, and one that
 * listens once someone subscribes. Both come back by themselves. `url` leads to Postgres itself, not to a pooler.
 */
export function createPostgresBus({ url, log }: { url: string; log: Log }): Bus {
  return new PostgresBus(url, log);
}

class PostgresBus implements Bus {
  readonly #listeners: Listeners;
  readonly #outbox: Outbox;
  readonly #publishing: SteadyConnection;
  readonly #listening: SteadyConnection;
  #number = 0;

  constructor(url: string, log: Log) {
    this.#listeners = new Listeners(log);
    this.#outbox = new Outbox((batch) => this.#send(batch), log);
    this.#publishing = new SteadyConnection({ url, log, name: 'capybara-bus', prepare: async () => {} });
    const prepare = (client: pg.Client) => this.#listen(client);
    this.#listening = new SteadyConnection({ url, log, name: 'capybara-bus-listen', prepare });
  }

  publish(message: BusMessage): void {
    this.#outbox.add(message);
  }

  async subscribe(listener: (message: BusMessage) => void): Promise<() => Promise<void>> {
    await this.#listening.client();
    return this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    const timer = setTimeout(() => void this.#publishing.close(), CLOSE_MS);
    await this.#outbox.close();
    clearTimeout(timer);
    await Promise.all([this.#publishing.close(), this.#listening.close()]);
  }

  /** One statement for the batch: each that notifies takes a lock of the whole cluster when it commits. */
  async #send(batch: readonly BusMessage[]): Promise<void> {
    const client = await this.#publishing.client();
    const payloads = pack(batch, MAX_PAYLOAD_BYTES, () => this.#number++);
    await client.query({
      name: 'publish',
      text: 'SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload',
      values: [CHANNEL, payloads],
    });
  }

  async #listen(client: pg.Client): Promise<void> {
    client.on('notification', ({ channel, payload }) => {
      if (channel === CHANNEL && payload !== undefined) this.#listeners.deliver(payload);
    });
    await client.query(`LISTEN ${CHANNEL}`);
  }
}
