import type { ContextMessage } from '../core/context.ts';
import type { Database } from '../store/database.ts';
import { putImage, readImages } from '../store/outputs.ts';

/** What the images take together that a worker remembers: about five requests with as many as there may be. */
export const IMAGE_CACHE_BYTES = 64 * 1024 * 1024;

/**
 * Images by hash, as requests send them: the bytes of their base64. They never change, so what is here is right for ever. The log
 * and what is written of it hold hashes only: a session with a hundred screenshots takes no more than a request's share of this.
 */
export class ImageCache {
  readonly #images = new Map<string, Buffer>();
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number = IMAGE_CACHE_BYTES) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Stores an image before the commit that names it. Returns its SHA-256, hexadecimal. */
  async put(db: Database, sessionId: string, bytes: Uint8Array): Promise<string> {
    const hash = await putImage(db, sessionId, bytes);
    this.#keep(hash, base64Of(bytes));
    return hash;
  }

  /** All images that the messages name, for one request. */
  async read(db: Database, messages: readonly ContextMessage[]): Promise<ReadonlyMap<string, Buffer>> {
    const images = new Map<string, Buffer>();
    const missing = new Set<string>();
    for (const hash of hashesIn(messages)) {
      const known = this.#images.get(hash);
      if (known === undefined) missing.add(hash);
      else images.set(hash, this.#keep(hash, known));
    }
    if (missing.size === 0) return images;
    for (const [hash, bytes] of await readImages(db, [...missing])) {
      images.set(hash, this.#keep(hash, base64Of(bytes)));
      missing.delete(hash);
    }
    for (const hash of missing) throw new Error(`the image ${hash} is not in the database`);
    return images;
  }

  /** As the newest; the oldest go where they are too much. */
  #keep(hash: string, image: Buffer): Buffer {
    if (this.#images.delete(hash)) this.#bytes -= image.length;
    this.#images.set(hash, image);
    this.#bytes += image.length;
    for (const [oldest, { length }] of this.#images) {
      if (this.#bytes <= this.#limit) break;
      this.#images.delete(oldest);
      this.#bytes -= length;
    }
    return image;
  }
}

function hashesIn(messages: readonly ContextMessage[]): string[] {
  return messages.flatMap((message) =>
    message.role === 'assistant' ? [] : (message.images ?? []).map(({ hash }) => hash),
  );
}

function base64Of(bytes: Uint8Array): Buffer {
  return Buffer.from(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
    'latin1',
  );
}
