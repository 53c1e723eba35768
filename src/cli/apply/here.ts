import { constants, type Stats } from 'node:fs';
import { lstat, open, readlink } from 'node:fs/promises';
import type { Here } from './decide.ts';

/** What stands at a path, or what of its way there is no directory: nothing is followed. */
export type Found = Here | { readonly kind: 'blocked'; readonly by: string };

/** The bytes of an absolute path. */
export function placeOf(directory: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(path, 'latin1')]);
}

export async function readHere(directory: string, path: string): Promise<Found> {
  const names = path.split('/');
  for (let depth = 1; depth < names.length; depth += 1) {
    const above = names.slice(0, depth).join('/');
    const stats = await statsOf(placeOf(directory, above));
    if (stats === undefined) return { kind: 'none' };
    if (!stats.isDirectory()) return { kind: 'blocked', by: above };
  }
  return contentOf(placeOf(directory, path));
}

async function contentOf(place: Buffer): Promise<Here> {
  const stats = await statsOf(place);
  if (stats === undefined) return { kind: 'none' };
  if (stats.isDirectory()) return { kind: 'directory' };
  if (stats.isSymbolicLink()) return { kind: 'link', content: await readlink(place, { encoding: 'buffer' }) };
  if (!stats.isFile()) return { kind: 'other' };
  // What has become a pipe meanwhile is not waited for, and a link not followed.
  const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    return { kind: 'file', content: await file.readFile(), isExecutable: (stats.mode & 0o100) !== 0 };
  } finally {
    await file.close();
  }
}

async function statsOf(place: Buffer): Promise<Stats | undefined> {
  return lstat(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}

export function isUnchanged(seen: Found, now: Found): boolean {
  if (seen.kind === 'blocked' || now.kind === 'blocked') return seen.kind === now.kind;
  if (seen.kind !== now.kind) return false;
  if (seen.kind === 'file') return now.kind === 'file' && seen.content.equals(now.content);
  return seen.kind !== 'link' || (now.kind === 'link' && seen.content.equals(now.content));
}
