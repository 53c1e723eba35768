/** Text for whoever watches, sent at most every `LIVE_MS`: smooth to read, and cheap for the bus. */
const LIVE_MS = 50;

export class LiveText {
  readonly #send: (text: string, offset: number) => void;
  #waiting = '';
  #offset = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `offset`: UTF-16 units sent before. */
  constructor(send: (text: string, offset: number) => void) {
    this.#send = send;
  }

  add(text: string): void {
    this.#waiting += text;
    this.#timer ??= setTimeout(() => this.flush(), LIVE_MS);
  }

  /** Sends what waits, now. Also the way to end: no timer is left. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting === '') return;
    this.#send(this.#waiting, this.#offset);
    this.#offset += this.#waiting.length;
    this.#waiting = '';
  }
}
