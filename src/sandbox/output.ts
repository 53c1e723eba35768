import type { Readable } from 'node:stream';

export interface Output {
  /** Takes what a stream brings. Each stream is decoded by itself, across the borders of its chunks. */
  collect(stream: Readable): void;
  /** All that was collected, and how many bytes came after the limit. */
  finish(): { readonly output: string; readonly droppedBytes: number };
}

/** Keeps the first `maxBytes` bytes of what a command says; the rest is counted, so a command cannot fill the memory. */
export function createOutput(maxBytes: number, onOutput: (text: string) => void): Output {
  const texts: string[] = [];
  const flushes: (() => string)[] = [];
  let kept = 0;
  let dropped = 0;
  const keep = (text: string) => {
    if (text === '') return;
    texts.push(text);
    onOutput(text);
  };
  return {
    collect(stream) {
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      flushes.push(() => decoder.decode());
      stream.on('data', (chunk: Buffer) => {
        const room = Math.min(chunk.length, maxBytes - kept);
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
