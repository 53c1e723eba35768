import { lstat, readlink, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { messageOf } from '../core/errors.ts';
import { WorkspacePathError } from './workspace.ts';

/** As many symlinks as Linux follows before it answers ELOOP. */
const MAX_SYMLINKS = 40;

export interface ResolveOptions {
  /** Another name of the root, wherever that may lead just now. */
  readonly shown?: string;
  /** Other directories in which it may lie, real. */
  readonly also?: readonly string[] | undefined;
}

/**
 * The real path that `path` means for the kernel, from `root` (itself real) where it is relative. Parts that do not exist
 * stay as they are written, so a file that is to be created has a path too.
 *
 * It walks by hand because `realpath` gives up at the first part that is missing: a dangling symlink that points out of the
 * root would pass for a new file in it.
 */
export async function resolveInside(
  root: string,
  path: string,
  { shown = root, also = [] }: ResolveOptions = {},
): Promise<string> {
  if (path.includes('\0')) throw new WorkspacePathError('The path contains a NUL character.');
  const meant = (text: string) => (isWithin(shown, text) ? root + text.slice(shown.length) : text);
  const pending = meant(path).split(sep).reverse();
  let current = isAbsolute(path) ? sep : root;
  let symlinks = 0;
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      current = dirname(current);
      continue;
    }
    const next = join(current, part);
    const target = await linkTarget(next, path);
    if (target === undefined) {
      current = next;
      continue;
    }
    symlinks += 1;
    if (symlinks > MAX_SYMLINKS) throw new WorkspacePathError(`'${path}' is a loop of symbolic links.`);
    if (isAbsolute(target)) current = sep;
    pending.push(...meant(target).split(sep).reverse());
  }
  if (![root, ...also].some((directory) => isWithin(directory, current))) {
    throw new WorkspacePathError(`'${path}' is outside the workspace ${shown}; use a path inside it.`);
  }
  return current;
}

/** Whether `path` is `directory` or below it. Both absolute and real. */
export function isWithin(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

/** Whether something is there, and leads by a symbolic link out of the directory. `path` is relative to it. */
export async function linkedOutside(directory: string, path: string): Promise<boolean> {
  const [root, real] = await Promise.all([directory, join(directory, path)].map(orAbsent));
  return root !== undefined && real !== undefined && !isWithin(root, real);
}

async function orAbsent(path: string): Promise<string | undefined> {
  return realpath(path).catch(() => undefined);
}

/** Where the symlink points; undefined where there is none, or nothing at all. */
async function linkTarget(path: string, asked: string): Promise<string | undefined> {
  try {
    const found = await lstat(path);
    return found.isSymbolicLink() ? await readlink(path) : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new WorkspacePathError(`'${asked}' cannot be looked up: ${messageOf(error)}`);
  }
}
