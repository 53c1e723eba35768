import { constants } from 'node:fs';
import { access, type FileHandle, lstat, open } from 'node:fs/promises';
import { geteuid } from 'node:process';
import { messageOf } from '../core/errors.ts';
import { type FileKind, kindOfFile } from './file-kind.ts';
import { holdFile, placeOf, type RealPath } from './held-directories.ts';

/** Larger files are for `grep` and for commands, not for a model to read whole. */
export const MAX_FILE_BYTES = 10 * 1024 * 1024;

/** A file that cannot be read or written as text. The message names it as it was asked for, and what to do instead. */
export class FileError extends Error {
  override readonly name = 'FileError';
  /** Whether there is no such file; else it is there and cannot be used. */
  readonly missing: boolean;
  constructor(message: string, missing = false) {
    super(message);
    this.missing = missing;
  }
}

/** A file by its real path, and by the name that messages use for it. */
export interface NamedFile extends RealPath {
  readonly shown: string;
}

/** Where a file is: in a directory that is held open. */
export type Place = string | Buffer;

/** The whole text of a UTF-8 file; a byte order mark stays its first character. Throws `FileError`. */
export async function readTextFile(file: NamedFile): Promise<string> {
  const bytes = await withRegularFile(file, async (handle, size) => {
    if (size > MAX_FILE_BYTES) {
      throw new FileError(
        `'${file.shown}' has ${size} bytes, more than the ${MAX_FILE_BYTES} that can be read; look into it with grep, or with bash (head, sed -n).`,
      );
    }
    return await handle.readFile();
  });
  return decodeText(bytes, file.shown);
}

/** The first `maxBytes` bytes of a file, whether there is more, and how many there are. Throws `FileError`. */
export async function readStart(
  file: NamedFile,
  maxBytes: number,
): Promise<{ bytes: Buffer; more: boolean; size: number }> {
  return withRegularFile(file, async (handle, size) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(maxBytes), 0, maxBytes, 0);
    return { bytes: buffer.subarray(0, bytesRead), more: size > bytesRead, size };
  });
}

/** The bytes of a text that may be written. Throws `FileError`. */
export function encodeText(text: string, shown: string): Buffer {
  if (!text.isWellFormed())
    throw new FileError(`'${shown}' was not written: the text holds half a surrogate pair.`);
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_FILE_BYTES) return bytes;
  throw new FileError(
    `'${shown}' was not written: the text has ${bytes.length} bytes, more than the ${MAX_FILE_BYTES} that are allowed.`,
  );
}

/** What a file that takes another's place takes over from it. */
export interface OldFile {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Undefined where there is no file; throws where it may not be written, or is none. */
export async function oldFileOf(file: NamedFile): Promise<OldFile | undefined> {
  let held: ReturnType<typeof holdFile> | undefined;
  try {
    held = holdFile(file);
    return await oldFileAt(placeOf(held), file.shown);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  } finally {
    held?.directory.close();
  }
}

export async function oldFileAt(place: Place, shown: string): Promise<OldFile | undefined> {
  const found = await lstat(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  if (!found.isFile()) throw notRegular(shown, found.isDirectory());
  // A rename would replace a read-only file without asking.
  await access(place, constants.W_OK);
  return found;
}

/** `mode`: left out, the usual one. */
export interface NewFile {
  readonly bytes: Buffer;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly mode?: number;
}

/** Where root makes it, it belongs to `owner`. */
export async function fillNew(place: Place, { bytes, owner, mode }: NewFile): Promise<void> {
  const handle = await open(place, 'wx');
  try {
    await handle.writeFile(bytes);
    if (geteuid?.() === 0) await handle.chown(owner.uid, owner.gid);
    if (mode !== undefined) await handle.chmod(mode & 0o7777);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Throws `FileError` where it is none. O_NONBLOCK: opening a FIFO must not wait for its writer. O_NOFOLLOW: the path was resolved; a link there now is a trick. */
export async function withRegularFile<T>(
  file: NamedFile,
  use: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  let held: ReturnType<typeof holdFile> | undefined;
  let handle: FileHandle | undefined;
  try {
    held = holdFile(file);
    handle = await open(placeOf(held), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const found = await handle.stat();
    if (!found.isFile()) throw notRegular(file.shown, found.isDirectory());
    return await use(handle, found.size);
  } catch (error) {
    throw explainFileError(error, file.shown, 'read');
  } finally {
    await handle?.close();
    held?.directory.close();
  }
}

function notRegular(shown: string, isDirectory: boolean): FileError {
  if (isDirectory) return new FileError(`'${shown}' is a directory; use list_dir for it, or name a file.`);
  return new FileError(`'${shown}' is not a regular file (a pipe, socket or device).`);
}

function decodeText(bytes: Buffer, shown: string): string {
  if (bytes.includes(0)) throw binary(shown, bytes, 'it contains NUL bytes');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw binary(shown, bytes, 'it is not valid UTF-8');
  }
}

function binary(shown: string, bytes: Buffer, reason: string): FileError {
  const kind = kindOfFile(bytes);
  const what = kind === undefined ? '' : `it is ${nameOf(kind)}; `;
  return new FileError(
    `'${shown}' is not a text file that can be read or edited: ${what}${reason} (${bytes.length} bytes). Look at it with bash, for example with file, xxd or iconv.`,
  );
}

function nameOf(kind: FileKind): string {
  if (kind.type === 'pdf') return 'a PDF';
  return kind.type === 'image' ? `an image (${kind.format})` : kind.name;
}

/** The error of a file operation as a model can use it. */
export function explainFileError(error: unknown, shown: string, act: 'read' | 'written'): Error {
  if (error instanceof FileError) return error;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return new FileError(`'${shown}' does not exist; list_dir and glob show what there is.`, true);
    case 'ENOTDIR':
    case 'EEXIST':
      return new FileError(`'${shown}' cannot be ${act}: a part of its path is a file, not a directory.`);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new FileError(`'${shown}' cannot be ${act}: permission denied.`);
    case 'ENXIO':
      return new FileError(`'${shown}' is not a regular file (a pipe, socket or device).`);
    default:
      return new FileError(`'${shown}' cannot be ${act}: ${messageOf(error)}`);
  }
}
