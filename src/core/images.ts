/** Which images of a log a model is shown: like the rest of a request, a pure function of the log. */
import { type Entry, type FilePart, filesOf, isImage } from './entry.ts';
import type { Failure } from './errors.ts';

export interface ImageLimits {
  /** Of one image. */
  readonly bytes: number;
  /** Of one image, in pixels, each way. */
  readonly edge: number;
  /** Images of one request, and their bytes together. */
  readonly perRequest: number;
  readonly requestBytes: number;
}

/**
 * What every provider takes. Anthropic: 5 MiB of base64 for each image, 8,000 pixels, with more than 20 images only 2,000;
 * 32 MB for a request, behind other clouds 20 MB. OpenAI takes more of each.
 */
export const IMAGE_LIMITS: ImageLimits = {
  bytes: (5 * 1024 * 1024 * 3) / 4,
  edge: 8_000,
  perRequest: 20,
  requestBytes: 12 * 1024 * 1024,
};

export interface ShownImages {
  readonly shown: ReadonlySet<FilePart>;
  /** How many images stand before them, and are only told of. */
  readonly dropped: number;
}

/**
 * The newest images of a log. Where they become too many the older half goes at once, so that requests keep their beginning
 * for a while, which providers' caches live on. Those that a provider refused, as a notice with them says, are over as well.
 */
export function shownImages(entries: readonly Entry[], limits: ImageLimits = IMAGE_LIMITS): ShownImages {
  let shown: FilePart[] = [];
  let seen = 0;
  for (const entry of entries) {
    if (entry.kind === 'notice' && entry.noted?.mentioned === undefined && entry.parts.some(isImage))
      shown = [];
    if (!showsImages(entry)) continue;
    for (const part of filesOf(entry.parts)) {
      seen += 1;
      shown.push(part);
      if (isTooMuch(shown, limits)) shown = newest(shown, limits);
    }
  }
  return { shown: new Set(shown), dropped: seen - shown.length };
}

/** Those of another notice are what the provider refused. */
export function showsImages(entry: Entry): boolean {
  if (entry.kind === 'notice') return entry.noted?.mentioned !== undefined;
  return entry.kind === 'tool_result' || entry.kind === 'user';
}

function isTooMuch(images: readonly FilePart[], { perRequest, requestBytes }: ImageLimits): boolean {
  return images.length > perRequest || bytesOf(images) > requestBytes;
}

/** The newest one in any case. */
function newest(images: readonly FilePart[], { perRequest, requestBytes }: ImageLimits): FilePart[] {
  let from = Math.max(0, images.length - Math.ceil(perRequest / 2));
  while (from < images.length - 1 && bytesOf(images.slice(from)) > requestBytes / 2) from += 1;
  return images.slice(from);
}

function bytesOf(images: readonly FilePart[]): number {
  return images.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Failures that a request may owe to what is in it. */
const REFUSALS = ['bad_request', 'context_overflow'];
/** Those that say nothing of what was sent, whatever their words are. */
const UNRELATED = ['rate_limited', 'provider_quota', 'provider_auth', 'provider_timeout'];
/** How servers say that a model takes no images, with whatever status. */
const SAYS_IMAGES = /\bimages?\b|image_url|multi-?modal|\bvision\b|mmproj/i;

/** Whether a request that had images in it may have failed for them: without them it is worth another try. */
export function mayBeForImages({ kind, code, message }: Failure): boolean {
  if (kind === 'cancelled' || kind === 'bug' || UNRELATED.includes(code)) return false;
  return REFUSALS.includes(code) || SAYS_IMAGES.test(message);
}

/** What the model is told before it answers without the images that the provider refused with these words. */
export function refusedImages(files: readonly FilePart[], { message }: Failure): string {
  const names = [...new Set(files.map(({ name }) => JSON.stringify(name)))].join(', ');
  return (
    `The provider of the model refused a request with these images, which are not shown from here on: ${names}. ${message} ` +
    'One that the work needs may be read again, changed where it may be the cause: converted to PNG, or made smaller.'
  );
}
