import { readFileSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { CreateTask } from '../api/wire.ts';
import { ATTACHMENT_LIMITS } from '../core/attachments.ts';
import { messageOf, UserError } from '../core/errors.ts';

/**
 * The files that `--attach` names, as they are sent; `named`: what else names them. Throws `UserError` where one cannot be read, or they
 * are too many or too large.
 */
export function readAttached(
  paths: readonly string[],
  cwd: string,
  named = '--attach',
): NonNullable<CreateTask['attachments']> {
  if (paths.length > ATTACHMENT_LIMITS.files)
    throw bad(
      `${named} names ${paths.length} files, and at most ${ATTACHMENT_LIMITS.files} can be attached.`,
    );
  let left: number = ATTACHMENT_LIMITS.total;
  return paths.map((path) => {
    const name = named === '--attach' ? `--attach ${JSON.stringify(path)}` : JSON.stringify(path);
    const data = readOne(resolve(cwd, path), name, left);
    left -= data.length;
    return { name: nameOf(path), data: data.toString('base64') };
  });
}

function readOne(file: string, name: string, left: number): Buffer {
  const size = sizeOf(file, name);
  if (size > left)
    throw bad(
      `${name} is too large: attached files may have ${ATTACHMENT_LIMITS.total} bytes together. Put it into the workspace and name it with @.`,
    );
  try {
    return readFileSync(file);
  } catch (error) {
    throw unreadable(name, error);
  }
}

function sizeOf(file: string, name: string): number {
  try {
    const found = statSync(file);
    if (found.isFile()) return found.size;
  } catch (error) {
    throw unreadable(name, error);
  }
  throw bad(`${name} is not a file: name an image, a PDF or a text file.`);
}

/** As it may be sent. */
function nameOf(path: string): string {
  return basename(path)
    .replace(/\p{Cc}/gu, '_')
    .slice(0, ATTACHMENT_LIMITS.name);
}

function unreadable(name: string, error: unknown): UserError {
  const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  const why = isMissing ? 'there is no such file' : messageOf(error);
  return bad(`${name} cannot be read: ${why}.`);
}

function bad(message: string): UserError {
  return new UserError('attachment_invalid', message);
}
