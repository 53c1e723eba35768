import { type BytePath, bytesOf, PathSet, textOf } from './byte-path.ts';
import type { Directory, FileNode } from './file-node.ts';
import { OpenDirectory } from './open-directory.ts';
import { SnapshotError } from './snapshot-error.ts';
import { type Manifest, snapshotTrees } from './snapshot-tree.ts';
import type { RootPath, Snapshot, WorkspaceFiles, WorkspaceRoot } from './snapshots.ts';
import type { Walked } from './walk.ts';

/** What tells whether files are those of a snapshot. */
export interface Summary {
  readonly files: string;
  readonly metadata: string;
  readonly manifest: Manifest;
}

export interface WalkedFiles {
  readonly roots: ReadonlyMap<string, Walked>;
  readonly kept: Manifest['kept'];
}

export interface LastWalk {
  readonly roots: Map<string, Directory>;
  readonly ignored: Snapshot['ignored'];
  /** The one that the files were then known to be of. */
  snapshot?: string;
}

export function writableRoots({ roots }: WorkspaceFiles): WorkspaceRoot[] {
  const writable = roots.filter((root) => root.writable);
  for (const { name } of writable) {
    if (/^[A-Za-z0-9_-]{1,100}$/.test(name)) continue;
    throw new SnapshotError(
      'bad_root',
      `A root is named '${name}', expected 1 to 100 letters, digits, '_' or '-'.`,
    );
  }
  return writable;
}

export function openRoot({ name, path }: WorkspaceRoot): OpenDirectory {
  try {
    return OpenDirectory.open(bytesOf(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SnapshotError(
      'bad_root',
      `The root '${name}' at ${path} cannot be opened (${code}); it has to be a directory.`,
    );
  }
}

export function keyOf(files: WorkspaceFiles): string {
  return writableRoots(files)
    .map(({ name, path }) => `${name}\0${path}`)
    .join('\0\0');
}

export function keptPaths(before: Manifest['kept'], written: readonly RootPath[]): Manifest['kept'] {
  const added = Map.groupBy(written, ({ root }) => root);
  const names = new Set([...Object.keys(before), ...added.keys()]);
  const pathsOf = (name: string): readonly BytePath[] =>
    new PathSet([...(before[name] ?? []), ...(added.get(name) ?? []).map(({ path }) => bytesOf(path))]).paths;
  return Object.fromEntries([...names].sort().map((name) => [name, pathsOf(name)]));
}

export function directoriesOf({ roots }: WalkedFiles): Map<string, Directory> {
  return new Map([...roots].map(([name, { root }]) => [name, root]));
}

export function nodeAt(root: Directory | undefined, path: string): FileNode | undefined {
  let node: FileNode | undefined = root;
  for (const name of bytesOf(path).split('/')) {
    node = node?.type === 'directory' ? node.children.get(name) : undefined;
  }
  return node;
}

export function manifestOf({ roots, kept }: WalkedFiles): Manifest {
  const leftOut = [...roots]
    .filter(([, found]) => found.leftOut.length > 0)
    .map(([name, found]) => [name, new PathSet(found.leftOut.map(({ path }) => path)).paths] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return { format: 1, kept, leftOut: Object.fromEntries(leftOut) };
}

export function notHeld({ roots }: WalkedFiles): Pick<Snapshot, 'leftOut' | 'ignored'> {
  const found = [...roots];
  return {
    leftOut: found.flatMap(([root, { leftOut }]) =>
      leftOut.map(({ path, reason }) => ({ root, path: textOf(path), reason })),
    ),
    ignored: found.flatMap(([root, { ignored }]) => ignored.map((path) => ({ root, path }))),
  };
}

/** What the snapshot left out may be missing here: it cannot be restored. Anything else that no snapshot holds is too much. */
export function isWhat(found: WalkedFiles, { files, metadata, manifest }: Summary): boolean {
  const trees = snapshotTrees(directoriesOf(found));
  if (trees.files !== files || trees.metadata !== metadata) return false;
  return [...found.roots].every(([name, { leftOut, closed }]) => {
    if (closed) return false;
    const expected = new PathSet(manifest.leftOut[name] ?? []);
    return leftOut.every(({ path }) => expected.has(path));
  });
}
