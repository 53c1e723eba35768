/** Messages of the longest kind that may come at once; later one of them each second. */
const AT_ONCE = 4;

/** How much a server may send, so that one that floods cannot keep a worker from its other work. */
export class Flow {
  readonly #messageBytes: number;
  #left: number;
  #at = performance.now();

  constructor(messageBytes: number) {
    this.#messageBytes = messageBytes;
    this.#left = AT_ONCE * messageBytes;
  }

  /** False: more than it may. */
  takes(bytes: number): boolean {
    const now = performance.now();
    const since = ((now - this.#at) / 1_000) * this.#messageBytes;
    this.#at = now;
    this.#left = Math.min(AT_ONCE * this.#messageBytes, this.#left + since) - bytes;
    return this.#left >= 0;
  }
}
