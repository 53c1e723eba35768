/** Which version control a directory is under: by what lies there, without running any of them. */
import { lstat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Workspace } from './workspace.ts';

export type VersionControlName = 'git' | 'hg' | 'svn' | 'fossil' | 'jj';

export interface WorkingCopy {
  readonly name: VersionControlName;
  /** Its root, absolute. */
  readonly directory: string;
}

/**
 * What marks the root of a working copy, the most specific first: jj often lives beside a git directory. `.git` is a file in
 * worktrees and submodules, and `_FOSSIL_` the name where dot-files are not liked.
 */
const MARKERS: readonly (readonly [string, VersionControlName])[] = [
  ['.jj', 'jj'],
  ['.git', 'git'],
  ['.hg', 'hg'],
  ['.svn', 'svn'],
  ['.fslckout', 'fossil'],
  ['_FOSSIL_', 'fossil'],
];

/** The nearest marker, upwards from the root; a managed workspace is no part of what lies around it. */
export async function findWorkingCopy({
  root,
  kind,
}: Pick<Workspace, 'root' | 'kind'>): Promise<WorkingCopy | undefined> {
  for (let directory = root; ; directory = dirname(directory)) {
    const isLast = kind !== 'local' || directory === dirname(directory);
    for (const [marker, name] of MARKERS) {
      if (!(await exists(join(directory, marker)))) continue;
      return { name, directory: name === 'svn' && !isLast ? await topOfSvn(directory) : directory };
    }
    if (isLast) return undefined;
  }
}

/** Before 1.7 Subversion marked every directory of a working copy, and had no database. */
async function topOfSvn(directory: string): Promise<string> {
  const above = dirname(directory);
  const isOld = !(await exists(join(directory, '.svn', 'wc.db')));
  return isOld && above !== directory && (await exists(join(above, '.svn'))) ? topOfSvn(above) : directory;
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
