/**
 * Whether an image is whole and of a kind that providers decode. One that they cannot is refused with the whole request, so
 * what can be told without decoding is told before: structure, checksums, both ends.
 */
import { crc32 } from 'node:zlib';

type Format = 'PNG' | 'JPEG' | 'GIF' | 'WebP';

/** What is wrong, to be read behind "it". Undefined: nothing that can be seen without decoding it. */
export function imageFault(format: Format, bytes: Buffer): string | undefined {
  try {
    return FAULTS[format](bytes);
  } catch (error) {
    if (error instanceof RangeError) return ENDS_EARLY;
    throw error;
  }
}

const ENDS_EARLY = 'ends too early';
/** Not every provider takes those. */
export const ANIMATED = 'is animated';

const FAULTS: Readonly<Record<Format, (bytes: Buffer) => string | undefined>> = {
  PNG: pngFault,
  JPEG: jpegFault,
  GIF: gifFault,
  WebP: webpFault,
};

/** Chunks, each with its length and checksum, from IHDR to IEND. */
function pngFault(bytes: Buffer): string | undefined {
  let hasPixels = false;
  for (let at = 8; ; ) {
    const end = at + 8 + bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(at + 4, end))) {
      return `is damaged: the checksum of its chunk ${JSON.stringify(type)} is wrong`;
    }
    if (at === 8 && type !== 'IHDR') return 'is damaged: it does not begin with its header';
    hasPixels ||= type === 'IDAT';
    if (type === 'IEND') return hasPixels ? undefined : 'has no pixels';
    at = end + 4;
  }
}

const JPEG_END = Buffer.from([0xff, 0xd9]);
/** Baseline, extended, progressive: what decoders for the web know. */
const JPEG_FRAMES = [0xc0, 0xc1, 0xc2];

/** Segments, each with its length, up to the first scan; then data, and the mark of the end. */
function jpegFault(bytes: Buffer): string | undefined {
  let hasFrame = false;
  for (let at = 2; ; ) {
    if (bytes.readUInt8(at) !== 0xff) return 'is damaged: a segment does not begin where it should';
    const marker = bytes.readUInt8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    hasFrame ||= JPEG_FRAMES.includes(marker);
    at += 2 + bytes.readUInt16BE(at + 2);
    if (marker !== 0xda) continue;
    if (!hasFrame) return 'is of a kind of JPEG that is not for the web';
    return bytes.lastIndexOf(JPEG_END) < at ? ENDS_EARLY : undefined;
  }
}

/** Blocks, up to the trailer. */
function gifFault(bytes: Buffer): string | undefined {
  let frames = 0;
  for (let at = 13 + colourTable(bytes.readUInt8(10)); ; ) {
    const block = bytes.readUInt8(at);
    if (block === 0x3b) return frames === 0 ? 'has no pixels' : undefined;
    if (block === 0x21) at = behindSubBlocks(bytes, at + 2);
    else if (block === 0x2c) {
      frames += 1;
      if (frames > 1) return ANIMATED;
      at = behindSubBlocks(bytes, at + 11 + colourTable(bytes.readUInt8(at + 9)));
    } else return 'is damaged: a block does not begin where it should';
  }
}

/** Its bytes, as the flags of a screen or a frame tell. */
function colourTable(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1);
}

function behindSubBlocks(bytes: Buffer, from: number): number {
  let at = from;
  for (let length = bytes.readUInt8(at); length > 0; length = bytes.readUInt8(at)) at += 1 + length;
  return at + 1;
}

/** Chunks within one that tells the length of all (RFC 9649). */
function webpFault(bytes: Buffer): string | undefined {
  const end = 8 + bytes.readUInt32LE(4);
  if (end > bytes.length) return ENDS_EARLY;
  for (let at = 12; at < end; ) {
    const type = bytes.toString('latin1', at, at + 4);
    const next = at + 8 + bytes.readUInt32LE(at + 4);
    if (next > end) return ENDS_EARLY;
    if (type === 'VP8X' && (bytes.readUInt8(at + 8) & 2) !== 0) return ANIMATED;
    if (type === 'VP8 ') return keyFrameFault(bytes.subarray(at + 8, next));
    if (type === 'VP8L')
      return bytes.readUInt8(at + 8) === 0x2f ? undefined : 'is damaged: it has no first frame';
    at = next + (next % 2);
  }
  return 'has no pixels';
}

function keyFrameFault(frame: Buffer): string | undefined {
  return frame.readUIntBE(3, 3) === 0x9d012a ? undefined : 'is damaged: it has no first frame';
}
