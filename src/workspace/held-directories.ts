/**
 * The way to a file of a workspace, directory by directory from its root, each held open and entered only where it is no symbolic
 * link. A resolved path says where its links led a moment ago: a background command may have put another in since, and this
 * process may read and write what no command may.
 */
import { lchownSync, mkdirSync, rmdirSync } from 'node:fs';
import { basename, dirname, relative, sep } from 'node:path';
import { geteuid } from 'node:process';
import { type BytePath, bytesOf, systemPath } from './snapshots/byte-path.ts';
import { OpenDirectory } from './snapshots/open-directory.ts';

/** A path whose links were resolved, in a root whose own path no agent can change. Both absolute. */
export interface RealPath {
  readonly root: string;
  readonly path: string;
}

/** The directory itself. The caller closes it. Throws what the system does. */
export function holdDirectory({ root, path }: RealPath): OpenDirectory {
  let held = OpenDirectory.open(bytesOf(root));
  for (const name of namesOf(relative(root, path))) {
    const above = held;
    try {
      held = above.child(name);
    } finally {
      above.close();
    }
  }
  return held;
}

/** The directory of a file, and the file's name in it. */
export function holdFile({ root, path }: RealPath): { directory: OpenDirectory; name: BytePath } {
  if (path === root) return { directory: holdDirectory({ root, path }), name: '.' };
  return { directory: holdDirectory({ root, path: dirname(path) }), name: bytesOf(basename(path)) };
}

/** Where the file is, for functions that do not follow what stands there. */
export function placeOf({ directory, name }: ReturnType<typeof holdFile>): string | Buffer {
  return systemPath(directory.at(name));
}

function namesOf(path: string): BytePath[] {
  return bytesOf(path)
    .split(sep)
    .filter((name) => name !== '');
}

/** Those of several files, until `close`. */
export class HeldDirectories {
  readonly #held = new Map<string, OpenDirectory>();
  readonly #made: { readonly above: OpenDirectory; readonly name: BytePath }[] = [];

  /** As `holdFile`; directories that are missing are made. Where root makes them they belong to whom the directory above does. */
  file({ root, path }: RealPath): ReturnType<typeof holdFile> {
    if (path === root) return { directory: this.#directory({ root, path }), name: '.' };
    return { directory: this.#directory({ root, path: dirname(path) }), name: bytesOf(basename(path)) };
  }

  #directory({ root, path }: RealPath): OpenDirectory {
    const known = this.#held.get(path);
    if (known !== undefined) return known;
    const held =
      path === root
        ? OpenDirectory.open(bytesOf(root))
        : this.#child(this.#directory({ root, path: dirname(path) }), bytesOf(basename(path)));
    this.#held.set(path, held);
    return held;
  }

  #child(above: OpenDirectory, name: BytePath): OpenDirectory {
    if (above.statHere(name) === undefined) {
      mkdirSync(systemPath(above.at(name)));
      this.#made.push({ above, name });
      const { uid, gid } = above.own();
      if (geteuid?.() === 0) lchownSync(systemPath(above.at(name)), uid, gid);
    }
    return above.child(name);
  }

  /** One that somebody has put something into meanwhile stays. */
  removeMade(): void {
    for (const { above, name } of this.#made.toReversed()) {
      try {
        rmdirSync(systemPath(above.at(name)));
      } catch {
        // It is not empty, or gone.
      }
    }
  }

  close(): void {
    for (const held of this.#held.values()) held.close();
    this.#held.clear();
  }
}
