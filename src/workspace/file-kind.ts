/** What a file is by its first bytes, where it is something that models and people know by name. */

export type FileKind =
  | { readonly type: 'pdf' }
  | {
      readonly type: 'image';
      readonly format: 'PNG' | 'JPEG' | 'GIF' | 'WebP';
      readonly size: ImageSize | undefined;
    }
  /** `name` with its article: `a ZIP archive`. */
  | { readonly type: 'binary'; readonly name: string };

/** In pixels. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Bytes from the start of a file that are enough to tell: a JPEG may carry a preview and a colour profile before its size. */
export const KIND_BYTES = 256 * 1024;

/** `latin`: bytes as characters. */
const BINARIES: readonly { readonly latin: string; readonly at?: number; readonly name: string }[] = [
  { latin: '\x7fELF', name: 'an ELF program or library' },
  { latin: 'MZ', name: 'a Windows program or library' },
  { latin: '\xcf\xfa\xed\xfe', name: 'a Mach-O program or library' },
  { latin: '\xca\xfe\xba\xbe', name: 'a Java class or a Mach-O program' },
  { latin: '\0asm', name: 'a WebAssembly module' },
  { latin: 'PK\x03\x04', name: 'a ZIP archive (or a document or package that is one)' },
  { latin: '\x1f\x8b', name: 'gzip data' },
  { latin: 'BZh', name: 'bzip2 data' },
  { latin: '\xfd7zXZ\0', name: 'xz data' },
  { latin: '(\xb5/\xfd', name: 'Zstandard data' },
  { latin: "7z\xbc\xaf'\x1c", name: 'a 7-Zip archive' },
  { latin: 'ustar', at: 257, name: 'a tar archive' },
  { latin: 'SQLite format 3\0', name: 'an SQLite database' },
  { latin: 'BM', name: 'a bitmap image' },
  { latin: 'II*\0', name: 'a TIFF image' },
  { latin: 'MM\0*', name: 'a TIFF image' },
  { latin: 'ftyp', at: 4, name: 'a video, or an image of its family' },
  { latin: 'OggS', name: 'an Ogg recording' },
  { latin: 'ID3', name: 'an MP3 recording' },
  { latin: 'wOF', name: 'a web font' },
  { latin: '\xff\xfe', name: 'UTF-16 text' },
  { latin: '\xfe\xff', name: 'UTF-16 text' },
];

/** Undefined: text, or nothing that is known. Signatures of two letters may begin a text: whoever asks has looked for that. */
export function kindOfFile(start: Uint8Array): FileKind | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.subarray(0, 5).toString('latin1') === '%PDF-') return { type: 'pdf' };
  const image = imageOf(bytes);
  if (image !== undefined) return image;
  const found = BINARIES.find(
    ({ latin, at = 0 }) => bytes.subarray(at, at + latin.length).toString('latin1') === latin,
  );
  return found === undefined ? undefined : { type: 'binary', name: found.name };
}

function imageOf(bytes: Buffer): FileKind | undefined {
  const text = (from: number, to: number) => bytes.subarray(from, to).toString('latin1');
  const image = (
    format: 'PNG' | 'JPEG' | 'GIF' | 'WebP',
    read: (bytes: Buffer) => ImageSize | undefined,
  ) => ({
    ...{ type: 'image' as const, format },
    size: sizeOrNone(() => read(bytes)),
  });
  if (text(0, 8) === '\x89PNG\r\n\x1a\n') return image('PNG', pngSize);
  if (text(0, 3) === '\xff\xd8\xff') return image('JPEG', jpegSize);
  if (/^GIF8[79]a$/.test(text(0, 6))) return image('GIF', gifSize);
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'WEBP') return image('WebP', webpSize);
  return undefined;
}

/** A file that ends too early has none. */
function sizeOrNone(read: () => ImageSize | undefined): ImageSize | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function pngSize(bytes: Buffer): ImageSize {
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}

function gifSize(bytes: Buffer): ImageSize {
  return { width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
}

/** Segments, each with its length, up to the one that begins a frame (SOF: C0 to CF without C4, C8 and CC). */
function jpegSize(bytes: Buffer): ImageSize | undefined {
  for (let at = 2; bytes.readUInt8(at) === 0xff; ) {
    const marker = bytes.readUInt8(at + 1);
    if (marker === 0xff) at += 1;
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: bytes.readUInt16BE(at + 7), height: bytes.readUInt16BE(at + 5) };
    } else at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}

/** Three forms: lossy, lossless, extended (RFC 9649). */
function webpSize(bytes: Buffer): ImageSize | undefined {
  switch (bytes.subarray(12, 16).toString('latin1')) {
    case 'VP8 ':
      return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
    case 'VP8L': {
      const bits = bytes.readUInt32LE(21);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case 'VP8X':
      return { width: bytes.readUIntLE(24, 3) + 1, height: bytes.readUIntLE(27, 3) + 1 };
    default:
      return undefined;
  }
}
