import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { WebError } from './web-error.ts';

export interface BodyStart {
  readonly bytes: Buffer;
  /** There is more behind it, which was not read. */
  readonly cut: boolean;
}

/** What is asked for; what comes is undone. */
export const ACCEPTED_ENCODINGS = 'gzip, deflate, br, zstd';

const DECODERS: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ['gzip', () => createGunzip()],
  ['x-gzip', () => createGunzip()],
  ['deflate', () => createInflate()],
  ['br', () => createBrotliDecompress()],
  ['zstd', () => createZstdDecompress()],
]);

/**
 * The beginning of a body, decompressed: at most `limit` bytes, and of a compressed one at most as many as they came. The
 * rest is never read, however much it would become. Throws where the body breaks off or is not what it says to be.
 */
export async function readBody(body: Readable, encoding: string, limit: number): Promise<BodyStart> {
  const source = decoded(body, encoding.trim().toLowerCase(), limit);
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of source) {
      pieces.push(piece);
      size += piece.length;
      if (size > limit) break;
    }
  } finally {
    source.destroy();
    body.on('error', () => undefined).destroy();
  }
  const bytes = Buffer.concat(pieces);
  return { bytes: bytes.subarray(0, limit), cut: bytes.length > limit };
}

function decoded(body: Readable, encoding: string, limit: number): Readable {
  if (encoding === '' || encoding === 'identity') return body;
  const decoder = DECODERS.get(encoding)?.();
  if (decoder === undefined) {
    body.on('error', () => undefined).destroy();
    throw new WebError(`the answer is encoded as '${encoding}'; expected ${ACCEPTED_ENCODINGS} or nothing.`);
  }
  let came = 0;
  body.on('data', (piece: Buffer) => {
    came += piece.length;
    if (came > limit) decoder.destroy(new WebError(`the answer has more than ${limit} compressed bytes.`));
  });
  body.on('error', (error) => decoder.destroy(error));
  return body.pipe(decoder);
}
