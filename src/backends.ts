/**
 * What every process of a Capybara is built on, as the configuration says: Postgres, and the queue and the bus on Redis where
 * there is one, else on Postgres too.
 */
import type { Bus } from './bus/bus.ts';
import { createPostgresBus } from './bus/postgres.ts';
import { createRedisBus } from './bus/redis.ts';
import type { Config } from './config.ts';
import { UserError } from './core/errors.ts';
import type { Log } from './log.ts';
import { createPostgresQueueBackend } from './queue/postgres.ts';
import type { QueueBackend } from './queue/queue.ts';
import { createRedisQueueBackend } from './queue/redis.ts';
import { type Database, openDatabase } from './store/database.ts';

export interface Backends {
  readonly db: Database;
  readonly queue: QueueBackend;
  readonly bus: Bus;
  /** Straight to Postgres, for LISTEN and session locks. */
  readonly directUrl: string;
  close(): Promise<void>;
}

/** Opens connections as they are needed. Throws `UserError` `no_database` where none is configured. */
export function openBackends(config: Config, log: Log): Backends {
  const { databaseUrl, redisUrl } = config;
  if (databaseUrl === undefined) {
    throw new UserError(
      'no_database',
      'No database is configured: set DATABASE_URL, or use `capybara up`, which brings its own.',
    );
  }
  const directUrl = config.databaseDirectUrl ?? databaseUrl;
  const db = openDatabase({ url: databaseUrl, log, prepared: config.databaseDirectUrl === undefined });
  const queue =
    redisUrl === undefined
      ? createPostgresQueueBackend({ url: directUrl, log })
      : createRedisQueueBackend({ url: redisUrl, log });
  const bus =
    redisUrl === undefined
      ? createPostgresBus({ url: directUrl, log })
      : createRedisBus({ url: redisUrl, log });
  return {
    ...{ db, queue, bus, directUrl },
    close: async () => {
      // Together: each waits a moment for a server that may be away.
      await Promise.all([queue.close(), bus.close(), db.close()]);
    },
  };
}
