const LF = 10;
const CR = 13;

/** How long the event is that a stream is in the middle of: whoever reads it keeps that much (WHATWG HTML, "Parsing an event stream"). */
export class EventLength {
  #bytes = 0;
  #lineBytes = 0;
  #last = 0;

  /** In bytes, with what has come now. */
  after(chunk: Uint8Array): number {
    for (const byte of chunk) {
      const isSecondHalf = byte === LF && this.#last === CR;
      this.#last = byte;
      if (isSecondHalf) continue;
      this.#bytes += 1;
      this.#lineBytes += 1;
      if (byte !== LF && byte !== CR) continue;
      if (this.#lineBytes === 1) this.#bytes = 0;
      this.#lineBytes = 0;
    }
    return this.#bytes;
  }
}
