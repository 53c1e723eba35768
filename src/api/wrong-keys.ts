import { ipKeyGenerator, MemoryStore, type Options } from 'express-rate-limit';
import type { Log } from '../log.ts';
import { invalidKey } from './auth.ts';
import { ApiProblem } from './problem.ts';

const WINDOW_MS = 60_000;

/**
 * How many wrong keys came from each address in this minute. Only requests that fail count, and only those are refused: behind one
 * address with somebody who guesses, or whose key was revoked, whoever has a good key is let in as ever.
 */
export class WrongKeys {
  readonly #store = new MemoryStore();
  readonly #perMinute: number;
  readonly #log: Log;

  /** `perMinute` 0: as many as it likes. */
  constructor(perMinute: number, log: Log) {
    this.#perMinute = perMinute;
    this.#log = log;
    this.#store.init({ windowMs: WINDOW_MS } as Options);
  }

  /** What one more is answered with. Of an IPv6 address the /56 counts, which is one customer's. */
  async refusal(address: string): Promise<ApiProblem> {
    if (this.#perMinute === 0) return invalidKey();
    const { totalHits, resetTime } = await this.#store.increment(ipKeyGenerator(address));
    if (totalHits <= this.#perMinute) return invalidKey();
    if (totalHits === this.#perMinute + 1)
      this.#log.warn({ address, perMinute: this.#perMinute }, 'an address sends more wrong keys than it may');
    const leftMs = (resetTime?.getTime() ?? 0) - Date.now();
    return tooMany(this.#perMinute, Math.max(1, Math.ceil(leftMs / 1_000)));
  }

  close(): void {
    this.#store.shutdown();
  }
}

function tooMany(perMinute: number, seconds: number): ApiProblem {
  return new ApiProblem({
    status: 429,
    code: 'too_many_wrong_keys',
    field: 'authorization',
    detail: `The ${perMinute} wrong keys that may come from one address in a minute have come from yours, and this one is wrong too: send a good one, or wait as long as Retry-After says.`,
    headers: { 'retry-after': String(seconds) },
  });
}
