import { createHash } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { compareBytes } from './byte-path.ts';
import type { PackedObject } from './pack-writer.ts';

/** Offsets from here on stand in a table of their own. */
const LARGE_OFFSET = 0x8000_0000;

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
