import {
  type IQueueBackend,
  type QueueBaseOptions,
  QueueKeys,
  RedisConnection,
  RedisQueueBackend,
} from 'bullmq';
import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { type ConnectionOptions, connectRedis, redisTarget } from '../redis.ts';
import {
  BullConsumer,
  BullQueue,
  DELIVERIES,
  type JobKind,
  type QueueBackendOptions,
  type StoreAccess,
  TURNS,
} from './bullmq.ts';
import type { JobState, Lane, QueueBackend } from './queue.ts';

/** How long closing waits for a Redis that does not answer. */
const CLOSE_MS = 2_000;
/** A producer's commands outlive about a second of outage; then they fail, so that they do not pile up. */
const PRODUCER_RETRIES = 3;

/**
 * BullMQ on Redis or Valkey (6.2 or newer). A process holds one connection for its queue and two for a consumer.
 * Errors of connections are logged; they come back by themselves.
 */
export function createRedisQueueBackend(options: QueueBackendOptions): QueueBackend {
  const target = redisTarget(options.url);
  const laneOf = <Job>(kind: JobKind<Job>): Lane<Job> => {
    const access = (role: 'queue' | 'consumer') =>
      new RedisAccess({ ...target, log: options.log }, { role, queue: kind.name });
    return {
      queue: () => new BullQueue(access('queue'), kind, options.log),
      consume: (consume) => new BullConsumer(access('consumer'), { ...options, kind }, consume),
    };
  };
  return { kind: 'redis', ...laneOf(TURNS), deliveries: laneOf(DELIVERIES), close: async () => {} };
}

interface Part {
  readonly role: 'queue' | 'consumer';
  /** Its name. */
  readonly queue: string;
}

class RedisAccess implements StoreAccess {
  readonly #target: { url: string; namespace: string; log: Log };
  readonly #part: Part;
  readonly #keys: QueueKeys;
  readonly #clients: Redis[] = [];

  constructor(target: { url: string; namespace: string; log: Log }, part: Part) {
    this.#target = target;
    this.#part = part;
    // In braces, so that a cluster keeps all keys on one node.
    this.#keys = new QueueKeys(`{${target.namespace}}`);
  }

  backend(opts: QueueBaseOptions): IQueueBackend {
    const { role, queue } = this.#part;
    const consumer = role === 'consumer';
    const main = this.#connect(
      { blocking: false },
      consumer ? {} : { maxRetriesPerRequest: PRODUCER_RETRIES },
    );
    const waiting = consumer ? this.#connect({ blocking: true }, {}) : undefined;
    const toKey = (type: string) => this.#keys.toKey(queue, type);
    const keys = this.#keys.getKeys(queue);
    const named = { ...opts, prefix: this.#keys.prefix };
    return new RedisQueueBackend(main, queue, keys, toKey, named, waiting);
  }

  /**
   * One transaction, so that no job moves in between. The lists decide, not the job's own hash: where keys were lost one by
   * one (an eviction), a hash without a place in a list is a job that nobody will get. The oldest wait at the tail.
   */
  async states(jobIds: readonly string[]): Promise<JobState[]> {
    const [client] = this.#clients;
    if (client === undefined) return jobIds.map(() => 'missing');
    const [active, waiting] = ['active', 'wait'].map((list) => this.#keys.toKey(this.#part.queue, list)) as [
      string,
      string,
    ];
    const transaction = client.multi().lrange(active, 0, -1);
    for (const jobId of jobIds) {
      transaction.exists(this.#keys.toKey(this.#part.queue, jobId)).lpos(waiting, jobId, 'RANK', -1);
    }
    const [running, ...found] = ((await transaction.exec()) ?? []).map(([error, reply]) => {
      if (error) throw error;
      return reply;
    });
    return jobIds.map((jobId, index) => {
      if (found[index * 2] !== 1) return 'missing';
      if ((running as string[]).includes(jobId)) return 'active';
      return found[index * 2 + 1] === null ? 'missing' : 'waiting';
    });
  }

  async closeWith(close: () => Promise<void>): Promise<void> {
    const timer = setTimeout(() => {
      for (const client of this.#clients) client.disconnect();
    }, CLOSE_MS);
    try {
      await close();
    } finally {
      clearTimeout(timer);
    }
  }

  /** `skipVersionCheck` for a producer: the check is a command, and one that failed would fail this queue for ever. */
  #connect({ blocking }: { blocking: boolean }, options: ConnectionOptions): RedisConnection {
    const { role } = this.#part;
    const name = `${this.#target.namespace}-${role}${blocking ? '-waiting' : ''}`;
    const client = connectRedis(this.#target, { connectionName: name, ...options });
    this.#clients.push(client);
    const skipVersionCheck = role === 'queue';
    return new RedisConnection(client, { shared: false, blocking, skipVersionCheck });
  }
}
