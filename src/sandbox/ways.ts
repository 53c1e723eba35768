/** Where paths lead, and which directories a user may pass through. */
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

export interface Who {
  readonly uid: number;
  readonly gid: number;
}

/** Throws at a path with a symlink in it: it could be led elsewhere by whoever writes beside it. */
export function checkPlaces(paths: readonly string[]): void {
  for (const path of paths) {
    const real = realpathSync.native(path);
    if (real !== path)
      throw new Error(`A command was given ${path}, which leads to ${real}; expected the real path.`);
  }
}

/** Throws with the first directory on the way to one of the paths that the user may not enter. */
export function checkWay(paths: readonly string[], runner: Who): void {
  const above = new Set(paths.flatMap(ancestors));
  for (const path of [...above].toSorted()) {
    if (mayEnter(path, runner)) continue;
    throw new Error(
      `Commands run as uid ${runner.uid} here, who may not enter ${path}; let others pass through it (chmod o+x), ` +
        'or put the data directory (CAPYBARA_DATA_DIR) where they may, such as /var/lib/capybara.',
    );
  }
}

/** Whether the user may enter a directory and all above it. */
export function mayReach(directory: string, runner: Who): boolean {
  return [directory, ...ancestors(directory)].every((path) => mayEnter(path, runner));
}

function mayEnter(path: string, runner: Who): boolean {
  const { uid, gid, mode } = statSync(path);
  const bit = uid === runner.uid ? 0o100 : gid === runner.gid ? 0o010 : 0o001;
  return (mode & bit) !== 0;
}

function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestors(parent)];
}
