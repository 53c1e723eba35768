import { rmdirSync, unlinkSync } from 'node:fs';
import { isMetadata } from '../../core/metadata-name.ts';
import { type BytePath, compareBytes, joinBytes, systemPath } from './byte-path.ts';
import {
  type BlobSource,
  besides,
  clearRecorded,
  clearStaged,
  isSameContent,
  type KeptNode,
  type Pending,
  type PendingFile,
  unlessRefused,
  writePending,
} from './carry-files.ts';
import { type Here, isStill, lookAt } from './file-here.ts';
import { type Directory, type FileNode, type StoredFile, sameNode } from './file-node.ts';
import type { OpenDirectory } from './open-directory.ts';

export interface Carried {
  /** What was changed here since the first snapshot, and is left as it is. */
  readonly kept: readonly KeptNode[];
  /** Of version control, and different: nothing is done to it. */
  readonly metadata: readonly BytePath[];
}

export interface CarryOptions {
  /** What the files were last known to be. */
  readonly from: Directory;
  readonly to: Directory;
  /** Names what is written beside: letters, digits, `_`, `-`. */
  readonly label: string;
  /** Of a file: no snapshot holds a longer one. */
  readonly maxBytes: number;
}

/**
 * Carries what differs between two snapshots into a directory of a person's, who may be working in it. What is as the first
 * has it becomes what the second has; what is not was changed here, and stays: beside it stands what the second has.
 *
 * First goes what is gone, then comes what is new or changed, each file whole in one step. Killed in between and done again it comes
 * to the same: what is as the second has it is done.
 */
export function carryRoot(root: OpenDirectory, options: CarryOptions, blobs: BlobSource): Carried {
  clearRecorded(root, options.from);
  const carry = new Carry(options);
  carry.children(root, { path: '', place: '', from: options.from, to: options.to });
  const written = writePending(root, carry.pending, { blobs, ...options });
  return { kept: [...carry.kept, ...written], metadata: carry.metadata };
}

/** What the two snapshots have at a path. */
interface Pair {
  readonly path: BytePath;
  /** Where that is on the disk, as something of a person's may stand in the way. */
  readonly place: BytePath;
  readonly from: FileNode | undefined;
  readonly to: FileNode | undefined;
}

interface Entry extends Pair {
  readonly name: BytePath;
  /** Its directory; undefined where that is not there yet. */
  readonly at: OpenDirectory | undefined;
}

class Carry {
  readonly kept: KeptNode[] = [];
  readonly metadata: BytePath[] = [];
  readonly pending: Pending[] = [];
  readonly #options: CarryOptions;

  constructor(options: CarryOptions) {
    this.#options = options;
  }

  children(at: OpenDirectory | undefined, { path, place, from, to }: Pair): void {
    const [old, wanted] = [childrenOf(from), childrenOf(to)];
    for (const name of [...new Set([...old.keys(), ...wanted.keys()])].sort(compareBytes)) {
      const pair = { from: old.get(name), to: wanted.get(name) };
      if (sameNode(pair.from, pair.to)) continue;
      const entry = { ...pair, at, name, path: joinBytes(path, name), place: joinBytes(place, name) };
      if (isMetadata(name)) this.metadata.push(entry.path);
      else this.#keep(unlessRefused(entry.path, () => this.#entry(entry)));
    }
  }

  #keep(kept: KeptNode | undefined): void {
    if (kept !== undefined) this.kept.push(kept);
  }

  /** Returns what is kept as it is. */
  #entry(entry: Entry): KeptNode | undefined {
    const { at, name, to } = entry;
    const here: Here = at === undefined ? { type: 'none' } : lookAt(at, name, this.#options.maxBytes);
    if (to?.type === 'directory') return this.#directory(entry, here);
    return to?.type === 'file' ? this.#file({ ...entry, to }, here) : this.#remove(entry, here);
  }

  #directory(entry: Entry, here: Here): KeptNode | undefined {
    const { at, name, from, path } = entry;
    if (at !== undefined && here.type === 'directory') return this.#within(at, entry);
    if (at === undefined || here.type === 'none' || isRemoved({ at, name, from }, here)) {
      this.#make(entry);
      return undefined;
    }
    const beside = besides(name, this.#options.label).find((each) => isFreeDirectory(at, each)) ?? name;
    const place = joinBytes(parentOf(entry.place), beside);
    const before = this.pending.length;
    this.#make({ ...entry, place });
    return this.pending.length > before ? { path, keptAt: place } : undefined;
  }

  /** One that was there before, and is not any more, comes back with what is new in it, if with anything. */
  #make(entry: Entry): void {
    if (entry.from?.type !== 'directory') this.pending.push({ ...spotOf(entry), type: 'directory' });
    this.children(undefined, entry);
  }

  #file(entry: Entry & { readonly to: StoredFile }, here: Here): KeptNode | undefined {
    const { at, name, from, to } = entry;
    if (at !== undefined) clearStaged(at, name);
    if (here.type === 'directory' && from?.type === 'directory' && at !== undefined) {
      const kept = this.#remove({ ...entry, to: undefined }, here);
      this.#write(entry, { how: at.statHere(name) === undefined ? 'new' : 'beside' });
      return kept;
    }
    const wasFile = from?.type === 'file' ? from : undefined;
    if (here.type === 'file' && [to, wasFile].some((file) => file && isSameContent(here.file, file))) {
      const file = withModeOf(to, { from: wasFile, here: here.file });
      if (!sameNode(file, here.file))
        this.#write({ ...entry, to: file }, { how: 'instead', seen: here.stats });
    } else {
      // In a place of its own it is new, though it was elsewhere before.
      const isRemovedHere = wasFile !== undefined && entry.place === entry.path;
      this.#write(entry, { how: here.type === 'none' && !isRemovedHere ? 'new' : 'beside' });
    }
    return undefined;
  }

  #write(entry: Entry & { readonly to: StoredFile }, how: Pick<PendingFile, 'how' | 'seen'>): void {
    this.pending.push({ ...spotOf(entry), type: 'file', file: entry.to, ...how });
  }

  #remove(entry: Entry, here: Here): KeptNode | undefined {
    const { at, name, from, path } = entry;
    if (at === undefined || here.type === 'none') return undefined;
    if (from?.type !== 'directory' || here.type !== 'directory')
      return isRemoved({ at, name, from }, here) ? undefined : { path };
    this.#within(at, entry);
    removeEmpty(at, name);
    return undefined;
  }

  #within(at: OpenDirectory, entry: Entry): undefined {
    const inner = at.child(entry.name);
    try {
      this.children(inner, entry);
    } finally {
      inner.close();
    }
  }
}

/** Removes a file that is as it was. */
function isRemoved(
  { at, name, from }: { readonly at: OpenDirectory; readonly name: BytePath; readonly from: Pair['from'] },
  here: Here,
): boolean {
  if (here.type !== 'file' || !sameNode(here.file, from) || !isStill(at, name, here.stats)) return false;
  unlinkSync(systemPath(at.at(name)));
  return true;
}

/** One in which something is left stays. */
function removeEmpty(at: OpenDirectory, name: BytePath): void {
  try {
    rmdirSync(systemPath(at.at(name)));
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR'].includes(code)) throw error;
  }
}

/** Nothing stands there, or what an earlier run made. */
function isFreeDirectory(at: OpenDirectory, name: BytePath): boolean {
  return at.statHere(name)?.isDirectory() ?? true;
}

/** Whether it is executable stays as it is here, unless the snapshots differ in that. */
function withModeOf(
  to: StoredFile,
  { from, here }: { readonly from: StoredFile | undefined; readonly here: StoredFile },
): StoredFile {
  if (to.mode === '120000' || here.mode === '120000') return to;
  const isChanged = from === undefined ? to.hash !== here.hash : from.mode !== to.mode;
  return isChanged ? to : { ...to, mode: here.mode };
}

function childrenOf(node: FileNode | undefined): ReadonlyMap<BytePath, FileNode> {
  return node?.type === 'directory' ? node.children : new Map();
}

function spotOf({ path, place }: Pair): Pick<Pending, 'path' | 'directory' | 'name'> {
  return { path, directory: parentOf(place), name: place.slice(place.lastIndexOf('/') + 1) };
}

function parentOf(path: BytePath): BytePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
