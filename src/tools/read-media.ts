/** What a model is given of a file that is no text: the text of a PDF, an image. */
import { IMAGE_LIMITS } from '../core/images.ts';
import { KIND_BYTES, kindOfFile } from '../workspace/file-kind.ts';
import { PDF_LIMITS, readPdf } from '../workspace/pdf-text.ts';
import { FileError, type NamedFile, readStart } from '../workspace/text-file.ts';
import { imageOutcome } from './image-outcome.ts';
import type { ToolOutcome } from './tool.ts';

/** Enough to see that a file is a PDF or an image. */
const SIGNATURE_BYTES = 64;

/** In pages, of a PDF. */
export interface PageRange {
  readonly offset: number;
  readonly limit: number | undefined;
}

/** Undefined: the file is neither a PDF nor an image. Throws `FileError`. */
export async function readMedia(
  file: NamedFile,
  range: PageRange,
  signal: AbortSignal,
): Promise<ToolOutcome | undefined> {
  const start = await readStart(file, SIGNATURE_BYTES);
  const kind = kindOfFile(start.bytes);
  if (kind?.type === 'pdf') return pdf(file, range, signal);
  if (kind?.type !== 'image') return undefined;
  // Of one that is too large no more is read than tells its size.
  const { bytes, size } = await readStart(file, start.size > IMAGE_LIMITS.bytes ? KIND_BYTES : start.size);
  return imageOutcome({ name: file.shown, bytes, size });
}

async function pdf(file: NamedFile, { offset, limit }: PageRange, signal: AbortSignal): Promise<ToolOutcome> {
  const range = { first: offset, count: limit ?? PDF_LIMITS.pages };
  const { total, pages } = await readPdf(file, range, { signal });
  if (offset > total)
    throw new FileError(`'${file.shown}' is a PDF of ${total} pages; there is no page ${offset}.`);
  const last = offset + pages.length - 1;
  const texts = pages.map(
    (page, index) =>
      `--- page ${offset + index} ---\n${page.trim() === '' ? '(no text: perhaps an image)' : page}`,
  );
  const more = last < total ? `; go on with offset ${last + 1}` : '';
  return { text: `${texts.join('\n')}\n(PDF, pages ${offset} to ${last} of ${total}${more})` };
}
