import { Redis, type RedisOptions } from 'ioredis';
import { messageOf } from './core/errors.ts';
import { atMostEvery, type Log } from './log.ts';

const DEFAULT_NAMESPACE = 'capybara';
const FIRST_RETRY_MS = 50;
/** How long a process may be behind a Redis that came back. */
const MAX_RETRY_MS = 1_000;
const REPEAT_LOG_MS = 10_000;

export type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>;

/**
 * Where a `REDIS_URL` leads. `?namespace=NAME` keeps several Capybaras apart on one Redis: it is in every key and channel.
 */
export function redisTarget(url: string): { url: string; namespace: string } {
  const parsed = new URL(url);
  const namespace = parsed.searchParams.get('namespace') || DEFAULT_NAMESPACE;
  parsed.searchParams.delete('namespace');
  return { url: parsed.href, namespace };
}

/**
 * A connection that comes back by itself, within about a second after Redis did; what goes wrong is logged, never
 * thrown out of an event. Commands wait for it as long as it takes, unless `options` say otherwise.
 */
export function connectRedis(target: { url: string; log: Log }, options: ConnectionOptions): Redis {
  const client = new SteadyRedis(target.url, {
    maxRetriesPerRequest: null,
    keepAlive: 10_000,
    retryStrategy: (attempt) =>
      Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), MAX_RETRY_MS) * (0.75 + Math.random() / 2),
    ...options,
  });
  const warn = atMostEvery(REPEAT_LOG_MS, target.log);
  client.on('error', (error) =>
    warn(
      { connection: options.connectionName, error: messageOf(error) || error.name },
      'Redis connection failed',
    ),
  );
  return client;
}

/** Resolves when the client can take commands. @throws when it is closed instead. */
export function untilReady(client: Redis): Promise<void> {
  if (client.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (result: () => void) => () => {
      client.off('ready', ready);
      client.off('end', end);
      result();
    };
    const ready = settle(resolve);
    const end = settle(() => reject(new Error('the Redis connection is closed')));
    client.on('ready', ready);
    client.on('end', end);
    if (client.status === 'end') end();
  });
}

/** Ends the connection, without waiting for answers. */
export async function disconnectRedis(client: Redis): Promise<void> {
  if (client.status === 'end') return;
  const ended = new Promise((resolve) => client.once('end', resolve));
  client.disconnect();
  await ended;
}

/**
 * ioredis drops its retry timer when `disconnect` is called between two attempts, and then neither ends nor fails the
 * commands that wait. One more attempt, which is told not to retry, settles both.
 */
class SteadyRedis extends Redis<'legacy'> {
  override disconnect(reconnect = false): void {
    const betweenAttempts = this.status === 'reconnecting' && !reconnect;
    super.disconnect(reconnect);
    if (!betweenAttempts) return;
    this.connect().then(
      () => super.disconnect(),
      () => {},
    );
  }
}
