/** When a server that could not be had, or ended, is tried again. */
import { NotSignedIn } from './access.ts';
import { ServerGone } from './server-gone.ts';

/** Before one that died is started again: at first, and at most. */
const BACK_OFF_MS = { first: 250, most: 30_000 } as const;

export class BackOff {
  #failures = 0;
  #notBefore = 0;
  #last: ServerGone | undefined;
  /** Why it could not be had the last time; undefined where it could. */
  away: ServerGone | undefined;

  /** Milliseconds from now on. */
  get waitMs(): number {
    return this.#notBefore - performance.now();
  }

  /** It ended. `isSteady`: after it had lived for long. */
  ended(gone: ServerGone, isSteady: boolean): void {
    if (isSteady) this.#failures = 0;
    this.#note(gone, 0);
  }

  /** `tookMs`: that it took to fail. */
  failed(gone: ServerGone, tookMs: number): void {
    this.away = gone;
    this.#note(gone, tookMs);
  }

  /** It is there, and answers. */
  works(): void {
    this.#failures = 0;
    this.away = undefined;
  }

  /** It is left alone as long at least as it took to fail. Somebody may sign in at any time. */
  #note(gone: ServerGone, tookMs: number): void {
    const backOffMs = Math.max(BACK_OFF_MS.first * 2 ** this.#failures, tookMs);
    this.#failures += 1;
    this.#notBefore =
      performance.now() + (gone instanceof NotSignedIn ? 0 : Math.min(backOffMs, BACK_OFF_MS.most));
    this.#last = gone;
  }

  /** What was said last, and when it is tried again. */
  get sentence(): ServerGone {
    const seconds = Math.max(1, Math.ceil(this.waitMs / 1_000));
    const { message = 'failed', errors } = this.#last ?? {};
    return new ServerGone(`${message}; it is tried again in ${seconds} s`, errors);
  }
}
