/** Images that decoders take: made here, or the smallest there are of their kind. */
import { crc32, deflateSync } from 'node:zlib';

export interface PngOptions {
  readonly width?: number;
  readonly height?: number;
  /** Makes another picture. */
  readonly shade?: number;
  /** As long as this, by a chunk that nobody looks at. */
  readonly bytes?: number;
}

/** A grey picture. */
export function pngOf({ width = 2, height = 1, shade = 0, bytes = 0 }: PngOptions = {}): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.writeUInt8(8, 8);
  const row = Buffer.alloc(1 + width, shade);
  row.writeUInt8(0, 0);
  const pixels = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)));
  const chunks = [chunk('IHDR', header), chunk('IDAT', pixels), chunk('IEND')];
  const length = SIGNATURE.length + chunks.reduce((sum, each) => sum + each.length, 0);
  if (bytes > length) chunks.splice(1, 0, chunk('teSt', Buffer.alloc(bytes - length - CHUNK_BYTES, 'x')));
  return Buffer.concat([SIGNATURE, ...chunks]);
}

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
/** Of a chunk without content. */
const CHUNK_BYTES = 12;

export function chunk(type: string, content: Buffer = Buffer.alloc(0)): Buffer {
  const whole = Buffer.alloc(CHUNK_BYTES + content.length);
  whole.writeUInt32BE(content.length, 0);
  whole.write(type, 4, 'latin1');
  content.copy(whole, 8);
  whole.writeUInt32BE(crc32(whole.subarray(4, 8 + content.length)), 8 + content.length);
  return whole;
}

/** One grey block of 8 x 8 pixels: tables with one symbol each, and two bits of data. `frame`: the marker of its kind. */
export function jpegOf(frame = 0xc0): Buffer {
  const segment = (marker: number, content: readonly number[]) => {
    const length = content.length + 2;
    return Buffer.from([0xff, marker, length >> 8, length & 0xff, ...content]);
  };
  const ones = (count: number) => Array.from({ length: count }, () => 1);
  const oneSymbol = [1, ...Array.from({ length: 15 }, () => 0), 0];
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, [0, ...ones(64)]),
    segment(frame, [8, 0, 8, 0, 8, 1, 1, 0x11, 0]),
    segment(0xc4, [0x00, ...oneSymbol]),
    segment(0xc4, [0x10, ...oneSymbol]),
    segment(0xda, [1, 1, 0x00, 0, 63, 0]),
    Buffer.from([0x3f, 0xff, 0xd9]),
  ]);
}

/** One pixel, as often as there are frames. */
export function gifOf(frames = 1): Buffer {
  const screen = Buffer.from('R0lGODlhAQABAIAAAAAAAP///w==', 'base64');
  const frame = Buffer.from('IfkEAQAAAAAsAAAAAAEAAQAAAgFEAA==', 'base64');
  return Buffer.concat([screen, ...Array.from({ length: frames }, () => frame), Buffer.from([0x3b])]);
}

/** One pixel each. */
export const WEBP = {
  lossy: Buffer.from('UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA', 'base64'),
  lossless: Buffer.from('UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==', 'base64'),
  extended: Buffer.from(
    'UklGRkoAAABXRUJQVlA4WAoAAAAQAAAAAAAAAAAAQUxQSAwAAAARBxAR/Q9ERP8DAABWUDggGAAAABQBAJ0BKgEAAQAAAP4AAA3AAP7mtQAAAA==',
    'base64',
  ),
  animated: Buffer.from(
    'UklGRlIAAABXRUJQVlA4WAoAAAASAAAAAAAAAAAAQU5JTQYAAAD/////AABBTk1GJgAAAAAAAAAAAAAAAAAAAGQAAABWUDhMDQAAAC8AAAAQBxAREYiI/gcA',
    'base64',
  ),
} as const;
