/** Pools of connections to Postgres, for store and queue. */
import { Client, type ClientConfig, Pool, type PoolConfig } from 'pg';

/** A server that still owes an answer, or does not answer the goodbye, is left without one. */
const GOODBYE_MS = 1_000;

/**
 * A pool whose end does not wait for a Postgres that is away. `onLost` hears of idle connections that break, unless the pool
 * is ending: then they break because it is.
 */
export class BriefPool extends Pool {
  readonly #open: Set<Client>;

  constructor(config: PoolConfig, onLost: (error: Error) => void) {
    const open = new Set<Client>();
    class Known extends Client {
      constructor(known?: string | ClientConfig) {
        super(known);
        open.add(this);
        this.connection.stream.once('close', () => open.delete(this));
      }
    }
    super({ ...config, Client: Known });
    this.#open = open;
    this.on('error', (error) => {
      if (!this.ending) onLost(error);
    });
  }

  override async end(): Promise<void> {
    const timer = setTimeout(() => this.breakOff(), GOODBYE_MS);
    try {
      await super.end();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Breaks every connection: what waits for an answer fails now. Who asks next gets a new one. */
  breakOff(): void {
    for (const { connection } of this.#open) connection.stream.destroy();
  }
}
