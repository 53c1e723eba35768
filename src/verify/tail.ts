/** Watches a session's tree as a strict client does: after each break it goes on behind the last number, and counts. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import type { Client } from './client.ts';

const PAUSE_MS = 100;
/** A healthy stream says something at least this often; a stopped API says nothing. */
const SILENCE_MS = 20_000;

export interface TailOptions {
  readonly client: Client;
  readonly sessionId: string;
  readonly signal: AbortSignal;
  /** A gap, a repetition or a wrong order, in a sentence. */
  readonly onGap: (what: string) => void;
}

export class Tail {
  readonly #options: TailOptions;
  last = 0;

  constructor(options: TailOptions) {
    this.#options = options;
  }

  /** Until the signal. */
  async follow(): Promise<void> {
    const { client, sessionId, signal } = this.#options;
    while (!signal.aborted) {
      const silent = new AbortController();
      let timer = setTimeout(() => silent.abort(), SILENCE_MS);
      try {
        const response = await client.stream(sessionId, this.last, AbortSignal.any([signal, silent.signal]));
        for await (const seq of sequenceOf(response)) {
          clearTimeout(timer);
          timer = setTimeout(() => silent.abort(), SILENCE_MS);
          if (seq !== undefined) this.#see(seq);
        }
      } catch (error) {
        if (messageOf(error).includes('answered 4')) this.#options.onGap(messageOf(error));
      } finally {
        clearTimeout(timer);
      }
      await delay(PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }

  #see(seq: number): void {
    const expected = this.last + 1;
    if (seq !== expected) {
      this.#options.onGap(`session ${this.#options.sessionId}: event ${seq} came where ${expected} was due`);
    }
    this.last = seq;
  }
}

/** The `id` of each frame as it comes; undefined for one that has none. */
async function* sequenceOf(response: Response): AsyncGenerator<number | undefined> {
  let rest = '';
  for await (const text of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const frames = (rest + text).split('\n\n');
    // The last one may not be whole.
    rest = frames.pop() ?? '';
    for (const frame of frames) {
      const id = /^id: ?(\d+)$/m.exec(frame)?.[1];
      yield id === undefined ? undefined : Number(id);
    }
  }
}
