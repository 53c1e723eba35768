/** How soon a server's stream is asked for again: as soon as the server says, as long as something comes of it. */
import { setTimeout as pause } from 'node:timers/promises';

/** From one request to the next: at least, and at most. */
const BETWEEN_MS = { first: 100, most: 5_000 } as const;

export class StreamPace {
  #askedAt = Number.NEGATIVE_INFINITY;
  #inVain = 0;

  /** Something came: the next request need not wait longer than the first. */
  rewarded(): void {
    this.#inVain = 0;
  }

  /** Resolves when it may be asked. Throws what `signal` was aborted with. */
  async turn(signal: AbortSignal | undefined): Promise<void> {
    const betweenMs = Math.min(BETWEEN_MS.first * 2 ** this.#inVain, BETWEEN_MS.most);
    const waitMs = this.#askedAt + betweenMs - performance.now();
    if (Number.isFinite(this.#askedAt)) this.#inVain += 1;
    this.#askedAt = performance.now() + Math.max(waitMs, 0);
    if (waitMs > 0) await pause(waitMs, undefined, { signal });
  }
}
