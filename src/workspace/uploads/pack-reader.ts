import { createHash, type Hash } from 'node:crypto';
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { crc32, createInflate, inflateSync } from 'node:zlib';
import type { ObjectType, PackedObject } from '../snapshots/pack-writer.ts';
import type { UploadLimits } from './limits.ts';
import { malformed, tooLarge } from './upload-error.ts';

const HEADER_BYTES = 12;
const CHECKSUM_BYTES = 20;
const CHUNK_BYTES = 1024 * 1024;
/** Type and size of an object: the size needs eight bytes at most to be one that a number holds exactly. */
const OBJECT_HEADER_BYTES = 8;
/** Larger objects are read in pieces. */
const WHOLE_BYTES = CHUNK_BYTES;
/** Of one directory: a hundred thousand names of usual length. */
export const TREE_BYTES = 16 * 1024 * 1024;
/** Of all directories together, however often one of them stands somewhere. */
export const TREES_BYTES = 256 * 1024 * 1024;
/** Trees beside those of directories, and the manifest. */
const MORE_OBJECTS = 4;

/** Only whole objects: a delta could stand for a thousand times its bytes, and of its base's. */
const TYPES: Readonly<Record<number, ObjectType>> = { 2: 'tree', 3: 'blob' };

export interface SentObject extends PackedObject {
  readonly type: ObjectType;
  readonly size: number;
}

export interface SentPack {
  readonly objects: ReadonlyMap<string, SentObject>;
  readonly checksum: Buffer;
}

/**
 * Reads a pack (gitformat-pack(5)) that anybody may have written, and names what is in it: an object's name is what its bytes make it,
 * whatever the sender says. Nothing that its headers promise is believed before it is there. Throws `UploadError`.
 */
export async function readPack(path: string, limits: UploadLimits): Promise<SentPack> {
  const file = openSync(path, 'r');
  try {
    return await new PackReader(file, path, limits).read();
  } finally {
    closeSync(file);
  }
}

class PackReader {
  readonly #file: number;
  readonly #path: string;
  readonly #limits: UploadLimits;
  /** Where the checksum begins. */
  readonly #end: number;
  readonly #objects = new Map<string, SentObject>();
  readonly #bytes = { tree: 0, blob: 0 };

  constructor(file: number, path: string, limits: UploadLimits) {
    this.#file = file;
    this.#path = path;
    this.#limits = limits;
    this.#end = fstatSync(file).size - CHECKSUM_BYTES;
  }

  async read(): Promise<SentPack> {
    const count = this.#count();
    let at = HEADER_BYTES;
    for (let number = 0; number < count; number += 1) at = await this.#object(at);
    if (at !== this.#end) throw malformed('it goes on behind its last object');
    return { objects: this.#objects, checksum: this.#checksum() };
  }

  #count(): number {
    if (this.#end < HEADER_BYTES) throw malformed('it is too short for a pack');
    const header = this.#bytesAt(0, HEADER_BYTES);
    if (header.toString('latin1', 0, 4) !== 'PACK' || header.readUInt32BE(4) !== 2) {
      throw malformed('it does not begin as a pack of version 2');
    }
    const count = header.readUInt32BE(8);
    const limit = 2 * this.#limits.entries + MORE_OBJECTS;
    if (count > limit) throw tooLarge(`has ${count} objects`, limit);
    return count;
  }

  /** Returns where the next one begins. */
  async #object(at: number): Promise<number> {
    const { type, size, start } = this.#header(at);
    this.#checkSize(type, size);
    const digest = createHash('sha1').update(`${type} ${size}\0`);
    const data =
      size <= WHOLE_BYTES ? this.#whole(start, size, digest) : await this.#pieces(start, size, digest);
    const hash = digest.digest('hex');
    if (this.#objects.has(hash)) throw malformed(`it holds the object ${hash} twice`);
    const next = start + data;
    this.#objects.set(hash, { hash, type, size, offset: at, crc: this.#crc(at, next) });
    return next;
  }

  #header(at: number): { readonly type: ObjectType; readonly size: number; readonly start: number } {
    const bytes = this.#bytesAt(at, Math.min(OBJECT_HEADER_BYTES, this.#end - at));
    const length = bytes.findIndex((byte) => byte < 0x80) + 1;
    const [first = 0, ...more] = bytes.subarray(0, length);
    if (length === 0) throw malformed(`the object at byte ${at} has no end to its header`);
    const type = TYPES[(first >> 4) & 7];
    if (type === undefined)
      throw malformed(`the object at byte ${at} is neither a whole tree nor a whole blob`);
    const size = more.reduceRight((sum, byte) => sum * 128 + (byte & 0x7f), 0) * 16 + (first & 0x0f);
    return { type, size, start: at + length };
  }

  #checkSize(type: ObjectType, size: number): void {
    const { fileBytes, filesBytes } = this.#limits;
    const limit = type === 'blob' ? fileBytes : TREE_BYTES;
    if (size > limit)
      throw tooLarge(`has a ${type === 'blob' ? 'file' : 'directory'} of ${size} bytes`, limit);
    this.#bytes[type] += size;
    const all = type === 'blob' ? filesBytes : TREES_BYTES;
    if (this.#bytes[type] > all) throw tooLarge(`unpacks to ${this.#bytes[type]} bytes or more`, all);
  }

  /** Returns how many bytes it takes in the pack. */
  #whole(start: number, size: number, digest: Hash): number {
    const packed = this.#bytesAt(start, Math.min(packedBytes(size), this.#end - start));
    try {
      const options = { maxOutputLength: Math.max(1, size), info: true };
      const done = inflateSync(packed, options) as unknown as Inflated;
      if (done.buffer.length === size) {
        digest.update(done.buffer);
        return done.engine.bytesWritten;
      }
    } catch (error) {
      if (!isUnpacking(error)) throw error;
    }
    throw malformed(`the object at byte ${start} does not unpack to the ${size} bytes that it promises`);
  }

  async #pieces(start: number, size: number, digest: Hash): Promise<number> {
    const end = Math.min(start + packedBytes(size), this.#end) - 1;
    const input = createReadStream(this.#path, { start, end, highWaterMark: CHUNK_BYTES });
    const inflate = createInflate({ chunkSize: CHUNK_BYTES });
    input.on('error', (error) => inflate.destroy(error)).pipe(inflate);
    let unpacked = 0;
    try {
      for await (const piece of inflate) {
        unpacked += (piece as Buffer).length;
        if (unpacked > size) break;
        digest.update(piece as Buffer);
      }
    } catch (error) {
      if (!isUnpacking(error)) throw error;
    } finally {
      input.destroy();
    }
    if (unpacked === size && inflate.readableEnded) return inflate.bytesWritten;
    throw malformed(`the object at byte ${start} does not unpack to the ${size} bytes that it promises`);
  }

  #crc(from: number, to: number): number {
    let crc = 0;
    for (let at = from; at < to; at += CHUNK_BYTES) {
      crc = crc32(this.#bytesAt(at, Math.min(CHUNK_BYTES, to - at)), crc);
    }
    return crc;
  }

  #checksum(): Buffer {
    const digest = createHash('sha1');
    for (let at = 0; at < this.#end; at += CHUNK_BYTES) {
      digest.update(this.#bytesAt(at, Math.min(CHUNK_BYTES, this.#end - at)));
    }
    const checksum = digest.digest();
    if (checksum.equals(this.#bytesAt(this.#end, CHECKSUM_BYTES))) return checksum;
    throw malformed('its checksum is not that of its bytes');
  }

  #bytesAt(position: number, length: number): Buffer {
    if (length <= 0) throw malformed('it is cut short');
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const read = readSync(this.#file, bytes, done, length - done, position + done);
      if (read === 0) throw malformed('it is cut short');
      done += read;
    }
    return bytes;
  }
}

interface Inflated {
  readonly buffer: Buffer;
  /** `bytesWritten`: of its input. */
  readonly engine: { readonly bytesWritten: number };
}

/** What so many bytes take at most when they cannot be compressed: empty blocks could go on for ever. */
function packedBytes(size: number): number {
  return size + (size >> 8) + 1024;
}

function isUnpacking(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return code.startsWith('Z_') || code === 'ERR_BUFFER_TOO_LARGE';
}
