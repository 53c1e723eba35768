import { chmodSync, closeSync, fstatSync, readSync, type Stats } from 'node:fs';
import { type BytePath, joinBytes, type PathSet, systemPath } from './byte-path.ts';
import {
  type Directory,
  type FileMode,
  type FileNode,
  type LeftOut,
  type LeftOutReason,
  lookOf,
  looksTheSame,
  type StoredFile,
} from './file-node.ts';
import { matching } from './ignore-rules.ts';
import type { SnapshotLimits } from './limits.ts';
import type { OpenDirectory } from './open-directory.ts';
import type { ObjectSink } from './pack-writer.ts';
import { SnapshotError } from './snapshot-error.ts';
import {
  DiskRules,
  type EntryMode,
  modeOf,
  noRules,
  type RuleCache,
  type Rules,
  rulesBelow,
  SnapshotRules,
} from './walk-rules.ts';

/** Larger files are read in pieces. */
const WHOLE_BYTES = 4 * 1024 * 1024;
const READ_TRIES = 3;

export interface WalkOptions {
  readonly sink: ObjectSink;
  readonly limits: SnapshotLimits;
  /** Ignored files that are part of the snapshot nevertheless, relative to the root. */
  readonly kept: PathSet;
  /** What the last walk found: files that look as they did are not read again. */
  readonly before: Directory | undefined;
  /**
   * The snapshot to be restored: what is ignored is what it says, not what the files say now; directories that it does not know are
   * not walked; what cannot be read is made readable.
   */
  readonly wanted?: { readonly root: Directory; readonly read: (hash: string) => Buffer };
  /** Trusts no look: files that a process maps into its memory may change without a trace for a while. */
  readonly rereads?: boolean;
}

export interface Walked {
  readonly root: Directory;
  /** Whether something is there that its owner may not read, or not enter. A restore mends that. */
  readonly closed: boolean;
  readonly leftOut: { readonly path: BytePath; readonly reason: LeftOutReason }[];
}

/** Where a walk is: what holds for the entries of one directory. */
interface Place {
  readonly at: OpenDirectory;
  /** Relative to the root. */
  readonly path: BytePath;
  readonly depth: number;
  readonly before: Directory | undefined;
  readonly wanted: Directory | undefined;
  readonly mode: EntryMode;
  readonly rules: Rules;
}

/** Finds what a snapshot of a root holds, and puts what is new of it into the sink. Throws `SnapshotError`. */
export function walk(root: OpenDirectory, options: WalkOptions, cache: RuleCache): Walked {
  return new Walk(options, cache).run(root);
}

class Walk {
  readonly #options: WalkOptions;
  readonly #cache: RuleCache;
  readonly #leftOut: Walked['leftOut'] = [];
  readonly #stepsBefore = matching.steps;
  #entries = 0;
  #closed = false;

  constructor(options: WalkOptions, cache: RuleCache) {
    this.#options = options;
    this.#cache = cache;
  }

  run(at: OpenDirectory): Walked {
    const { before, wanted } = this.#options;
    const root = this.#directory({
      ...{ at, path: '', depth: 0, before, wanted: wanted?.root, mode: 'files' },
      rules: noRules,
    });
    return { root, closed: this.#closed, leftOut: this.#leftOut };
  }

  #directory(outer: Place): Directory {
    const names = outer.at.names();
    this.#entries += names.length;
    const { entries: limit } = this.#options.limits;
    if (this.#entries > limit) {
      throw new SnapshotError(
        'too_many_files',
        `The workspace has more than ${limit} files that are not ignored; ignore what is generated (.gitignore), or raise the limit 'entries'.`,
      );
    }
    const place = outer.mode === 'files' ? { ...outer, rules: this.#rules(outer, names) } : outer;
    const children = new Map<BytePath, FileNode>();
    for (const name of names) {
      const node = this.#entry(place, name);
      if (node !== undefined) children.set(name, node);
    }
    return reuse(place.before, {
      type: 'directory',
      children,
      ...(place.mode === 'partial' && { partial: true }),
    });
  }

  /** Undefined where the entry is ignored, or gone. */
  #entry(place: Place, name: BytePath): FileNode | undefined {
    const stats = place.at.stat(name);
    if (stats === undefined) return undefined;
    const path = joinBytes(place.path, name);
    const mode = modeOf(place, { name, path, isDirectory: stats.isDirectory() }, this.#options.kept);
    this.#checkSteps();
    if (mode === 'ignored') return undefined;
    try {
      this.#checkPermissions(place, name, stats);
      const found = stats.isDirectory()
        ? this.#childDirectory(place, { name, path, mode })
        : this.#file(place, name, stats);
      return found?.type === 'left_out' ? this.#leave(path, found) : found;
    } catch (error) {
      return this.#failed(error, path);
    }
  }

  /** Other sessions wait for the thread. */
  #checkSteps(): void {
    if (matching.steps - this.#stepsBefore <= this.#options.limits.ruleSteps) return;
    throw new SnapshotError(
      'too_many_rules',
      'The ignore files of the workspace have too many patterns for its files to be looked through; ignore whole directories instead.',
    );
  }

  /** Gives the owner the permissions that a restore needs, where a command took them away. */
  #checkPermissions(place: Place, name: BytePath, stats: Stats): void {
    if (!stats.isDirectory() && !stats.isFile()) return;
    const least = stats.isDirectory() ? 0o700 : 0o400;
    if ((stats.mode & least) === least) return;
    this.#closed = true;
    if (this.#options.wanted === undefined) return;
    // Looked at again through the directory: a change does not go by a path.
    if (place.at.statHere(name)?.ino !== stats.ino) return;
    chmodSync(systemPath(place.at.at(name)), (stats.mode & 0o7777) | least | 0o200);
  }

  #childDirectory(
    place: Place,
    { name, path, mode }: { name: BytePath; path: BytePath; mode: Place['mode'] },
  ): FileNode | undefined {
    const wanted = place.wanted?.children.get(name);
    if (this.#options.wanted !== undefined) {
      if (wanted?.type !== 'directory' && mode !== 'partial') return { type: 'left_out', reason: 'foreign' };
    }
    if (place.depth >= this.#options.limits.depth) return { type: 'left_out', reason: 'too_deep' };
    const before = place.before?.children.get(name);
    const at = place.at.child(name);
    try {
      const found = this.#directory({
        ...{ ...place, at, path, mode, depth: place.depth + 1 },
        before: before?.type === 'directory' ? before : undefined,
        wanted: wanted?.type === 'directory' ? wanted : undefined,
      });
      return mode === 'partial' && found.children.size === 0 ? undefined : found;
    } finally {
      at.close();
    }
  }

  #file(place: Place, name: BytePath, stats: Stats): FileNode {
    const before = place.before?.children.get(name);
    const known = before?.type === 'file' && before.look !== undefined ? before : undefined;
    const { sink, rereads, limits } = this.#options;
    if (known?.look && !rereads && looksTheSame(stats, known.look) && sink.has(known.hash)) return known;
    if (stats.isSymbolicLink()) return this.#link(place.at, name, stats);
    if (!stats.isFile()) return { type: 'left_out', reason: 'special' };
    if (stats.size > limits.fileBytes) return { type: 'left_out', reason: 'too_large' };
    return this.#read(place.at, name);
  }

  #link(at: OpenDirectory, name: BytePath, stats: Stats): StoredFile {
    const look = lookOf(stats, Date.now());
    return { type: 'file', mode: '120000', hash: this.#options.sink.put('blob', at.readLink(name)), look };
  }

  #read(at: OpenDirectory, name: BytePath): StoredFile | LeftOut {
    const fd = at.openFile(name);
    try {
      for (let tries = 0; tries < READ_TRIES; tries += 1) {
        const startedMs = Date.now();
        const stats = fstatSync(fd);
        if (!stats.isFile()) return { type: 'left_out', reason: 'special' };
        if (stats.size > this.#options.limits.fileBytes) return { type: 'left_out', reason: 'too_large' };
        const hash = this.#content(fd, stats.size);
        const mode: FileMode = (stats.mode & 0o100) === 0 ? '100644' : '100755';
        if (hash !== undefined) return { type: 'file', mode, hash, look: lookOf(stats, startedMs) };
      }
      return { type: 'left_out', reason: 'changing' };
    } finally {
      closeSync(fd);
    }
  }

  /** The bytes that the file had when its size was asked for; undefined where it has become shorter. */
  #content(fd: number, size: number): string | undefined {
    const { sink } = this.#options;
    let position = 0;
    const read = (into: Buffer) => {
      for (let done = 0; done < into.length; ) {
        const bytes = readSync(fd, into, done, into.length - done, position);
        if (bytes === 0) throw new Shortened();
        done += bytes;
        position += bytes;
      }
    };
    try {
      if (size > WHOLE_BYTES) return sink.putLarge(size, read);
      const content = Buffer.allocUnsafe(size);
      read(content);
      return sink.put('blob', content);
    } catch (error) {
      if (error instanceof Shortened) return undefined;
      throw error;
    }
  }

  #rules({ at, path, before, wanted, rules }: Place, names: readonly BytePath[]): Rules {
    const { read } = this.#options.wanted ?? {};
    const source = read === undefined ? new DiskRules(at, names, before) : new SnapshotRules(wanted, read);
    return rulesBelow(rules, path, { source, cache: this.#cache });
  }

  #failed(error: unknown, path: BytePath): FileNode | undefined {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'EACCES':
      case 'EPERM':
        return this.#leave(path, { type: 'left_out', reason: 'unreadable' });
      case 'ENXIO': // a socket that took the place of a file
        return this.#leave(path, { type: 'left_out', reason: 'special' });
      case 'ENOENT': // gone, or replaced by something of another kind: the next walk sees what
      case 'ENOTDIR':
      case 'ELOOP':
        return undefined;
      default:
        throw error;
    }
  }

  #leave(path: BytePath, node: LeftOut): LeftOut {
    this.#leftOut.push({ path, reason: node.reason });
    return node;
  }
}

class Shortened extends Error {}

/** The directory as it was found before, where nothing in it differs: what is known of its trees stays known. */
function reuse(before: Directory | undefined, found: Directory): Directory {
  if (before === undefined || before.children.size !== found.children.size) return found;
  if (before.partial !== found.partial) return found;
  for (const [name, node] of found.children) {
    const old = before.children.get(name);
    if (old !== node && !sameFile(old, node)) return found;
  }
  for (const [name, node] of found.children) before.children.set(name, node);
  return before;
}

function sameFile(a: FileNode | undefined, b: FileNode): boolean {
  if (a?.type === 'file' && b.type === 'file') return a.hash === b.hash && a.mode === b.mode;
  return a?.type === 'left_out' && b.type === 'left_out';
}
