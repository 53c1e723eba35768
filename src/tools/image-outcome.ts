/** What a model is given of an image: the image itself where providers take it, else why not. */
import { IMAGE_LIMITS } from '../core/images.ts';
import { type FileKind, kindOfFile } from '../workspace/file-kind.ts';
import { ANIMATED, imageFault } from '../workspace/image-fault.ts';
import type { ToolImage, ToolOutcome } from './tool.ts';

type ImageKind = Extract<FileKind, { type: 'image' }>;

export interface ImageFile {
  readonly name: string;
  /** Of the whole. */
  readonly size: number;
  /** The whole where it is within the limits, else its beginning. */
  readonly bytes: Buffer;
}

const MEDIA_TYPES = { PNG: 'image/png', JPEG: 'image/jpeg', GIF: 'image/gif', WebP: 'image/webp' } as const;

/** Undefined: it is no image, whatever its name says. */
export function imageOutcome({ name, size, bytes }: ImageFile): ToolOutcome | undefined {
  const kind = kindOfFile(bytes);
  if (kind?.type !== 'image') return undefined;
  const what = `${name} is an image: ${kind.format}, ${pixelsOf(kind)}, ${size} bytes`;
  const { width = 0, height = 0 } = kind.size ?? {};
  const why = whyNotShown(kind, { size, bytes });
  if (why !== undefined) return { text: `(${what}. It is not shown: ${why}.)` };
  const image: ToolImage = { name, mediaType: MEDIA_TYPES[kind.format], bytes, width, height };
  return { text: `(${what}.)`, images: [image] };
}

function pixelsOf({ size }: ImageKind): string {
  return size === undefined ? 'whose size cannot be told' : `of ${size.width} x ${size.height} pixels`;
}

function whyNotShown(
  { format, size: pixels }: ImageKind,
  { size, bytes }: Pick<ImageFile, 'size' | 'bytes'>,
): string | undefined {
  const { bytes: most, edge } = IMAGE_LIMITS;
  if (size > most)
    return `models take at most ${most} bytes. Make a smaller copy with a command, and read that`;
  const fault = imageFault(format, bytes);
  if (fault === ANIMATED) return 'it is animated. Make a PNG of one frame with a command, and read that';
  if (fault !== undefined) return `it ${fault}. Commands can look into it`;
  if (pixels === undefined || pixels.width < 1 || pixels.height < 1)
    return 'it is damaged: it tells no size. Commands can look into it';
  if (Math.max(pixels.width, pixels.height) <= edge) return undefined;
  return `models take at most ${edge} pixels each way. Make a smaller copy with a command, and read that`;
}
