/**
 * Ignored files of a person's that a tool wrote count from then on, so an earlier snapshot says nothing of them: not that they were
 * not there. Hence the later ones remember what the tool found, and an earlier one is compared as if it held that.
 */
import { type BytePath, bytesOf, compareBytes, PathSet } from './byte-path.ts';
import type { Directory } from './file-node.ts';
import { childDirectory, type FoundFile, type Manifest } from './snapshot-tree.ts';
import type { RootPath } from './snapshots.ts';
import { nodeAt } from './walked-files.ts';

/** What the snapshot before remembers, and those of `named` that count only now, as they are. */
export function foundFiles(
  before: Manifest | undefined,
  named: readonly RootPath[],
  roots: ReadonlyMap<string, Directory>,
): Pick<Manifest, 'found'> {
  const added = named.flatMap(({ root, path }) => {
    const node = nodeAt(roots.get(root), path);
    if (node?.type !== 'file' || before?.kept[root]?.includes(bytesOf(path))) return [];
    return [{ root, file: { path: bytesOf(path), mode: node.mode, hash: node.hash } }];
  });
  const byRoot = [...Map.groupBy(added, ({ root }) => root)];
  const found = byRoot.map(([root, each]) => [root, each.map(({ file }) => file)]);
  return joinFound(before?.found, Object.fromEntries(found));
}

/** Where both remember a file, as the first does. */
export function joinFound(
  first: Manifest['found'] = {},
  second: Manifest['found'] = {},
): Pick<Manifest, 'found'> {
  const names = [...new Set([...Object.keys(first), ...Object.keys(second)])].sort();
  if (names.length === 0) return {};
  const filesOf = (name: string) => {
    const files = [...(second[name] ?? []), ...(first[name] ?? [])];
    return [...new Map(files.map((file) => [file.path, file])).values()].sort((a, b) =>
      compareBytes(a.path, b.path),
    );
  };
  return { found: Object.fromEntries(names.map((name) => [name, filesOf(name)])) };
}

/** By root. */
export type FilesFound = ReadonlyMap<string, readonly FoundFile[]>;

/** Those that another snapshot remembers and this one says nothing of. */
export function unknownTo({ kept }: Manifest, { found = {} }: Manifest): FilesFound {
  const files = Object.entries(found).map(([root, each]) => {
    const known = new PathSet(kept[root] ?? []);
    return [root, each.filter(({ path }) => !known.has(path))] as const;
  });
  return new Map(files.filter(([, each]) => each.length > 0));
}

/** Puts them into a root, where nothing stands there or in the way. */
export function putFound(root: Directory, files: readonly FoundFile[]): void {
  for (const { path, mode, hash } of files) {
    const names = path.split('/');
    const isBlocked = names.some((_, depth) => {
      const node = depth === 0 ? root : nodeAt(root, names.slice(0, depth).join('/'));
      return node !== undefined && node.type !== 'directory';
    });
    if (isBlocked) continue;
    const name = names.pop() as BytePath;
    const directory = names.reduce((at, each) => childDirectory(at, each), root);
    if (!directory.children.has(name)) directory.children.set(name, { type: 'file', mode, hash });
  }
}
