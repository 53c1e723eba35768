import type { Readable } from 'node:stream';

export interface Output {
  /** Takes what a stream brings. Each stream is decoded by itself, across the borders of its chunks. */
  collect(stream: Readable): void;
  /** All that was collected, and how many bytes came after the limit. */
  finish(): { readonly output: string; readonly droppedBytes: number };
}

/**
 * Keeps the first `maxBytes` bytes of what a command says; the rest is counted, so a command cannot fill the memory. `maxBytes` undefined:
 * keeps nothing, and hands on all.
 */
export function createOutput(maxBytes: number | undefined, onOutput: (text: string) => void): Output {
  const texts: string[] = [];
  const flushes: (() => string)[] = [];
  let kept = 0;
  let dropped = 0;
  const keep = (text: string) => {
    if (text === '') return;
    if (maxBytes !== undefined) texts.push(text);
    onOutput(text);
  };
  return {
    collect(stream) {
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      flushes.push(() => decoder.decode());
      stream.on('data', (chunk: Buffer) => {
        const room = Math.min(chunk.length, (maxBytes ?? Number.POSITIVE_INFINITY) - kept);
        kept += room;
        dropped += chunk.length - room;
        if (room > 0) keep(decoder.decode(chunk.subarray(0, room), { stream: true }));
      });
    },
    finish() {
      // A character that the limit cut in two is dropped; one that the command left unfinished is shown as such.
      if (dropped === 0) for (const flush of flushes) keep(flush());
      return { output: texts.join(''), droppedBytes: dropped };
    },
  };
}

/** Chunks below this are joined: a command that writes byte by byte must not cost an object for each. */
const CHUNK_BYTES = 16 * 1024;

/** The newest `maxBytes` bytes (UTF-8) of a text that goes on and on, until somebody takes them; what had to go is counted. */
export class NewestText {
  readonly #maxBytes: number;
  #chunks: { text: string; bytes: number }[] = [];
  #bytes = 0;
  #dropped = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0 && this.#dropped === 0;
  }

  add(text: string): void {
    const bytes = Buffer.byteLength(text);
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.bytes < CHUNK_BYTES) {
      last.text += text;
      last.bytes += bytes;
    } else {
      this.#chunks.push({ text, bytes });
    }
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes) this.#drop(this.#bytes - this.#maxBytes);
  }

  /** All that is there; from now on there is nothing. */
  take(): { readonly text: string; readonly droppedBytes: number } {
    const taken = { text: this.#chunks.map(({ text }) => text).join(''), droppedBytes: this.#dropped };
    this.#chunks = [];
    this.#bytes = 0;
    this.#dropped = 0;
    return taken;
  }

  /** The last characters of what is there, which stays. */
  tail(characters: number): string {
    const text = this.#chunks
      .slice(-(Math.ceil(characters / CHUNK_BYTES) + 1))
      .map((chunk) => chunk.text)
      .join('');
    return text.slice(-characters);
  }

  /** The oldest chunk, or its beginning where less is too much. */
  #drop(excess: number): void {
    const [first] = this.#chunks;
    if (first === undefined) return;
    if (first.bytes <= excess) this.#chunks.shift();
    const gone = first.bytes <= excess ? first.bytes : cutBytes(first, excess);
    this.#bytes -= gone;
    this.#dropped += gone;
  }
}

/** Takes the first bytes away, and the rest of a character that they end in. Returns how many went. */
function cutBytes(chunk: { text: string; bytes: number }, bytes: number): number {
  const all = Buffer.from(chunk.text);
  let at = bytes;
  while (at < all.length && ((all[at] ?? 0) & 0xc0) === 0x80) at += 1;
  chunk.text = all.subarray(at).toString();
  chunk.bytes = all.length - at;
  return at;
}
