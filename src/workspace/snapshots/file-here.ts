import { closeSync, fstatSync, readSync, type Stats } from 'node:fs';
import type { BytePath } from './byte-path.ts';
import type { StoredFile } from './file-node.ts';
import type { OpenDirectory } from './open-directory.ts';
import { namesOnly } from './pack-writer.ts';

/** What stands under a name of a directory. Nothing is followed; what cannot be read, or is longer than any file of a snapshot, is `other`. */
export type Here =
  | { readonly type: 'none' }
  | { readonly type: 'directory' }
  | { readonly type: 'file'; readonly file: StoredFile; readonly stats: Stats }
  | { readonly type: 'other' };

export function lookAt(at: OpenDirectory, name: BytePath, maxBytes: number): Here {
  const stats = at.statHere(name);
  if (stats === undefined) return { type: 'none' };
  if (stats.isDirectory()) return { type: 'directory' };
  try {
    if (stats.isSymbolicLink()) {
      const hash = namesOnly.put('blob', at.readLink(name));
      return { type: 'file', file: { type: 'file', mode: '120000', hash }, stats };
    }
    return (stats.isFile() && stats.size <= maxBytes && readFile(at, name)) || { type: 'other' };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return lookAt(at, name, maxBytes);
    if (['EACCES', 'EPERM', 'ELOOP', 'EINVAL', 'ENXIO'].includes(code)) return { type: 'other' };
    throw error;
  }
}

/** Whether it is still what was looked at: neither changed nor replaced. */
export function isStill(at: OpenDirectory, name: BytePath, seen: Stats): boolean {
  const now = at.statHere(name);
  const keys = ['ino', 'size', 'mode', 'mtimeMs', 'ctimeMs'] as const;
  return now !== undefined && keys.every((key) => now[key] === seen[key]);
}

/** Undefined where it became shorter meanwhile, or is no plain file any more. */
function readFile(at: OpenDirectory, name: BytePath): Here | undefined {
  const fd = at.openFile(name);
  try {
    const stats = fstatSync(fd);
    const hash = stats.isFile() ? hashOf(fd, stats.size) : undefined;
    const mode = (stats.mode & 0o100) === 0 ? '100644' : '100755';
    return hash === undefined ? undefined : { type: 'file', file: { type: 'file', mode, hash }, stats };
  } finally {
    closeSync(fd);
  }
}

function hashOf(fd: number, size: number): string | undefined {
  let isShorter = false;
  const hash = namesOnly.putLarge(size, (into) => {
    for (let done = 0; done < into.length; ) {
      const bytes = readSync(fd, into, done, into.length - done, null);
      if (bytes === 0) isShorter = true;
      if (bytes === 0) return;
      done += bytes;
    }
  });
  return isShorter ? undefined : hash;
}
