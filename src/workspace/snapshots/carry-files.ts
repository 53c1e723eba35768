/** Puts new and changed files into a directory of a person's: each whole in one step, nothing over what it does not replace. */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { geteuid } from 'node:process';
import { type BytePath, joinBytes, systemPath } from './byte-path.ts';
import { isStill, lookAt } from './file-here.ts';
import type { Directory, StoredFile } from './file-node.ts';
import type { OpenDirectory } from './open-directory.ts';
import { writeAll } from './pack-writer.ts';
import type { ShadowGit } from './shadow-git.ts';

export type BlobSource = Pick<ShadowGit, 'blobs' | 'blob' | 'blobTo'>;

interface PendingSpot {
  /** What it is for the snapshots. */
  readonly path: BytePath;
  /** Where it goes. */
  readonly directory: BytePath;
  readonly name: BytePath;
}

export type Pending = PendingDirectory | PendingFile;

interface PendingDirectory extends PendingSpot {
  readonly type: 'directory';
}

export interface PendingFile extends PendingSpot {
  readonly type: 'file';
  readonly file: StoredFile;
  /** `new`: nothing stands there. `instead`: of what was `seen`. `beside`: what stands there stays. */
  readonly how: 'new' | 'instead' | 'beside';
  readonly seen?: Stats;
}

export interface KeptNode {
  readonly path: BytePath;
  /** Where what the snapshot has is, beside what stands there. Undefined: it has nothing there, or it could not be written. */
  readonly keptAt?: BytePath | undefined;
}

export interface WriteOptions {
  readonly blobs: BlobSource;
  readonly label: string;
  readonly maxBytes: number;
}

/** Ends the name of a file until it is whole. */
const UNFINISHED = '.capybara-unfinished';
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Why nothing can be done at one place: whatever stands there stays. */
const REFUSALS =
  'EACCES EPERM EROFS ENOENT ENOTDIR EISDIR EEXIST ENOTEMPTY ELOOP ENAMETOOLONG EBUSY ETXTBSY'.split(' ');
/** What file systems say that know no second name of a file. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV'];

/** What `act` returns, or the path as kept where the file system refuses it. */
export function unlessRefused(path: BytePath, act: () => KeptNode | undefined): KeptNode | undefined {
  try {
    return act();
  } catch (error) {
    if (!REFUSALS.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return { path };
  }
}

/** Returns what could not stand where it should. */
export function writePending(
  root: OpenDirectory,
  pending: readonly Pending[],
  options: WriteOptions,
): KeptNode[] {
  const kept: (KeptNode | undefined)[] = [];
  const files: PendingFile[] = [];
  for (const each of pending) {
    if (each.type === 'file') files.push(each);
    else kept.push(unlessRefused(each.path, () => makeDirectory(root, each)));
  }
  const places = Map.groupBy(files, ({ file }) => file.hash);
  options.blobs.blobs([...places.keys()], (hash, content) => {
    for (const each of places.get(hash) ?? [])
      kept.push(
        unlessRefused(each.path, () =>
          within(root, each.directory, (at) => new FileWrite(at, each, options).run(content)),
        ),
      );
  });
  return kept.filter((each) => each !== undefined);
}

/** What an earlier run left of a file when it was killed. */
export function clearStaged(at: OpenDirectory, name: BytePath): void {
  unlinkIfThere(at, stagedName(name));
}

/** The same of all that was recorded since as if it were a person's. */
export function clearRecorded(at: OpenDirectory, recorded: Directory): void {
  for (const [name, node] of recorded.children) {
    if (node.type === 'directory' && at.statHere(name)?.isDirectory()) {
      const inner = at.child(name);
      try {
        clearRecorded(inner, node);
      } finally {
        inner.close();
      }
    } else if (name.endsWith(UNFINISHED)) unlinkIfThere(at, name);
  }
}

function makeDirectory(root: OpenDirectory, { directory, name }: PendingDirectory): undefined {
  within(root, joinBytes(directory, name), () => undefined);
}

/** In the directory, made where it is missing; where a link stands on the way, or a file, it throws. */
function within<T>(at: OpenDirectory, path: BytePath, use: (at: OpenDirectory) => T): T {
  if (path === '') return use(at);
  const [name = '', ...rest] = path.split('/');
  if (at.statHere(name) === undefined) {
    mkdirSync(systemPath(at.at(name)), { mode: 0o777 });
    giveToOwner(at, name);
  }
  const inner = at.child(name);
  try {
    return within(inner, rest.join('/'), use);
  } finally {
    inner.close();
  }
}

function stagedName(name: BytePath): BytePath {
  return `${name.slice(0, 200)}${UNFINISHED}`;
}

class FileWrite {
  readonly #at: OpenDirectory;
  readonly #pending: PendingFile;
  readonly #options: WriteOptions;
  readonly #staged: BytePath;

  constructor(at: OpenDirectory, pending: PendingFile, options: WriteOptions) {
    this.#at = at;
    this.#pending = pending;
    this.#options = options;
    this.#staged = stagedName(pending.name);
  }

  run(content: Buffer | undefined): KeptNode | undefined {
    const { how, name, seen } = this.#pending;
    try {
      this.#stage(content);
      if (how === 'new' && (this.#putNew(name) || this.#isThere(name))) return undefined;
      if (how === 'instead' && seen !== undefined && isStill(this.#at, name, seen)) {
        renameSync(this.#path(this.#staged), this.#path(name));
        return undefined;
      }
      return this.#putBeside();
    } finally {
      unlinkIfThere(this.#at, this.#staged);
    }
  }

  #putBeside(): KeptNode | undefined {
    const { path, directory, name } = this.#pending;
    for (const beside of besides(name, this.#options.label))
      if (this.#putNew(beside) || this.#isThere(beside))
        return { path, keptAt: joinBytes(directory, beside) };
    return undefined;
  }

  /** With the owner and the mode of what it replaces. */
  #stage(content: Buffer | undefined): void {
    const { file, seen } = this.#pending;
    unlinkIfThere(this.#at, this.#staged);
    if (file.mode === '120000') {
      symlinkSync(content ?? this.#options.blobs.blob(file.hash), this.#path(this.#staged));
      giveToOwner(this.#at, this.#staged, seen);
      return;
    }
    const isExecutable = file.mode === '100755';
    const fd = openSync(this.#path(this.#staged), CREATE, isExecutable ? 0o777 : 0o666);
    try {
      if (content === undefined) this.#options.blobs.blobTo(file.hash, fd);
      else writeAll(fd, content, null);
      if (geteuid?.() === 0) {
        const { uid, gid } = seen ?? this.#at.own();
        fchownSync(fd, uid, gid);
      }
      if (seen?.isFile()) fchmodSync(fd, modeWith(seen.mode, isExecutable));
    } finally {
      closeSync(fd);
    }
  }

  /** Whether it could be put there: nothing is ever written over. */
  #putNew(name: BytePath): boolean {
    if (this.#at.statHere(name) !== undefined) return false;
    const isLink = this.#pending.file.mode === '120000';
    try {
      // Not every system names a link a second time: some follow it.
      if (isLink) renameSync(this.#path(this.#staged), this.#path(name));
      else linkSync(this.#path(this.#staged), this.#path(name));
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code === 'EEXIST') return false;
      if (!NO_LINKS.includes(code) || isLink) throw error;
      renameSync(this.#path(this.#staged), this.#path(name));
      return true;
    }
  }

  /** Of an earlier run, or the same by chance. */
  #isThere(name: BytePath): boolean {
    const here = lookAt(this.#at, name, this.#options.maxBytes);
    return here.type === 'file' && isSameContent(here.file, this.#pending.file);
  }

  #path(name: BytePath): string | Buffer {
    return systemPath(this.#at.at(name));
  }
}

/** Names for what stands beside another: as a merge has them. */
export function* besides(name: BytePath, label: string): Generator<BytePath, never> {
  for (let number = 1; ; number += 1)
    yield `${name.slice(0, 200)}.${label}${number === 1 ? '' : `-${number}`}`;
}

export function isSameContent(a: StoredFile, b: StoredFile): boolean {
  return a.hash === b.hash && (a.mode === '120000') === (b.mode === '120000');
}

/** What root makes in a directory of a person's belongs to the person. */
function giveToOwner(at: OpenDirectory, name: BytePath, like: Stats = at.own()): void {
  if (geteuid?.() === 0) lchownSync(systemPath(at.at(name)), like.uid, like.gid);
}

/** Whoever may read a file may run it. */
function modeWith(mode: number, isExecutable: boolean): number {
  const bits = mode & 0o777;
  return isExecutable ? bits | ((bits & 0o444) >> 2) | 0o100 : bits & 0o666;
}

function unlinkIfThere(at: OpenDirectory, name: BytePath): void {
  const stats = at.statHere(name);
  if (stats !== undefined && !stats.isDirectory()) unlinkSync(systemPath(at.at(name)));
}
