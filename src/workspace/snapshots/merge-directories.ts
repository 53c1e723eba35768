import { isMetadata } from '../../core/metadata-name.ts';
import { type BytePath, compareBytes, joinBytes } from './byte-path.ts';
import { type Directory, type FileNode, type StoredFile, sameNode as same } from './file-node.ts';
import type { BlobStore } from './git-refs.ts';
import { mergeRepository } from './merge-metadata.ts';
import { newDirectory } from './snapshot-tree.ts';

/** What has to be decided beyond the trees: both sides changed one thing in different ways. */
export interface MergeConflict {
  readonly path: BytePath;
  /**
   * `content`: both changed a file's text in the same place; it stands there with both, marked. `binary`: no text, or links. `both_added`: as
   * `content` or `binary`, without a common beginning. `deleted`: one deleted what the other changed; the change stays. `kind`: a file
   * on one side, a directory on the other. `metadata`: version control's own state; that of `ours` stays, whole, also where `theirs` removed it.
   */
  readonly kind: 'content' | 'binary' | 'both_added' | 'deleted' | 'kind' | 'metadata';
  /** Where what `theirs` has is kept, when it is not in `path` itself: a path, or of git a reference, if it has a commit that `ours` lacks. */
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
      const inner = isSidecar(name)
        ? sidecars({ base, ours, theirs }, name)
        : {
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
    if (at.metadata && base?.type === 'directory') return this.#metadata(three, at.path);
    if (same(base, ours) && !(theirs?.type === 'directory' && holdsMetadata(base))) return theirs;
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

  /** As a whole; what `theirs` removed is told, and stays: all that was ever committed may be in it. */
  #metadata(three: Three<FileNode>, path: BytePath): FileNode | undefined {
    const { base, ours, theirs } = three;
    const areDirectories = ours?.type === 'directory' && theirs?.type === 'directory';
    if (areDirectories && (path === '.git' || path.endsWith('/.git'))) {
      const { git, conflicts } = mergeRepository({ base, ours, theirs }, this.#options);
      for (const { path: inner, reference } of conflicts)
        this.conflicts.push({
          ...{ path: [path, ...inner].join('/'), kind: 'metadata' },
          ...(reference !== undefined && { keptAt: reference }),
        });
      return git;
    }
    if (areDirectories && same(base, ours)) return theirs;
    this.conflicts.push({ path, kind: 'metadata' });
    return ours ?? theirs;
  }
}

/** Of a database of fossil's: what it writes beside that fits no other. */
const SIDECAR = /^(\.fslckout|_FOSSIL_)-(journal|wal|shm)$/;

function isSidecar(name: BytePath): boolean {
  return SIDECAR.test(name);
}

/** As the side has it that the database is taken from. */
function sidecars({ base, ours, theirs }: Three<Directory>, name: BytePath): Three<FileNode> {
  const [, main = ''] = SIDECAR.exec(name) ?? [];
  const [before, own, other] = [base, ours, theirs].map((each) => each?.children.get(main));
  const side = same(before, own) && !same(before, other) ? theirs : ours;
  const node = side?.children.get(name);
  return { base: node, ours: node, theirs: node };
}

function holdsMetadata(node: FileNode | undefined): boolean {
  if (node?.type !== 'directory') return false;
  return [...node.children].some(([name, child]) => isMetadata(name) || holdsMetadata(child));
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
