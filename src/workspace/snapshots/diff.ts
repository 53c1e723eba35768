import type { BytePath } from './byte-path.ts';
import { textOf } from './byte-path.ts';
import type { ShadowGit } from './shadow-git.ts';
import type { ChangedFile, DiffOptions, RootDiff } from './snapshots.ts';

/** Git knows the tree without entries, also where it was never written. */
export const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

const WORDS: Readonly<Record<string, ChangedFile['change']>> = {
  A: 'added',
  D: 'deleted',
  M: 'modified',
  T: 'modified',
  R: 'renamed',
};

/** What changed in the project's files of one root; nothing of version control's own. */
export function diffRoot(
  git: ShadowGit,
  { root, from, to }: { root: string; from: string | undefined; to: string | undefined },
  { renames = false, maxBytes }: DiffOptions & { maxBytes: number },
): RootDiff {
  const trees = [from ?? EMPTY_TREE, to ?? EMPTY_TREE];
  if (trees[0] === trees[1]) return { root, files: [], patch: new Uint8Array() };
  const how = ['-r', renames ? '-M' : '--no-renames', '--no-textconv', '--no-ext-diff'];
  const summary = git.run(['diff-tree', ...how, '--raw', '--numstat', '--no-abbrev', '-z', ...trees]);
  const args = ['diff-tree', ...how, '-p', '--binary', '--full-index', '--no-color', ...trees];
  const patch = git.run(args, { maxBytes });
  return { root, files: changedFiles((summary as Buffer).toString('latin1')), ...(patch && { patch }) };
}

/** From `--raw --numstat -z` (git-diff-tree(1)): first all raw records, then all counts, in one order. */
function changedFiles(summary: string): ChangedFile[] {
  const parts = summary.split('\0');
  const files: Omit<ChangedFile, 'added' | 'removed'>[] = [];
  let at = 0;
  for (; parts[at]?.startsWith(':'); at += 2) {
    const status = parts[at]?.split(' ')[4]?.[0] ?? '';
    const old: BytePath | undefined = status === 'R' ? parts[++at] : undefined;
    const path = parts[at + 1] ?? '';
    const change = WORDS[status] ?? 'modified';
    files.push({ path: textOf(path), change, ...(old !== undefined && { from: textOf(old) }) });
  }
  return files.map((file) => {
    const [added = '-', removed = '-', path = ''] = (parts[at] ?? '').split('\t');
    at += path === '' ? 3 : 1; // a rename has its two paths in records of their own
    return added === '-' ? file : { ...file, added: Number(added), removed: Number(removed) };
  });
}
