import { randomBytes, randomInt } from 'node:crypto';

/** Milliseconds since the epoch. Rows use the database's clock; everything else is handed one of these. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now();

/** Of the last id: its millisecond, and where it stands among those of the same one. */
let last = { ms: -1, count: 0 };
/** A millisecond begins below this, so that there is room for more. */
const FIRST_COUNTS = 1_024;

/**
 * A UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, 12 that count within one (§6.2, method 1), then 62 random bits. Of one process
 * a later id is greater, up to three thousand in a millisecond.
 */
export function newId(clock: Clock = systemClock): string {
  const ms = clock();
  last = { ms, count: ms === last.ms ? last.count + 1 : randomInt(FIRST_COUNTS) };
  const bytes = randomBytes(16);
  bytes.writeUIntBE(ms, 0, 6);
  bytes.writeUInt16BE(0x7000 | (last.count & 0x0fff), 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
