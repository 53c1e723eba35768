import { chmodSync, closeSync, constants, lchownSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { geteuid } from 'node:process';
import { type BytePath, joinBytes, type PathSet, systemPath } from './byte-path.ts';
import { type Directory, type FileNode, type StoredFile, sameNode } from './file-node.ts';
import type { OpenDirectory } from './open-directory.ts';
import { writeAll } from './pack-writer.ts';
import { removeEntry } from './remove.ts';
import type { ShadowGit } from './shadow-git.ts';
import { newDirectory } from './snapshot-tree.ts';

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export interface RestoreCounts {
  written: number;
  removed: number;
}

interface PendingFile {
  readonly directory: BytePath;
  readonly name: BytePath;
  readonly file: StoredFile;
}

interface RestoreOptions {
  readonly actual: Directory;
  readonly wanted: Directory;
  readonly leftOut: PathSet;
  /** `actual` is of files that were recorded, so that what no snapshot holds may stay in a directory that is as it should be. */
  readonly isKnown?: boolean;
}

/**
 * Makes a root what a snapshot says, from what a walk found in it. What no walk looks at (ignored files, and what the snapshot
 * itself left out) stays, unless it stands in the way of something that the snapshot holds.
 *
 * It may die at any moment: a file counts by its bytes, so that the next restore finds what is unfinished.
 */
export function restoreRoot(
  root: OpenDirectory,
  { actual, wanted, leftOut, isKnown = false }: RestoreOptions,
  git: ShadowGit,
): RestoreCounts {
  const restore = new Restore(leftOut, isKnown);
  restore.directory(root, { path: '', actual, wanted });
  restore.writeFiles(root, git);
  return restore.counts;
}

class Restore {
  readonly counts: RestoreCounts = { written: 0, removed: 0 };
  readonly #leftOut: PathSet;
  readonly #isKnown: boolean;
  readonly #pending: PendingFile[] = [];

  constructor(leftOut: PathSet, isKnown: boolean) {
    this.#leftOut = leftOut;
    this.#isKnown = isKnown;
  }

  directory(
    at: OpenDirectory,
    { path, actual, wanted }: { path: BytePath; actual: Directory; wanted: Directory },
  ): void {
    for (const [name, node] of actual.children) {
      if (!wanted.children.has(name)) this.#remove(at, { name, path: joinBytes(path, name), node });
    }
    for (const [name, node] of wanted.children) {
      const inner = joinBytes(path, name);
      const old = actual.children.get(name);
      if (this.#isKnown && sameNode(old, node)) continue;
      if (node.type === 'directory') this.#makeDirectory(at, { name, path: inner, old, wanted: node });
      else if (node.type === 'file') this.#makeFile(at, { name, path, old, file: node });
    }
  }

  #remove(at: OpenDirectory, { name, path, node }: { name: BytePath; path: BytePath; node: FileNode }): void {
    if (node.type === 'left_out' && (this.#leftOut.has(path) || this.#leftOut.hasBelow(path))) return;
    if (node.type === 'directory' && node.partial) {
      const inner = at.child(name);
      try {
        this.directory(inner, { path, actual: node, wanted: newDirectory() });
      } finally {
        inner.close();
      }
      return;
    }
    removeEntry(at, name);
    this.counts.removed += 1;
  }

  #makeDirectory(
    at: OpenDirectory,
    {
      name,
      path,
      old,
      wanted,
    }: { name: BytePath; path: BytePath; old: FileNode | undefined; wanted: Directory },
  ): void {
    const there = at.statHere(name);
    if (!there?.isDirectory()) {
      if (there !== undefined) removeEntry(at, name);
      mkdirSync(systemPath(at.at(name)), { mode: 0o777 });
      giveToOwner(at, name);
      this.counts.written += 1;
    }
    const inner = at.child(name);
    try {
      const actual = there?.isDirectory() && old?.type === 'directory' ? old : newDirectory();
      this.directory(inner, { path, actual, wanted });
    } finally {
      inner.close();
    }
  }

  #makeFile(
    at: OpenDirectory,
    {
      name,
      path,
      old,
      file,
    }: { name: BytePath; path: BytePath; old: FileNode | undefined; file: StoredFile },
  ): void {
    if (old?.type === 'file' && old.hash === file.hash && old.mode === file.mode) return;
    this.counts.written += 1;
    const sameBytes = old?.type === 'file' && old.hash === file.hash;
    if (sameBytes && old.mode !== '120000' && file.mode !== '120000') {
      const bits = (at.statHere(name)?.mode ?? 0) & 0o777;
      chmodSync(
        systemPath(at.at(name)),
        file.mode === '100755' ? bits | ((bits & 0o444) >> 2) | 0o100 : bits & 0o666,
      );
      return;
    }
    if (at.statHere(name) !== undefined) removeEntry(at, name);
    this.#pending.push({ directory: path, name, file });
  }

  /** Each blob is asked for once, and goes to all places that hold it. */
  writeFiles(root: OpenDirectory, git: ShadowGit): void {
    const places = Map.groupBy(this.#pending, ({ file }) => file.hash);
    git.blobs([...places.keys()], (hash, content) => {
      for (const pending of places.get(hash) ?? []) {
        within(root, pending.directory, (at) => writeFile(at, pending, { content, git }));
      }
    });
  }
}

function writeFile(
  at: OpenDirectory,
  { name, file }: PendingFile,
  { content, git }: { content: Buffer | undefined; git: ShadowGit },
): void {
  if (file.mode === '120000') {
    symlinkSync(content ?? git.blob(file.hash), systemPath(at.at(name)));
  } else {
    const fd = openSync(systemPath(at.at(name)), CREATE, file.mode === '100755' ? 0o777 : 0o666);
    try {
      if (content === undefined) git.blobTo(file.hash, fd);
      else writeAll(fd, content, null);
    } finally {
      closeSync(fd);
    }
  }
  giveToOwner(at, name);
}

/** What root makes in a directory of an agent's belongs to the agent. */
function giveToOwner(at: OpenDirectory, name: BytePath): void {
  if (geteuid?.() !== 0) return;
  const { uid, gid } = at.own();
  lchownSync(systemPath(at.at(name)), uid, gid);
}

function within(root: OpenDirectory, path: BytePath, use: (at: OpenDirectory) => void): void {
  const [name, ...rest] = path === '' ? [] : path.split('/');
  if (name === undefined) {
    use(root);
    return;
  }
  const inner = root.child(name);
  try {
    within(inner, rest.join('/'), use);
  } finally {
    inner.close();
  }
}
