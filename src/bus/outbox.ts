import { messageOf } from '../core/errors.ts';
import { atMostEvery, type Log } from '../log.ts';
import type { BusMessage } from './bus.ts';

/** The least time from one batch to the next; what is published in between goes together. */
const BATCH_GAP_MS = 5;
/** What waits while the other side is slow or down; beyond either, the oldest is dropped. */
export const MAX_WAITING_MESSAGES = 10_000;
export const MAX_WAITING_TEXT = 4 * 1024 * 1024;
const REPEAT_LOG_MS = 10_000;

/**
 * Messages on their way out, in order. The first after a quiet time leaves in the same tick; then one batch at a time.
 * Of several hints about the same tree that wait, the one with the largest sequence number is sent.
 */
export class Outbox {
  readonly #send: (batch: readonly BusMessage[]) => Promise<void>;
  readonly #warn: Log['warn'];
  /** By a key that hints of one tree share; the oldest first. */
  readonly #waiting = new Map<string, BusMessage>();
  #waitingText = 0;
  #count = 0;
  #sending: Promise<void> | undefined;
  #closed = false;

  /** `send` waits for the connection where there is none; what it rejects is lost. */
  constructor(send: (batch: readonly BusMessage[]) => Promise<void>, log: Log) {
    this.#send = send;
    this.#warn = atMostEvery(REPEAT_LOG_MS, log);
  }

  add(message: BusMessage): void {
    if (this.#closed) return;
    const key = message.type === 'events' ? message.rootId : `#${this.#count++}`;
    this.#put(key, newer(message, this.#waiting.get(key)));
    while (this.#waiting.size > MAX_WAITING_MESSAGES || this.#waitingText > MAX_WAITING_TEXT)
      this.#dropOldest();
    this.#sending ??= this.#sendAll();
  }

  /** Takes nothing more; resolves when what is being sent is through or has failed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    await afterThisTick();
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.values()];
      this.#waiting.clear();
      this.#waitingText = 0;
      const gap = this.#closed ? undefined : delay(BATCH_GAP_MS);
      await this.#send(batch).catch((error: unknown) => {
        this.#warn(
          { error: messageOf(error), messages: batch.length },
          'bus lost messages it could not send',
        );
      });
      await gap;
    }
    this.#sending = undefined;
  }

  /** At the end, also where the key is known: a hint never goes before what was published before it. */
  #put(key: string, message: BusMessage): void {
    this.#waiting.delete(key);
    this.#waiting.set(key, message);
    this.#waitingText += textLength(message);
  }

  #dropOldest(): void {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest[0]);
    this.#waitingText -= textLength(oldest[1]);
    this.#warn({}, 'bus dropped its oldest message: too many wait to be sent');
  }
}

function newer(message: BusMessage, waiting: BusMessage | undefined): BusMessage {
  if (message.type !== 'events' || waiting?.type !== 'events') return message;
  return message.seq >= waiting.seq ? message : waiting;
}

function textLength(message: BusMessage): number {
  return 'text' in message ? message.text.length : 0;
}

function afterThisTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
