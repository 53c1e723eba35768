import type { ShadowGit } from './shadow-git.ts';
import { SnapshotError } from './snapshot-error.ts';

/**
 * A file by its path in a tree; undefined where there is none. Throws `SnapshotError` (`no_file`) where something else stands there or on
 * the way to it, a symbolic link too, and where it is longer than `maxBytes`.
 */
export function readFileOf(
  git: ShadowGit,
  tree: string,
  { path, maxBytes }: { readonly path: string; readonly maxBytes: number },
): Buffer | undefined {
  const names = path.split('/');
  let at = { mode: '040000', hash: tree, size: 0 };
  for (const [index, name] of names.entries()) {
    const found = entryOf(git, at.hash, name);
    if (found === undefined) return undefined;
    const wanted = index < names.length - 1 ? /^040000$/ : /^100(644|755)$/;
    if (!wanted.test(found.mode)) throw noFile(`${names.slice(1, index + 1).join('/')} is something else`);
    at = found;
  }
  if (at.size > maxBytes)
    throw noFile(`${names.slice(1).join('/')} has ${at.size} bytes, up to ${maxBytes} are read`);
  return git.blob(at.hash);
}

function entryOf(
  git: ShadowGit,
  tree: string,
  name: string,
): { mode: string; hash: string; size: number } | undefined {
  const listing = (git.run(['ls-tree', '-z', '--long', tree, name]) as Buffer).toString('latin1');
  const [, mode, hash, size] = /^(\d{6}) [a-z]+ ([0-9a-f]{40}) +(\d+|-)\t/.exec(listing) ?? [];
  return mode === undefined || hash === undefined ? undefined : { mode, hash, size: Number(size) || 0 };
}

function noFile(found: string): SnapshotError {
  return new SnapshotError('no_file', `A plain file was expected: ${found}.`);
}
