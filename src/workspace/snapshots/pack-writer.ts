import { createHash, hash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateRawSync, deflateSync, constants as zlib } from 'node:zlib';
import { writePackIndex } from './pack-index.ts';

/** Object types as a pack numbers them (gitformat-pack(5)). */
const TYPE_NUMBERS = { tree: 2, blob: 3 } as const;
/** Speed counts: a later repack may press harder. */
const LEVEL = 1;
const CHUNK_BYTES = 1024 * 1024;
const HEADER_BYTES = 12;

export type ObjectType = keyof typeof TYPE_NUMBERS;

/** Where the content of objects goes. Objects that are there already are not written again. */
export interface ObjectSink {
  has(hash: string): boolean;
  /** Returns the object's name. */
  put(type: ObjectType, content: Buffer): string;
  /** A blob of `size` bytes, read piece by piece; `read` fills the buffer or throws. Returns the object's name. */
  putLarge(size: number, read: (into: Buffer) => void): string;
}

export interface PackedObject {
  readonly hash: string;
  readonly offset: number;
  readonly crc: number;
}

/** Names objects and keeps nothing: for asking whether files are what a snapshot says. */
export const namesOnly: ObjectSink = {
  has: () => true,
  put: (type, content) => objectName(type, content),
  putLarge: (size, read) => {
    const digest = createHash('sha1').update(`blob ${size}\0`);
    forChunks(size, read, (chunk) => digest.update(chunk));
    return digest.digest('hex');
  },
};

export function objectName(type: ObjectType, content: Buffer): string {
  return hash('sha1', Buffer.concat([Buffer.from(`${type} ${content.length}\0`), content]));
}

/**
 * Writes the new objects of one snapshot as one pack (gitformat-pack(5)), so that a snapshot of one file and one of fifty thousand
 * cost the same few system calls beside their bytes. Nothing is created where there is nothing new.
 *
 * Durable when `finish` returns: the pack and its directory entry are on disk. Its index is not waited for: a store that is
 * opened makes missing ones again. A pack without an index is no part of the store, so a writer may die at any moment.
 */
export class PackWriter implements ObjectSink {
  readonly #directory: string;
  readonly #known: ReadonlySet<string>;
  readonly #name = `pack-${randomBytes(20).toString('hex')}`;
  readonly #objects = new Map<string, PackedObject>();
  #file: number | undefined;
  /** Where the next byte goes, and how many bytes before it are still in `#pending`. */
  #offset = HEADER_BYTES;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  /** `directory`: the store's `objects/pack`. `known`: names of objects that the store holds. */
  constructor(directory: string, known: ReadonlySet<string>) {
    this.#directory = directory;
    this.#known = known;
  }

  get hashes(): Iterable<string> {
    return this.#objects.keys();
  }

  has(name: string): boolean {
    return this.#known.has(name) || this.#objects.has(name);
  }

  put(type: ObjectType, content: Buffer): string {
    const name = objectName(type, content);
    if (this.has(name)) return name;
    const start = this.#offset;
    const packed = Buffer.concat([
      objectHeader(type, content.length),
      deflateSync(content, { level: LEVEL }),
    ]);
    this.#write(packed);
    this.#objects.set(name, { hash: name, offset: start, crc: crc32(packed) });
    return name;
  }

  putLarge(size: number, read: (into: Buffer) => void): string {
    this.#flush();
    const start = this.#offset;
    let kept = false;
    try {
      const { name, crc } = this.#writeLarge(size, read);
      kept = !this.has(name);
      if (kept) this.#objects.set(name, { hash: name, offset: start, crc });
      return name;
    } finally {
      if (!kept) this.#takeBack(start);
    }
  }

  /** The content as raw deflate pieces that each end at a byte, which together are one zlib stream (RFC 1950). */
  #writeLarge(size: number, read: (into: Buffer) => void): { name: string; crc: number } {
    const digest = createHash('sha1').update(`blob ${size}\0`);
    let [crc, adler] = [0, 1];
    const write = (bytes: Buffer) => {
      crc = crc32(bytes, crc);
      this.#write(bytes);
    };
    write(objectHeader('blob', size));
    write(Buffer.from([0x78, 0x01]));
    forChunks(size, read, (chunk) => {
      digest.update(chunk);
      adler = adler32(chunk, adler);
      write(deflateRawSync(chunk, { level: LEVEL, finishFlush: zlib.Z_SYNC_FLUSH }));
    });
    const end = Buffer.from([0x03, 0x00, 0, 0, 0, 0]);
    end.writeUInt32BE(adler, 2);
    write(end);
    return { name: digest.digest('hex'), crc };
  }

  /** Makes what was put part of the store. */
  finish(): void {
    if (this.#objects.size === 0) {
      this.discard();
      return;
    }
    this.#flush();
    const file = this.#open();
    const checksum = sealPack(file, this.#objects.size, this.#offset);
    fsyncSync(file);
    closeSync(file);
    this.#file = undefined;
    syncDirectory(this.#directory);
    writePackIndex(join(this.#directory, this.#name), [...this.#objects.values()], checksum);
  }

  discard(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file);
    this.#file = undefined;
    rmSync(join(this.#directory, `${this.#name}.pack`), { force: true });
  }

  #open(): number {
    if (this.#file !== undefined) return this.#file;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
    this.#file = openSync(join(this.#directory, `${this.#name}.pack`), flags, 0o600);
    return this.#file;
  }

  #write(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#offset += bytes.length;
    if (this.#pendingBytes >= CHUNK_BYTES) this.#flush();
  }

  #flush(): void {
    if (this.#pendingBytes === 0) return;
    writeAll(this.#open(), Buffer.concat(this.#pending), this.#offset - this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #takeBack(start: number): void {
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#offset = start;
    if (this.#file !== undefined) ftruncateSync(this.#file, start);
  }
}

/** Writes header and checksum around the objects. Returns the checksum. */
function sealPack(file: number, objects: number, end: number): Buffer {
  const header = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
  header.writeUInt32BE(objects, 8);
  writeAll(file, header, 0);
  const digest = createHash('sha1');
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end));
  for (let at = 0; at < end; ) {
    const bytes = readSync(file, chunk, 0, Math.min(chunk.length, end - at), at);
    if (bytes === 0) throw new Error('a pack became shorter while it was written');
    digest.update(chunk.subarray(0, bytes));
    at += bytes;
  }
  const checksum = digest.digest();
  writeAll(file, checksum, end);
  return checksum;
}

/** Type and size: four bits of the size in the first byte, seven in each that follows. */
function objectHeader(type: ObjectType, size: number): Buffer {
  const bytes: number[] = [(TYPE_NUMBERS[type] << 4) | (size % 16)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1] = (bytes.at(-1) as number) | 0x80;
    bytes.push(rest % 128);
  }
  return Buffer.from(bytes);
}

function forChunks(size: number, read: (into: Buffer) => void, use: (chunk: Buffer) => void): void {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size));
  for (let left = size; left > 0; ) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, left));
    read(chunk);
    use(chunk);
    left -= chunk.length;
  }
}

/** RFC 1950: both sums are taken modulo 65,521; 3,800 bytes fit before a sum leaves the small integers. */
function adler32(bytes: Buffer, before: number): number {
  let [a, b] = [before & 0xffff, before >>> 16];
  for (let start = 0; start < bytes.length; start += 3_800) {
    const end = Math.min(start + 3_800, bytes.length);
    for (let index = start; index < end; index += 1) {
      a += bytes[index] as number;
      b += a;
    }
    a %= 65_521;
    b %= 65_521;
  }
  return b * 65_536 + a;
}

export function writeAll(file: number, bytes: Buffer, position: number | null): void {
  for (let done = 0; done < bytes.length; ) {
    const at = position === null ? null : position + done;
    done += writeSync(file, bytes, done, bytes.length - done, at);
  }
}

export function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
