import { messageOf } from '../core/errors.ts';
import { atMostEvery, type Log } from '../log.ts';
import type { BusMessage } from './bus.ts';
import { unpack } from './wire.ts';

const REPEAT_LOG_MS = 10_000;

/** Who hears what arrives. A payload that is none of ours, and a listener that throws, are logged and nothing else. */
export class Listeners {
  readonly #listeners = new Set<{ hear(message: BusMessage): void }>();
  readonly #log: Log;
  readonly #warn: Log['warn'];

  constructor(log: Log) {
    this.#log = log;
    this.#warn = atMostEvery(REPEAT_LOG_MS, log);
  }

  /** Returns how to stop. */
  add(hear: (message: BusMessage) => void): () => Promise<void> {
    const listener = { hear };
    this.#listeners.add(listener);
    return async () => {
      this.#listeners.delete(listener);
    };
  }

  clear(): void {
    this.#listeners.clear();
  }

  deliver(payload: string): void {
    const { messages, problems } = unpack(payload);
    for (const problem of problems)
      this.#warn({ problem, bytes: payload.length }, 'bus dropped a malformed message');
    for (const message of messages) {
      for (const listener of this.#listeners) this.#tell(listener, message);
    }
  }

  #tell(listener: { hear(message: BusMessage): void }, message: BusMessage): void {
    try {
      listener.hear(message);
    } catch (error) {
      this.#log.error({ error: messageOf(error), type: message.type }, 'a listener of the bus threw');
    }
  }
}
