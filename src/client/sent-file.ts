import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';

/** How long a server may take nothing of what is sent, in milliseconds. */
export const STALL_TIMEOUT_MS = 60_000;

/** A file that is sent as the body of a request. */
export interface SentFile {
  readonly path: string;
  readonly bytes: number;
  /** Makes repeating harmless. */
  readonly key: string;
  readonly signal?: AbortSignal | undefined;
  /** Told of each piece that is on its way. */
  readonly onBytes?: (bytes: number) => void;
}

export interface SentBody {
  /** For `fetch`: read from the file as it is sent. */
  readonly init: { readonly body: ReadableStream; readonly duplex: 'half'; readonly signal: AbortSignal };
  /** Whether the other side took nothing for too long. */
  readonly isStalled: () => boolean;
  close(): void;
}

export function openSentFile(file: SentFile, stallMs = STALL_TIMEOUT_MS): SentBody {
  const stalled = new AbortController();
  const timer = setTimeout(() => stalled.abort(), stallMs);
  const pieces = createReadStream(file.path);
  // What is done with it once all of it was taken takes its time.
  pieces.on('end', () => clearTimeout(timer));
  async function* counted() {
    for await (const piece of pieces) {
      timer.refresh();
      file.onBytes?.((piece as Buffer).length);
      yield piece as Buffer;
    }
  }
  const signal = AbortSignal.any([stalled.signal, ...(file.signal ? [file.signal] : [])]);
  const body = Readable.toWeb(Readable.from(counted(), { objectMode: false })) as ReadableStream;
  return {
    init: { body, duplex: 'half', signal },
    isStalled: () => stalled.signal.aborted,
    close: () => {
      clearTimeout(timer);
      pieces.destroy();
    },
  };
}
