import type { LeftOutReason } from './file-node.ts';
import type { SnapshotLimits } from './limits.ts';
import type { MergeConflict } from './merge-directories.ts';

/** The files of one workspace on this host. */
export interface WorkspaceFiles {
  readonly roots: readonly WorkspaceRoot[];
}

export interface WorkspaceRoot {
  /** Letters, digits, `_`, `-`: the same on every host. */
  readonly name: string;
  /** Absolute and real. */
  readonly path: string;
  /** Only writable roots are part of snapshots. */
  readonly writable: boolean;
}

/** A file by its root's name and its path from there. */
export interface RootPath {
  readonly root: string;
  readonly path: string;
}

export interface TakeOptions {
  /** The snapshot before this one: what it keeps of ignored files is kept on, and what it holds is not stored again. */
  readonly previous?: string;
  /**
   * Ignored files that are part of the work because a tool writes them. Named before they are written, what was there (or that nothing was)
   * is part of the snapshot as well.
   */
  readonly written?: readonly RootPath[];
  /**
   * The same of files that are there, and that no session made: what they are is remembered too, as what they were in every snapshot
   * that says nothing of them (`diff`, `versions`).
   */
  readonly found?: readonly RootPath[];
  /** Reads every file again: while processes run that map files into memory, times do not tell all. */
  readonly rereads?: boolean;
  /** Of what the snapshot has as `previous` has it, whatever became of the files. */
  readonly guard?: RootGuard;
}

/** Of a root in which nothing may stand but some directories, a part of which nobody may change. */
export interface RootGuard {
  readonly root: string;
  readonly writable: readonly string[];
  readonly readOnly: readonly string[];
}

export interface Snapshot {
  /** 40 hexadecimal digits. The same files have the same id, on every host. */
  readonly id: string;
  /** Whether it differs from `previous`. */
  readonly changed: boolean;
  /** Unignored files that it does not hold. */
  readonly leftOut: readonly LeftOutFile[];
  /**
   * Ignored files and directories (those with a slash at the end) that are there and not in it: of each root the nearest to it, as many as
   * `MAX_IGNORED`.
   */
  readonly ignored: readonly RootPath[];
  /** Names of what stands in the guarded root otherwise than it may, and is not so in the snapshot: `restore` makes the files what it says. */
  readonly refused?: readonly string[];
}

export interface ComposedPart {
  /** Of the directory. */
  readonly name: string;
  /** Left out: it is empty. */
  readonly snapshot?: string;
}

export interface LeftOutFile extends RootPath {
  readonly reason: LeftOutReason;
}

export interface Restored {
  /** Files, links and directories made or changed. */
  readonly written: number;
  /** Entries removed, directories with all that was in them as one. */
  readonly removed: number;
}

export interface DiffOptions {
  /** Whether a file that moved is shown as one; default false: one deleted, one added. */
  readonly renames?: boolean;
}

/** What changed in the project's files of a root. */
export interface RootDiff {
  readonly root: string;
  readonly files: readonly ChangedFile[];
  /**
   * For `git apply` in the root: binary files included, empty directories and version control's own files not. Its bytes may be no UTF-8.
   * Undefined where it is longer than the limit `diffBytes`.
   */
  readonly patch?: Uint8Array;
}

export interface ChangedFile {
  readonly path: string;
  readonly change: 'added' | 'deleted' | 'modified' | 'renamed';
  /** Where a renamed file was. */
  readonly from?: string;
  /** Lines; undefined of a binary file. */
  readonly added?: number;
  readonly removed?: number;
}

/** A file, link or directory of one root that differs between two snapshots. Paths are bytes, one character each (latin1). */
export interface ChangedVersions {
  readonly path: string;
  /** Where a file that moved was before. */
  readonly from?: string;
  /** Undefined: nothing was there. */
  readonly before?: Version;
  /** `from` says nothing of it: `before` is what a tool found. */
  readonly found?: true;
  /** Undefined: nothing is there any more. */
  readonly after?: Version;
}

export interface Version {
  /** As in git: a file, an executable one, a link (its content is where it points), a directory (it has none). */
  readonly mode: '100644' | '100755' | '120000' | '040000';
  readonly content: Uint8Array;
}

/** A commit of what was done to one root between two snapshots. */
export interface BundleRequest {
  readonly from: string;
  readonly to: string;
  readonly root: string;
  /** A person's name. */
  readonly author: string;
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  readonly message: string;
  /** Below `refs/heads/`. */
  readonly branch: string;
}

export interface MergeRequest {
  /** Where the two began: what `theirs` was forked from. */
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
  /** Names what is kept of `theirs` in conflicts: letters, digits, `_`, `-`; default `theirs`. */
  readonly label?: string;
}

export interface Merged {
  readonly id: string;
  readonly conflicts: readonly (Omit<MergeConflict, 'path'> & RootPath)[];
}

export interface MoveRequest {
  /** What the files were recorded as last. */
  readonly from: string;
  /** Made from it. */
  readonly to: string;
  /** What is as `from` has it, whatever `to` says. */
  readonly guard?: RootGuard;
  /** Nothing has changed the files since they were recorded: only what differs has to be looked at. */
  readonly isThere?: boolean;
}

/** As of a snapshot that was taken: `id` is what the files are now. */
export type MovedFiles = Pick<Snapshot, 'id' | 'changed' | 'ignored' | 'refused'>;

export interface CarryRequest {
  /** What the files were recorded as last. */
  readonly from: string;
  /** Made from it. */
  readonly to: string;
  /** Names what is written beside what somebody changed: letters, digits, `_`, `-`; default `theirs`. */
  readonly label?: string;
  /** As in `TakeOptions`. */
  readonly rereads?: boolean;
}

export interface CarriedFiles extends MovedFiles {
  /** What was changed here since `from`, and stays. */
  readonly kept: readonly KeptPath[];
  /** Version control's own directories that `to` has otherwise than `from`: nothing is done to them. */
  readonly metadata: readonly RootPath[];
}

export interface KeptPath extends RootPath {
  /** Where what `to` has is, beside it. Undefined: it has nothing there, or it could not be written. */
  readonly keptAt?: string;
}

export interface PackOptions {
  /** A snapshot that whoever gets the pack has. */
  readonly without: string | undefined;
  /** Of the file that is written: absolute, and not there yet. */
  readonly path: string;
}

/**
 * The snapshots of a tree of forks, whose workspaces share what is the same. Everything rejects with `SnapshotError`.
 *
 * A snapshot holds, byte for byte, all files that are not ignored (gitignore(5), and the tracked files of a git repository in any case),
 * empty directories, links as links, whether a file is executable, version control's own directories, nested repositories with
 * theirs, and ignored files that were named as `written`. Other ignored files are caches: never in it, never touched, unless they
 * stand in the way or in a directory that the snapshot does not have.
 */
export interface SnapshotStore {
  /** Records the files as they are. Durable when it resolves. */
  take(files: WorkspaceFiles, options?: TakeOptions): Promise<Snapshot>;
  /** Makes the files what the snapshot says. May be killed and done again. No process may be changing them meanwhile. */
  restore(files: WorkspaceFiles, snapshot: string): Promise<Restored>;
  /** The same from the snapshot that they were recorded as last to one that was made from it. */
  move(files: WorkspaceFiles, request: MoveRequest): Promise<MovedFiles>;
  /**
   * Carries what differs between two snapshots into files that are a person's, and records them: nothing that was changed since the
   * first, by whomever, is written over or removed. May be killed and done again, and the person may be at work meanwhile.
   */
  carry(files: WorkspaceFiles, request: CarryRequest): Promise<CarriedFiles>;
  /** Whether the files are what the snapshot says: with nothing more and nothing less. */
  isClean(files: WorkspaceFiles, snapshot: string): Promise<boolean>;
  /** The roots that differ, in the order of their names. */
  diff(from: string, to: string, options?: DiffOptions): Promise<readonly RootDiff[]>;
  /**
   * What differs in one root's project files, whole: also directories that are new or gone, none of version control's own. Undefined
   * where it is more than the limit `diffBytes`.
   */
  versions(from: string, to: string, root: string): Promise<readonly ChangedVersions[] | undefined>;
  /**
   * A git bundle with that commit, on the one that the root had checked out at `from`, so that whoever has that can fetch it; where there
   * was none, on a commit of the files of `from`. Undefined where it is longer than the limit `diffBytes`.
   */
  bundle(request: BundleRequest): Promise<Uint8Array | 'unchanged' | undefined>;
  /**
   * A new snapshot: the files of `ours` with what `theirs` changed since `base`. Nothing of either is lost in a conflict, but a file that
   * both moved and changed counts as deleted and added.
   */
  merge(request: MergeRequest): Promise<Merged>;
  /** A new snapshot with one root, in which each part is a directory with what that snapshot has in its own root of that name. */
  compose(parts: readonly ComposedPart[], root: string): Promise<string>;
  /** Takes a snapshot that is on this host in another tree of forks into this one. */
  adopt(snapshot: string, lineage: string): Promise<void>;
  /**
   * Hands a snapshot to the other hosts (`shared`), before anything names it to them. Again is nothing; without `shared` nothing.
   */
  push(snapshot: string): Promise<void>;
  /** Brings a snapshot that another host pushed here; nothing where it is here. */
  fetch(snapshot: string): Promise<void>;
  /**
   * Looks through the stores of the lineage, here and where hosts share, and removes what at two looks, with the limit `pruneGraceMs` between
   * them, no live snapshot held (whatever a row may lead to), and was older than that at the first. Sooner than that it does nothing. `undefined`: no row
   * names the lineage, and all of it goes.
   */
  prune(live: readonly string[] | undefined): Promise<void>;
  /** Whether the snapshot, of which these files are, holds something at the path. */
  holds(files: WorkspaceFiles, snapshot: string, path: RootPath): Promise<boolean>;
  /** Writes a git pack of the objects that make up a snapshot, without those of another. Resolves to its bytes. */
  pack(snapshot: string, options: PackOptions): Promise<number>;
  /**
   * A file of a snapshot; undefined where there is none. Rejects with `no_file` where something else stands there, or on the way, and
   * where it is longer than `maxBytes`.
   */
  read(snapshot: string, file: RootPath & { readonly maxBytes: number }): Promise<Uint8Array | undefined>;
  /** Whether the snapshot is on this host. */
  has(snapshot: string): Promise<boolean>;
}

export interface Snapshots {
  /** `lineage`: letters, digits, `_`, `-`; names the tree of forks. */
  of(lineage: string): SnapshotStore;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

export interface SnapshotsOptions {
  /** Where snapshots are kept on this host: Capybara's own, never inside a workspace. Made if missing. */
  readonly directory: string;
  readonly limits?: Partial<SnapshotLimits>;
  /** Where hosts share snapshots (`CAPYBARA_SNAPSHOTS`): an absolute path, made if missing, or the address of a git remote. */
  readonly shared?: string | undefined;
  /** Where git is looked for: a PATH. */
  readonly searchPath?: string;
  /** Told what went wrong with a chore that nobody waits for. */
  readonly onWarning?: (message: string) => void;
  /** How many snapshots are taken or restored at once; default 2. */
  readonly threads?: number;
}
