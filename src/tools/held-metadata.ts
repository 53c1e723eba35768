/**
 * What of a user's own repository decides which programs their next git or hg command runs, unconfined: no command of an agent may
 * change it. A repository that an agent makes, and those of submodules, are not among it.
 */
import { lchownSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { geteuid } from 'node:process';

export interface HeldFiles {
  /** What is mounted cannot be moved away: the directories that hold the others. */
  readonly writable: readonly string[];
  readonly readable: readonly string[];
  /** Not there, and not to be there when a command has ended. */
  readonly absent: readonly string[];
}

/** `root`: real and absolute. */
export function heldFor(root: string): HeldFiles {
  const all = [heldOfGit(join(root, '.git')), heldOfMercurial(join(root, '.hg'))];
  return {
    writable: all.flatMap(({ writable }) => writable),
    readable: all.flatMap(({ readable }) => readable),
    absent: all.flatMap(({ absent }) => absent),
  };
}

const NOTHING: HeldFiles = { writable: [], readable: [], absent: [] };

/** A file that names another directory would, put there, have git take its settings and hooks from that: `commondir`. */
function heldOfGit(directory: string): HeldFiles {
  const kind = kindOf(directory);
  // Of a worktree it is a file, which says where the repository is.
  if (kind === 'file') return { ...NOTHING, readable: [directory] };
  if (kind !== 'directory' || kindOf(join(directory, 'HEAD')) === undefined) return NOTHING;
  make(join(directory, 'hooks'), 'directory');
  const hasMore = /worktreeconfig/i.test(textOf(join(directory, 'config')));
  if (hasMore) make(join(directory, 'config.worktree'), 'file');
  const held = holding(directory, ['config', 'config.worktree', 'hooks', 'commondir']);
  const common = join(directory, 'commondir');
  return kindOf(common) === undefined ? { ...held, absent: [common] } : held;
}

/** `requires` says whether a repository takes its settings from another (`shared`), or from more files (`share-safe`). */
function heldOfMercurial(directory: string): HeldFiles {
  if (kindOf(directory) !== 'directory') return NOTHING;
  make(join(directory, 'hgrc'), 'file');
  const hasMore = /^share-safe$/m.test(textOf(join(directory, 'requires')));
  if (hasMore) make(join(directory, 'hgrc-not-shared'), 'file');
  return holding(directory, ['hgrc', 'hgrc-not-shared', 'requires', 'sharedpath']);
}

function holding(directory: string, names: readonly string[]): HeldFiles {
  const readable = names.map((name) => join(directory, name)).filter((path) => kindOf(path) !== undefined);
  return { writable: readable.length === 0 ? [] : [directory], readable, absent: [] };
}

/** Nothing that is linked elsewhere is mounted: the link itself could be replaced. */
function kindOf(path: string): 'file' | 'directory' | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return 'directory';
  return found?.isFile() ? 'file' : undefined;
}

function textOf(path: string): string {
  try {
    return kindOf(path) === 'file' ? readFileSync(path, 'utf8') : '';
  } catch {
    // Its owner may not read it: nor will their git.
    return '';
  }
}

/** Empty, which is as good as none: so that it can be mounted. */
function make(path: string, kind: 'file' | 'directory'): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  try {
    if (kind === 'directory') mkdirSync(path);
    else writeFileSync(path, '', { flag: 'wx' });
    const { uid, gid } = lstatSync(dirname(path));
    if (geteuid?.() === 0) lchownSync(path, uid, gid);
  } catch {
    // Where its owner may not write, no command may either.
  }
}
