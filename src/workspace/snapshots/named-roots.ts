/** Snapshots of a root that is divided into named directories: put together from others, and kept what they may be. */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { joinBytes, PathSet } from './byte-path.ts';
import type { Directory, DirectoryTrees, FileNode } from './file-node.ts';
import type { KnownSnapshots } from './known-snapshots.ts';
import type { SnapshotLimits } from './limits.ts';
import { syncDirectory } from './pack-writer.ts';
import { writePackOf } from './packing.ts';
import type { ShadowGit } from './shadow-git.ts';
import { checkName, missingSnapshot, SnapshotError } from './snapshot-error.ts';
import { MARK, type Manifest, newDirectory, type SnapshotContent, snapshotTrees } from './snapshot-tree.ts';
import type { ComposedPart, RootGuard, Snapshot } from './snapshots.ts';

interface Part {
  readonly name: string;
  readonly directory: Directory;
  readonly manifest: Manifest | undefined;
}

/** Throws `SnapshotError`, also where it would be more than a walk takes: no workspace could be what it says. */
export function composeSnapshot(
  known: KnownSnapshots,
  parts: readonly ComposedPart[],
  { root, limits }: { readonly root: string; readonly limits: SnapshotLimits },
): string {
  const found = parts.map(({ name, snapshot }) => partOf(known, { name, snapshot, root }));
  checkSize(found, limits);
  const directory = newDirectory();
  for (const part of found) directory.children.set(part.name, part.directory);
  const below = (of: 'kept' | 'leftOut') => {
    const paths = found.flatMap(({ name, manifest }) =>
      (manifest?.[of][root] ?? []).map((path) => joinBytes(name, path)),
    );
    return paths.length === 0 ? {} : { [root]: new PathSet(paths).paths };
  };
  const manifest: Manifest = { format: 1, kept: below('kept'), leftOut: below('leftOut') };
  const writer = known.writer();
  try {
    return known.write({ roots: new Map([[root, directory]]), manifest }, writer);
  } finally {
    writer.discard();
  }
}

function partOf(
  known: KnownSnapshots,
  { name, snapshot, root }: { readonly name: string; readonly snapshot: string | undefined; root: string },
): Part {
  if (snapshot === undefined) return { name, directory: newDirectory(), manifest: undefined };
  const directory = known.learn(snapshot).get(root);
  if (directory === undefined)
    throw new SnapshotError('bad_root', `The snapshot ${snapshot} has no root named '${root}'.`);
  return { name, directory, manifest: known.summary(snapshot).manifest };
}

function checkSize(parts: readonly Part[], { entries, depth }: SnapshotLimits): void {
  const sizes = parts.map(({ directory }) => sizeOf(directory));
  const total = sizes.reduce((sum, { entries: of }) => sum + of, parts.length);
  const deepest = Math.max(0, ...sizes.map(({ depth: of }) => of + 1));
  if (total > entries)
    throw new SnapshotError(
      'too_many_files',
      `The roots have ${total} files together; at most ${entries} can be worked on.`,
    );
  if (deepest > depth)
    throw new SnapshotError(
      'too_many_files',
      `The roots have ${deepest} levels of directories; at most ${depth} can be worked on.`,
    );
}

function sizeOf(directory: Directory): { readonly entries: number; readonly depth: number } {
  const inner = [...directory.children.values()].flatMap((node) =>
    node.type === 'directory' ? [sizeOf(node)] : [],
  );
  return {
    entries: inner.reduce((sum, { entries }) => sum + entries, directory.children.size),
    depth: Math.max(0, ...inner.map(({ depth }) => depth + 1)),
  };
}

/** A snapshot of another store on this host, with all its objects. Without its index a pack counts for nothing: that comes last. */
export function adoptSnapshot(git: ShadowGit, snapshot: string, lineage: string): void {
  checkName('lineage', lineage);
  const from = git.beside(join(dirname(git.directory), `${lineage}.git`));
  if (!existsSync(from.directory) || !from.has(`${snapshot}^{tree}`)) throw missingSnapshot(snapshot);
  const path = join(git.packs, `pack-${randomBytes(20).toString('hex')}.pack`);
  try {
    writePackOf(from, snapshot, { without: undefined, path });
    syncFile(path);
    syncDirectory(git.packs);
    git.run(['index-pack', path]);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

function syncFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

interface Store {
  readonly git: ShadowGit;
  readonly known: KnownSnapshots;
}

/**
 * What was taken, as it may be: what stands in a read-only directory, or in the place of a writable one, is what `previous` has there,
 * and nothing stands beside them. `content` is in the store.
 */
export function guarded(
  { git, known }: Store,
  content: SnapshotContent,
  { previous, guard }: { readonly previous: string; readonly guard: RootGuard },
): Partial<Pick<Snapshot, 'id' | 'changed' | 'refused'>> {
  const found = content.roots.get(guard.root) ?? newDirectory();
  const refused = refusedIn(found, treesIn({ git, known }, previous, guard.root), guard);
  if (refused.length === 0) return {};
  const before = known.learn(previous).get(guard.root) ?? newDirectory();
  const roots = new Map([...content.roots, [guard.root, mended(found, before, { refused, guard })]]);
  const manifest = mendedManifest(content.manifest, known.summary(previous).manifest, { refused, guard });
  const writer = known.writer();
  try {
    const id = known.write({ roots, manifest }, writer);
    return { id, changed: id !== previous, refused };
  } finally {
    writer.discard();
  }
}

/** The same of a snapshot that was not taken of files. */
export function guardedSnapshot(
  store: Store,
  snapshot: string,
  options: { readonly previous: string; readonly guard: RootGuard },
): ReturnType<typeof guarded> {
  const content = { roots: store.known.learn(snapshot), manifest: store.known.summary(snapshot).manifest };
  snapshotTrees(content.roots);
  return guarded(store, content, options);
}

type TreesOf = (name: string) => { readonly [Kind in keyof DirectoryTrees]: string | undefined };

/** Two questions to git, however many files there are. */
function treesIn({ git, known }: Store, snapshot: string, root: string): TreesOf {
  const { files, metadata } = known.summary(snapshot);
  const [ofFiles, ofMetadata] = [files, metadata].map((tree) => git.entries(`${tree}:${root}`));
  return (name) => ({ files: ofFiles?.get(name), metadata: ofMetadata?.get(MARK + name) });
}

function refusedIn(found: Directory, before: TreesOf, { writable, readOnly }: RootGuard): string[] {
  const isSame = (name: string, node: FileNode | undefined) => {
    const trees = node?.type === 'directory' ? node.trees : undefined;
    const { files, metadata } = before(name);
    return trees !== undefined && trees.files === files && trees.metadata === metadata;
  };
  const known = new Set([...writable, ...readOnly]);
  // What no snapshot holds is in none.
  const others = [...found.children].flatMap(([name, { type }]) =>
    known.has(name) || type === 'left_out' ? [] : [name],
  );
  const gone = writable.filter((name) => found.children.get(name)?.type !== 'directory');
  return [...readOnly.filter((name) => !isSame(name, found.children.get(name))), ...gone, ...others].sort();
}

interface Refused {
  readonly refused: readonly string[];
  readonly guard: RootGuard;
}

function mended(found: Directory, before: Directory, { refused, guard }: Refused): Directory {
  const directory = newDirectory();
  for (const name of [...guard.writable, ...guard.readOnly]) {
    const node = (refused.includes(name) ? before : found).children.get(name);
    directory.children.set(name, node ?? newDirectory());
  }
  return directory;
}

function mendedManifest(found: Manifest, before: Manifest, { refused, guard }: Refused): Manifest {
  const isRefused = (path: string) => refused.includes(path.split('/', 1)[0] ?? '');
  const paths = [
    ...(found.leftOut[guard.root] ?? []).filter((path) => !isRefused(path)),
    ...(before.leftOut[guard.root] ?? []).filter(isRefused),
  ];
  const { [guard.root]: _, ...others } = found.leftOut;
  const leftOut = paths.length === 0 ? others : { ...others, [guard.root]: new PathSet(paths).paths };
  return { ...found, leftOut };
}
