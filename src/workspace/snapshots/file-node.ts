import type { Stats } from 'node:fs';
import type { BytePath } from './byte-path.ts';

/** What the files of a root are, and what a snapshot says that they are. */
export type FileNode = StoredFile | Directory | LeftOut;

export type FileMode = '100644' | '100755' | '120000';

export interface StoredFile {
  readonly type: 'file';
  readonly mode: FileMode;
  /** The name of its blob. A symbolic link's content is where it points. */
  readonly hash: string;
  /** Of a file on this host: how it looked when it was read. */
  look?: Look;
}

export interface Directory {
  readonly type: 'directory';
  readonly children: Map<BytePath, FileNode>;
  /** An ignored directory, of which only the children are part of the snapshot that are so themselves. */
  readonly partial?: boolean;
  /** The names of its trees, once they are known. */
  trees?: DirectoryTrees;
}

export interface DirectoryTrees {
  readonly files: string;
  /** Undefined where nothing below is version-control metadata. */
  readonly metadata: string | undefined;
}

/** Something on this host that no snapshot holds. */
export interface LeftOut {
  readonly type: 'left_out';
  readonly reason: LeftOutReason;
}

/**
 * `special`: a pipe, socket or device. `too_large`: more bytes than the limit. `unreadable`: permission denied. `too_deep`: more levels of
 * directories than the limit. `changing`: it became shorter whenever it was read. `foreign`: a directory that the snapshot to be restored does not know.
 */
export type LeftOutReason = 'special' | 'too_large' | 'unreadable' | 'too_deep' | 'changing' | 'foreign';

export interface Look {
  readonly inode: number;
  readonly size: number;
  readonly mode: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
  /** Whether a later change is certain to make the file look different. */
  readonly settled: boolean;
}

/** Kernels stamp files with a clock that ticks every few milliseconds. */
const TICK_MS = 50;
/** Some file systems keep whole seconds, or pairs of them. */
const COARSE_TICK_MS = 3_000;

/**
 * `startedMs`: a time before the file is read. What was changed so shortly before it may be changed again after it within the same
 * tick, and look the same: it is read again the next time.
 */
export function lookOf(stats: Stats, startedMs: number): Look {
  const tick = stats.ctimeMs % 1_000 === 0 ? COARSE_TICK_MS : TICK_MS;
  return {
    inode: stats.ino,
    size: stats.size,
    mode: stats.mode,
    modifiedMs: stats.mtimeMs,
    changedMs: stats.ctimeMs,
    settled: stats.ctimeMs < startedMs - tick,
  };
}

export function looksTheSame(stats: Stats, look: Look): boolean {
  return (
    look.settled &&
    look.inode === stats.ino &&
    look.changedMs === stats.ctimeMs &&
    look.size === stats.size &&
    look.modifiedMs === stats.mtimeMs &&
    look.mode === stats.mode
  );
}

/** Whether two say the same of what is there, with all that is in it. */
export function sameNode(a: FileNode | undefined, b: FileNode | undefined): boolean {
  if (a === b) return true;
  if (a?.type === 'file' && b?.type === 'file') return a.hash === b.hash && a.mode === b.mode;
  if (a?.type !== 'directory' || b?.type !== 'directory') return false;
  if (a.trees !== undefined && b.trees !== undefined)
    return a.trees.files === b.trees.files && a.trees.metadata === b.trees.metadata;
  if (a.children.size !== b.children.size) return false;
  return [...a.children].every(([name, child]) => sameNode(child, b.children.get(name)));
}
