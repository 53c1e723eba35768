import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { compareBytes } from './byte-path.ts';
import type { PackedObject } from './pack-writer.ts';

/** Offsets from here on stand in a table of their own. */
const LARGE_OFFSET = 0x8000_0000;
/** Behind the magic, the version and the fan-out table, whose last number counts the names. */
const NAMES_AT = 8 + 256 * 4;
const NAME_BYTES = 20;
const CHECKSUM_BYTES = 20;
const TRAILER_BYTES = 2 * CHECKSUM_BYTES;

/** Writes `<pack>.idx`, version 2 (gitformat-pack(5)): from then on git finds what is in `<pack>.pack`. */
export function writePackIndex(pack: string, objects: readonly PackedObject[], packChecksum: Buffer): void {
  const sorted = objects.toSorted((a, b) => compareBytes(a.hash, b.hash));
  const body = Buffer.concat([
    Buffer.from('\xfftOc\0\0\0\x02', 'latin1'),
    fanOut(sorted),
    ...sorted.map(({ hash }) => Buffer.from(hash, 'hex')),
    numbers(sorted.map(({ crc }) => crc)),
    offsets(sorted),
    packChecksum,
  ]);
  const checksum = createHash('sha1').update(body).digest();
  const temporary = join(dirname(pack), `tmp_${basename(pack)}.idx`);
  writeFileSync(temporary, Buffer.concat([body, checksum]), { mode: 0o400 });
  renameSync(temporary, `${pack}.idx`);
}

/** The names of the objects that an index of version 2 lists. */
export function namesInIndex(index: Buffer): string[] {
  const count = index.readUInt32BE(NAMES_AT - 4);
  return Array.from({ length: count }, (_, number) => {
    const at = NAMES_AT + number * NAME_BYTES;
    return index.toString('hex', at, at + NAME_BYTES);
  });
}

/** After a power cut an index may be absent, or not what was written. */
export function hasWholeIndex(pack: string): boolean {
  const path = pack.replace(/\.pack$/, '.idx');
  const index = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  if (index.length < TRAILER_BYTES) return false;
  const end = index.length - CHECKSUM_BYTES;
  return createHash('sha1').update(index.subarray(0, end)).digest().equals(index.subarray(end));
}

/** For each first byte, how many names begin with it or a smaller one. */
function fanOut(sorted: readonly PackedObject[]): Buffer {
  const counts = new Array<number>(256).fill(0);
  for (const { hash } of sorted) {
    const first = Number.parseInt(hash.slice(0, 2), 16);
    counts[first] = (counts[first] ?? 0) + 1;
  }
  let sum = 0;
  return numbers(
    counts.map((count) => {
      sum += count;
      return sum;
    }),
  );
}

function offsets(sorted: readonly PackedObject[]): Buffer {
  const large = sorted.map(({ offset }) => offset).filter((offset) => offset >= LARGE_OFFSET);
  let next = 0;
  const small = sorted.map(({ offset }) => (offset < LARGE_OFFSET ? offset : LARGE_OFFSET + next++));
  const table = Buffer.alloc(large.length * 8);
  large.forEach((offset, index) => {
    table.writeBigUInt64BE(BigInt(offset), index * 8);
  });
  return Buffer.concat([numbers(small), table]);
}

function numbers(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, index * 4);
  });
  return bytes;
}
