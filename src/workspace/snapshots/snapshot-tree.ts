import { isMetadata } from '../../core/metadata-name.ts';
import { type BytePath, compareBytes } from './byte-path.ts';
import type { Directory, DirectoryTrees, FileMode, FileNode, StoredFile } from './file-node.ts';
import { namesOnly, type ObjectSink } from './pack-writer.ts';

/**
 * A snapshot is a git tree:
 *
 *     files/<root>/...      the project, empty directories too, under names that git takes
 *     metadata/<root>/...   version control's own state (`.git`, `.hg`, ...), every name behind `=`, so that git takes them as well
 *     manifest              what is no file: format, ignored paths that count, what was left out, what was found
 *     found/<hash>          contents that the manifest names under `found`; none where there are none
 *
 * Hence a diff or a merge of `files` is one of the project alone, and the same files always have the same id.
 */
export interface SnapshotContent {
  readonly roots: ReadonlyMap<string, Directory>;
  readonly manifest: Manifest;
}

export interface Manifest {
  readonly format: 1;
  /** Per root, as bytes in latin1. */
  readonly kept: Readonly<Record<string, readonly BytePath[]>>;
  readonly leftOut: Readonly<Record<string, readonly BytePath[]>>;
  /** Files of `kept` that were there, and in no snapshot, when a tool first named them: what they were then. */
  readonly found?: Readonly<Record<string, readonly FoundFile[]>>;
}

export interface FoundFile {
  readonly path: BytePath;
  readonly mode: FileMode;
  readonly hash: string;
}

/** Stands before every name of `metadata`. */
export const MARK = '=';
const MODES: readonly string[] = ['100644', '100755', '120000'] satisfies FileMode[];

interface TreeEntry {
  readonly mode: FileMode | '40000';
  readonly name: BytePath;
  readonly hash: string;
}

/** Puts the trees of a snapshot into the sink. Returns its id. */
export function writeSnapshot({ roots, manifest }: SnapshotContent, sink: ObjectSink): string {
  const { files, metadata } = snapshotTrees(roots, sink);
  const manifestHash = sink.put('blob', Buffer.from(JSON.stringify(manifest)));
  const contents = new Set(
    Object.values(manifest.found ?? {}).flatMap((files) => files.map(({ hash }) => hash)),
  );
  const found = [...contents].map((hash) => ({ mode: '100644' as const, name: hash, hash }));
  return writeTree(
    [
      { mode: '40000', name: 'files', hash: files },
      { mode: '40000', name: 'metadata', hash: metadata },
      { mode: '100644', name: 'manifest', hash: manifestHash },
      ...(found.length === 0
        ? []
        : [{ mode: '40000' as const, name: 'found', hash: writeTree(found, sink) }]),
    ],
    sink,
  );
}

/** The names of the trees `files` and `metadata`. */
export function snapshotTrees(
  roots: SnapshotContent['roots'],
  sink: ObjectSink = namesOnly,
): { readonly files: string; readonly metadata: string } {
  const found = [...roots].map(([name, root]) => ({ name, ...directoryTrees(root, sink) }));
  const treeOf = (part: 'files' | 'metadata') => {
    const entries = found.flatMap(({ name, [part]: hash }) =>
      hash === undefined ? [] : [{ mode: '40000' as const, name, hash }],
    );
    return writeTree(entries, sink);
  };
  return { files: treeOf('files'), metadata: treeOf('metadata') };
}

function directoryTrees(directory: Directory, sink: ObjectSink): DirectoryTrees {
  const known = directory.trees;
  if (known && sink.has(known.files) && (known.metadata === undefined || sink.has(known.metadata)))
    return known;
  const files: TreeEntry[] = [];
  const metadata: TreeEntry[] = [];
  for (const [name, node] of directory.children) {
    if (node.type === 'left_out') continue;
    if (isMetadata(name)) metadata.push(metadataEntry(name, node, sink));
    else if (node.type === 'file') files.push({ mode: node.mode, name, hash: node.hash });
    else {
      const trees = directoryTrees(node, sink);
      files.push({ mode: '40000', name, hash: trees.files });
      if (trees.metadata !== undefined)
        metadata.push({ mode: '40000', name: MARK + name, hash: trees.metadata });
    }
  }
  directory.trees = {
    files: writeTree(files, sink),
    metadata: metadata.length === 0 ? undefined : writeTree(metadata, sink),
  };
  return directory.trees;
}

function metadataEntry(name: BytePath, node: StoredFile | Directory, sink: ObjectSink): TreeEntry {
  if (node.type === 'file') return { mode: node.mode, name: MARK + name, hash: node.hash };
  const known = node.trees?.metadata;
  if (known !== undefined && sink.has(known)) return { mode: '40000', name: MARK + name, hash: known };
  const entries = [...node.children].flatMap(([inner, child]) =>
    child.type === 'left_out' ? [] : [metadataEntry(inner, child, sink)],
  );
  const hash = writeTree(entries, sink);
  node.trees = { files: hash, metadata: hash };
  return { mode: '40000', name: MARK + name, hash };
}

/** Git sorts a directory as if its name ended with a slash. */
function writeTree(entries: readonly TreeEntry[], sink: ObjectSink): string {
  const keyed = entries.map((entry) => ({
    entry,
    key: entry.mode === '40000' ? `${entry.name}/` : entry.name,
  }));
  keyed.sort((a, b) => compareBytes(a.key, b.key));
  const parts = keyed.flatMap(({ entry }) => [
    Buffer.from(`${entry.mode} ${entry.name}\0`, 'latin1'),
    Buffer.from(entry.hash, 'hex'),
  ]);
  return sink.put('tree', Buffer.concat(parts));
}

/**
 * The names of all objects of a snapshot, and its files, from `git ls-tree -r -t -z` of it. `isKnown`: its directories are what their
 * names say, and need not be named again.
 */
export function readListing(
  listing: Buffer,
  { isKnown = false }: { readonly isKnown?: boolean } = {},
): {
  readonly roots: Map<string, Directory>;
  readonly hashes: string[];
  readonly manifest: string | undefined;
} {
  const roots = new Map<string, Directory>();
  const hashes: string[] = [];
  let manifest: string | undefined;
  for (const { mode, hash, path } of listingEntries(listing)) {
    hashes.push(hash);
    const [part, root, ...names] = path.split('/');
    if (part === 'manifest') manifest = hash;
    if (root === undefined || (part !== 'files' && part !== 'metadata')) continue;
    const top = roots.get(root) ?? newDirectory();
    roots.set(root, top);
    const real = part === 'files' ? names : names.map((name) => name.slice(MARK.length));
    const node = real.length > 0 ? place(top, real, { mode, hash }) : top;
    if (isKnown && node !== undefined) nameTree(node, hash, { part, isInside: real.some(isMetadata) });
  }
  return { roots, hashes, manifest };
}

/** Of a directory: what a part of a snapshot calls it. `isInside`: it is version control's own. */
export function nameTree(
  directory: Directory,
  hash: string,
  { part, isInside }: { readonly part: 'files' | 'metadata'; readonly isInside: boolean },
): void {
  if (isInside) directory.trees = { files: hash, metadata: hash };
  else if (part === 'files') directory.trees = { files: hash, metadata: directory.trees?.metadata };
  else if (directory.trees !== undefined) directory.trees = { ...directory.trees, metadata: hash };
}

function* listingEntries(listing: Buffer): Generator<{ mode: string; hash: string; path: BytePath }> {
  for (let at = 0; at < listing.length; ) {
    const end = listing.indexOf(0, at);
    const line = listing.toString('latin1', at, end);
    const tab = line.indexOf('\t');
    const [mode = '', , hash = ''] = line.slice(0, tab).split(' ');
    yield { mode, hash, path: line.slice(tab + 1) };
    at = end + 1;
  }
}

/** A directory is listed before what is in it. Returns it, where it is one. */
function place(
  top: Directory,
  names: readonly BytePath[],
  { mode, hash }: { mode: string; hash: string },
): Directory | undefined {
  let directory = top;
  for (const name of names.slice(0, -1)) directory = childDirectory(directory, name);
  const name = names.at(-1) as BytePath;
  if (names.some((each) => each === '' || each === '.' || each === '..')) {
    throw new Error(`a snapshot holds the name '${names.join('/')}', which leads out of it`);
  }
  if (mode === '040000') return childDirectory(directory, name);
  if (!MODES.includes(mode))
    throw new Error(`a snapshot holds an entry of mode ${mode}, which no snapshot has`);
  directory.children.set(name, { type: 'file', mode: mode as FileMode, hash });
  return undefined;
}

export function childDirectory(directory: Directory, name: BytePath): Directory {
  const found: FileNode | undefined = directory.children.get(name);
  if (found?.type === 'directory') return found;
  const made = newDirectory();
  directory.children.set(name, made);
  return made;
}

export function newDirectory(): Directory {
  return { type: 'directory', children: new Map() };
}
