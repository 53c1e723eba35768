import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { connectRedis, disconnectRedis, redisTarget, untilReady } from '../redis.ts';
import type { Bus, BusMessage } from './bus.ts';
import { Listeners } from './listeners.ts';
import { Outbox } from './outbox.ts';
import { pack } from './wire.ts';

const MAX_PAYLOAD_BYTES = 256 * 1024;
/** How long closing waits for a Redis that does not answer. */
const CLOSE_MS = 1_000;

/**
 * The bus on Redis pub/sub, one channel. Two connections per process: one that publishes, and one that listens once
 * someone subscribes. Both come back by themselves.
 */
export function createRedisBus({ url, log }: { url: string; log: Log }): Bus {
  return new RedisBus({ ...redisTarget(url), log });
}

class RedisBus implements Bus {
  readonly #target: { url: string; namespace: string; log: Log };
  readonly #channel: string;
  readonly #listeners: Listeners;
  readonly #outbox: Outbox;
  #publisher: Redis | undefined;
  #subscription: Promise<void> | undefined;
  #subscriber: Redis | undefined;
  #number = 0;

  constructor(target: { url: string; namespace: string; log: Log }) {
    this.#target = target;
    this.#channel = `${target.namespace}:bus`;
    this.#listeners = new Listeners(target.log);
    this.#outbox = new Outbox((batch) => this.#send(batch), target.log);
  }

  publish(message: BusMessage): void {
    this.#outbox.add(message);
  }

  async subscribe(listener: (message: BusMessage) => void): Promise<() => Promise<void>> {
    this.#subscription ??= this.#listen();
    await this.#subscription;
    return this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    const timer = setTimeout(() => this.#publisher?.disconnect(), CLOSE_MS);
    await this.#outbox.close();
    clearTimeout(timer);
    const clients = [this.#publisher, this.#subscriber].filter((client) => client !== undefined);
    await Promise.all(clients.map(disconnectRedis));
  }

  /** A batch that was under way when the connection broke is not sent twice. */
  async #send(batch: readonly BusMessage[]): Promise<void> {
    this.#publisher ??= connectRedis(this.#target, {
      connectionName: `${this.#target.namespace}-bus`,
      maxRetriesPerRequest: 0,
    });
    const publisher = this.#publisher;
    await untilReady(publisher);
    const payloads = pack(batch, MAX_PAYLOAD_BYTES, () => this.#number++);
    await Promise.all(payloads.map((payload) => publisher.publish(this.#channel, payload)));
  }

  async #listen(): Promise<void> {
    const connectionName = `${this.#target.namespace}-bus-listen`;
    const subscriber = connectRedis(this.#target, { connectionName });
    this.#subscriber = subscriber;
    subscriber.on('message', (_channel, payload) => this.#listeners.deliver(payload));
    await subscriber.subscribe(this.#channel);
  }
}
