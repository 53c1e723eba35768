import type { EventEmitter } from 'node:events';

/** A second Ctrl-C within this time cancels the task. */
export const CANCEL_WINDOW_MS = 2_000;
/** A tool that passes Ctrl-C on to its child and to the group sends it twice: within this time that is one press. */
export const ECHO_MS = 100;

/** `act`, once per press: its echo is left out. `now` is a clock in milliseconds. */
export function oncePerPress(act: () => void, now: () => number = () => performance.now()): () => void {
  let pressedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() - pressedAt < ECHO_MS) return;
    pressedAt = now();
    act();
  };
}

/**
 * What a person means by Ctrl-C: once is to leave, twice within two seconds is to cancel the task. A third time, while
 * this process is still busy with leaving, ends it at once. SIGTERM and SIGHUP mean to leave, without waiting for a second.
 */
export class Interrupts {
  readonly #source: EventEmitter;
  readonly #windowMs: number;
  readonly #force: () => void;
  readonly #first = new AbortController();
  readonly #second = new AbortController();
  readonly #press: () => void;
  #presses = 0;
  #isUrgent = false;

  /** `force` ends the process. `now` is a clock in milliseconds. */
  constructor(options: {
    force: () => void;
    source?: EventEmitter;
    windowMs?: number;
    now?: () => number;
  }) {
    this.#source = options.source ?? process;
    this.#windowMs = options.windowMs ?? CANCEL_WINDOW_MS;
    this.#force = options.force;
    this.#press = oncePerPress(() => this.#pressed(), options.now);
    this.#source.on('SIGINT', this.#press);
    this.#source.on('SIGTERM', this.#terminate);
    this.#source.on('SIGHUP', this.#terminate);
  }

  /** Aborts when the person wants to leave, or to cancel. */
  get signal(): AbortSignal {
    return this.#first.signal;
  }

  /** After `signal` aborted: a person may still mean to cancel. By SIGTERM and SIGHUP nobody does. */
  get mayMeanCancel(): boolean {
    return !this.#isUrgent;
  }

  /** After `signal` aborted: what was meant. Takes up to two seconds. */
  async meaning(): Promise<'leave' | 'cancel'> {
    const second = this.#second.signal;
    if (this.#isUrgent) return 'leave';
    if (!second.aborted) await settled(second, this.#windowMs);
    return second.aborted ? 'cancel' : 'leave';
  }

  close(): void {
    this.#source.off('SIGINT', this.#press);
    this.#source.off('SIGTERM', this.#terminate);
    this.#source.off('SIGHUP', this.#terminate);
  }

  #pressed(): void {
    this.#presses += 1;
    if (this.#presses === 1) this.#first.abort();
    else if (this.#presses === 2) this.#second.abort();
    else this.#force();
  }

  readonly #terminate = (): void => {
    this.#isUrgent = true;
    this.#first.abort();
  };
}

/** Resolves when `signal` aborts, or after `ms`. */
function settled(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
