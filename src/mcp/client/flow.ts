/** Messages of the longest kind that may come at once; later one of them each second. */
const AT_ONCE = 4;
/** Of any length: so many may come at once, and so many each second. Each is read and answered, or passed on. */
export const MESSAGES_AT_ONCE = 4_000;
const MESSAGES_A_SECOND = 1_000;

/** How much a server may send, so that one that floods cannot keep a worker from its other work. */
export class Flow {
  readonly #bytes: Allowance;
  readonly #messages = new Allowance({ most: MESSAGES_AT_ONCE, perSecond: MESSAGES_A_SECOND });

  constructor(messageBytes: number) {
    this.#bytes = new Allowance({ most: AT_ONCE * messageBytes, perSecond: messageBytes });
  }

  /** False: more than it may. */
  takes(bytes: number): boolean {
    return this.#bytes.takes(bytes);
  }

  /** As `takes`, of one message. */
  takesMessage(): boolean {
    return this.#messages.takes(1);
  }
}

class Allowance {
  readonly #most: number;
  readonly #perSecond: number;
  #left: number;
  #at = performance.now();

  constructor({ most, perSecond }: { readonly most: number; readonly perSecond: number }) {
    this.#most = most;
    this.#perSecond = perSecond;
    this.#left = most;
  }

  takes(amount: number): boolean {
    const now = performance.now();
    const since = ((now - this.#at) / 1_000) * this.#perSecond;
    this.#at = now;
    this.#left = Math.min(this.#most, this.#left + since) - amount;
    return this.#left >= 0;
  }
}
