import { isMetadata } from '../../core/metadata-name.ts';
import { type BytePath, compareBytes, joinBytes } from './byte-path.ts';
import type { Directory, FileNode, StoredFile } from './file-node.ts';
import { type BlobStore, historyDiffers, joinHistories, withObjects } from './merge-metadata.ts';
import { newDirectory } from './snapshot-tree.ts';

/** What has to be decided beyond the trees: both sides changed one thing in different ways. */
export interface MergeConflict {
  readonly path: BytePath;
  /**
   * `content`: both changed a file's text in the same place; it stands there with both, marked. `binary`: no text, or links. `both_added`: as
   * `content` or `binary`, without a common beginning. `deleted`: one deleted what the other changed; the change stays. `kind`: a file
   * on one side, a directory on the other. `metadata`: version control's own state; that of `ours` stays, whole: a half of each fits nothing.
   */
  readonly kind: 'content' | 'binary' | 'both_added' | 'deleted' | 'kind' | 'metadata';
  /** Where what `theirs` has is kept, when it is not in `path` itself: a path, or of git a reference. */
  readonly keptAt?: BytePath;
}

export interface Three<T> {
  readonly base: T | undefined;
  readonly ours: T | undefined;
  readonly theirs: T | undefined;
}

export interface TextMerge {
  readonly hash: string;
  readonly conflicts: boolean;
}

/** Merges the texts of three blobs; undefined where they are no texts. */
export type MergeTexts = (files: {
  base: string | undefined;
  ours: string;
  theirs: string;
}) => TextMerge | undefined;

/**
 * The three-way merge of a root: what only one side changed is as that side has it. Nothing of either side is lost where both
 * changed the same: it stands in the file between marks, or what `theirs` has stands beside what `ours` has, under a name of its own.
 */
export function mergeDirectories(
  three: Three<Directory>,
  options: MergeDirectoriesOptions,
): { root: Directory; conflicts: MergeConflict[] } {
  const merge = new Merge(options);
  return { root: merge.directory(three, ''), conflicts: merge.conflicts };
}

export interface MergeDirectoriesOptions {
  readonly mergeTexts: MergeTexts;
  readonly blobs: BlobStore;
  /** Names what is kept of `theirs`: letters, digits, `_`, `-`. */
  readonly label: string;
}

class Merge {
  readonly conflicts: MergeConflict[] = [];
  readonly #options: MergeDirectoriesOptions;
  /** What the entry that was just merged wants to stand beside it. */
  #beside: { readonly node: FileNode; readonly kind: MergeConflict['kind'] } | undefined;

  constructor(options: MergeDirectoriesOptions) {
    this.#options = options;
  }

  directory({ base, ours, theirs }: Three<Directory>, path: BytePath): Directory {
    const merged = newDirectory();
    const names = new Set([base, ours, theirs].flatMap((each) => [...(each?.children.keys() ?? [])]));
    for (const name of [...names].sort(compareBytes)) {
      const inner = {
        base: base?.children.get(name),
        ours: ours?.children.get(name),
        theirs: theirs?.children.get(name),
      };
      const node = this.#entry(inner, { path: joinBytes(path, name), metadata: isMetadata(name) });
      if (node !== undefined) merged.children.set(name, node);
      const beside = this.#beside;
      this.#beside = undefined;
      if (beside === undefined) continue;
      const free = freeName(name, this.#options.label, names);
      merged.children.set(free, beside.node);
      this.conflicts.push({ path: joinBytes(path, name), kind: beside.kind, keptAt: joinBytes(path, free) });
    }
    return merged;
  }

  #entry(three: Three<FileNode>, at: { path: BytePath; metadata: boolean }): FileNode | undefined {
    const { base, ours, theirs } = three;
    if (same(ours, theirs) || same(base, theirs)) return ours;
    if (same(base, ours)) return theirs;
    if (at.metadata) return this.#metadata(three, at.path);
    if (ours?.type === 'directory' && theirs?.type === 'directory') {
      return this.directory({ base: base?.type === 'directory' ? base : undefined, ours, theirs }, at.path);
    }
    if (ours === undefined || theirs === undefined) return this.#deleted(three, at.path);
    if (ours.type === 'file' && theirs.type === 'file') {
      return this.#files({ base: base?.type === 'file' ? base : undefined, ours, theirs }, at.path);
    }
    this.#beside = { node: theirs, kind: 'kind' };
    return ours;
  }

  /** A directory that one side removed and the other changed keeps what was changed in it. */
  #deleted({ base, ours, theirs }: Three<FileNode>, path: BytePath): FileNode | undefined {
    const left = ours ?? theirs;
    if (left?.type === 'directory' && base?.type === 'directory') {
      const gone = newDirectory();
      const three = {
        base,
        ours: ours === undefined ? gone : left,
        theirs: theirs === undefined ? gone : left,
      };
      const merged = this.directory(three, path);
      return merged.children.size > 0 ? merged : undefined;
    }
    this.conflicts.push({ path, kind: 'deleted' });
    return left;
  }

  #files(
    { base, ours, theirs }: { base: StoredFile | undefined; ours: StoredFile; theirs: StoredFile },
    path: BytePath,
  ): FileNode {
    const isLink = [base, ours, theirs].some((file) => file?.mode === '120000');
    const mode = base?.mode === ours.mode ? theirs.mode : ours.mode;
    if (!isLink && ours.hash === theirs.hash) return { ...ours, mode };
    if (!isLink && base?.hash === theirs.hash) return { ...ours, mode };
    if (!isLink && base?.hash === ours.hash) return { ...theirs, mode };
    const three = { base: base?.hash, ours: ours.hash, theirs: theirs.hash };
    const text = isLink ? undefined : this.#options.mergeTexts(three);
    if (text === undefined) {
      this.#beside = { node: theirs, kind: base === undefined ? 'both_added' : 'binary' };
      return ours;
    }
    if (text.conflicts) this.conflicts.push({ path, kind: base === undefined ? 'both_added' : 'content' });
    return { type: 'file', mode, hash: text.hash };
  }

  /** As a whole: what only one side went on with is that side's, and what git rewrites in passing counts for nothing. */
  #metadata({ base, ours, theirs }: Three<FileNode>, path: BytePath): FileNode | undefined {
    const areGit = (path === '.git' || path.endsWith('/.git')) && ours?.type === 'directory';
    if (areGit && theirs?.type === 'directory') return this.#git({ base, ours, theirs }, path);
    this.conflicts.push({ path, kind: 'metadata' });
    return ours ?? theirs;
  }

  #git(
    { base, ours, theirs }: { base: FileNode | undefined; ours: Directory; theirs: Directory },
    path: BytePath,
  ): FileNode {
    if (!historyDiffers(base, theirs, same)) return withObjects(ours, theirs);
    if (!historyDiffers(base, ours, same)) return withObjects(theirs, ours);
    const { blobs, label } = this.#options;
    const { git, reference } = joinHistories({ ours, theirs, label }, blobs);
    this.conflicts.push({ path, kind: 'metadata', ...(reference !== undefined && { keptAt: reference }) });
    return git;
  }
}

function freeName(name: BytePath, label: string, names: Set<BytePath>): BytePath {
  for (let number = 1; ; number += 1) {
    const free = `${name.slice(0, 200)}.${label}${number === 1 ? '' : `-${number}`}`;
    if (!names.has(free)) {
      names.add(free);
      return free;
    }
  }
}

function same(a: FileNode | undefined, b: FileNode | undefined): boolean {
  if (a === b) return true;
  if (a?.type === 'file' && b?.type === 'file') return a.hash === b.hash && a.mode === b.mode;
  if (a?.type !== 'directory' || b?.type !== 'directory' || a.children.size !== b.children.size) return false;
  return [...a.children].every(([name, child]) => same(child, b.children.get(name)));
}
