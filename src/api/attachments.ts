/** Files that come with what a person says: stored once, by content, before the commit that names them. */
import { ATTACHMENT_LIMITS } from '../core/attachments.ts';
import type { UserPart } from '../core/entry.ts';
import { putImage } from '../store/outputs.ts';
import { imageOutcome } from '../tools/image-outcome.ts';
import type { ToolImage } from '../tools/tool.ts';
import { kindOfFile } from '../workspace/file-kind.ts';
import type { ApiDeps } from './deps.ts';
import { badRequest, tooLarge } from './problem.ts';
import type { Attachments } from './wire-attachments.ts';

/** What was said to a session, and what came with it. Throws `ApiProblem` (`bad_attachment`, too large) with nothing stored. */
export async function saidParts(
  { db }: Pick<ApiDeps, 'db'>,
  sessionId: string,
  { text, attachments = [] }: { readonly text: string; readonly attachments?: Attachments | undefined },
): Promise<readonly UserPart[]> {
  const files = attachments.map((each, index) => readAttachment(each, `attachments.${index}`));
  const bytes = files.reduce((sum, file) => sum + file.bytes.length, 0);
  if (bytes > ATTACHMENT_LIMITS.total)
    throw tooLarge(
      `The attachments have ${bytes} bytes together, and at most ${ATTACHMENT_LIMITS.total} are accepted: attach fewer, or put them into the workspace.`,
      'attachments',
    );
  const parts = await Promise.all(
    files.map(async (file) => partOf(file, await putImage(db, sessionId, file.bytes))),
  );
  return [{ type: 'text', text }, ...parts];
}

type ReadFile =
  | { readonly kind: 'image'; readonly bytes: Buffer; readonly image: ToolImage }
  | {
      readonly kind: 'document';
      readonly bytes: Buffer;
      readonly name: string;
      readonly mediaType: 'application/pdf' | 'text/plain';
    };

function partOf(file: ReadFile, hash: string): UserPart {
  const bytes = file.bytes.length;
  if (file.kind === 'document')
    return { type: 'file', mediaType: file.mediaType, hash, name: file.name, bytes };
  const { name, mediaType, width, height } = file.image;
  return { type: 'file', mediaType, hash, name, bytes, width, height };
}

/** What it is, its bytes say: neither its name nor whoever sent it. */
function readAttachment({ name, data }: Attachments[number], field: string): ReadFile {
  const at = { name, field };
  const bytes = decoded(at, data);
  const kind = kindOfFile(bytes);
  switch (kind?.type) {
    case 'image': {
      const outcome = imageOutcome({ name, size: bytes.length, bytes });
      const [image] = outcome?.images ?? [];
      if (image === undefined) throw bad(at, `models do not take it ${outcome?.text ?? ''}`);
      return { kind: 'image', bytes, image };
    }
    case 'pdf':
      refuseLarge(at, bytes, ATTACHMENT_LIMITS.pdf);
      return { kind: 'document', bytes, name, mediaType: 'application/pdf' };
    default:
      // Two letters that begin a binary file may begin a text as well.
      if (!isText(bytes))
        throw bad(at, `it is ${kind?.name ?? 'neither an image, a PDF nor a text in UTF-8'}`);
      refuseLarge(at, bytes, ATTACHMENT_LIMITS.text);
      return { kind: 'document', bytes, name, mediaType: 'text/plain' };
  }
}

/** An attachment, and what of the request it is. */
interface Place {
  readonly name: string;
  readonly field: string;
}

function decoded(at: Place, data: string): Buffer {
  if (data.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(data)) throw bad(at, 'its data is no base64');
  const bytes = Buffer.from(data, 'base64');
  if (bytes.length === 0) throw bad(at, 'it is empty');
  return bytes;
}

function isText(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return !bytes.includes(0);
  } catch {
    return false;
  }
}

function refuseLarge({ name, field }: Place, { length }: Buffer, most: number): void {
  if (length > most)
    throw tooLarge(
      `The attachment ${JSON.stringify(name)} has ${length} bytes, and at most ${most} of its kind are accepted: put it into the workspace.`,
      field,
    );
}

function bad({ name, field }: Place, why: string) {
  return badRequest(
    'bad_attachment',
    `The attachment ${JSON.stringify(name)} cannot be used: ${why}. Attach an image (PNG, JPEG, GIF, WebP), a PDF or a text file.`,
    field,
  );
}
