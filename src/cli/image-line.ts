import type { FilePart } from '../api/wire.ts';
import { oneLine } from './untrusted-text.ts';

const NAME_LENGTH = 72;

/** `[image: shot.png, 800×600, 123 kB]`; of what is no image, `[file: …]`. */
export function imageLine({ name, width, height, bytes }: FilePart): string {
  const isImage = width !== undefined && height !== undefined;
  const size = isImage ? `${width}×${height}, ${sizeOf(bytes)}` : sizeOf(bytes);
  return `[${isImage ? 'image' : 'file'}: ${oneLine(name, NAME_LENGTH)}, ${size}]`;
}

/** Units of a thousand. */
const UNITS = ['kB', 'MB', 'GB'];

export function sizeOf(bytes: number): string {
  let size = bytes;
  let unit = 'bytes';
  for (const next of UNITS) {
    if (size < 999.5) break;
    size /= 1_000;
    unit = next;
  }
  const shown = unit === 'bytes' || size >= 9.95 ? Math.round(size) : Number(size.toFixed(1));
  return `${shown} ${unit}`;
}
