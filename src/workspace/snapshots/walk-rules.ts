import { closeSync, fstatSync, readSync } from 'node:fs';
import { isMetadata } from '../../core/metadata-name.ts';
import { type BytePath, PathSet } from './byte-path.ts';
import { type Directory, type FileNode, looksTheSame } from './file-node.ts';
import { trackedPaths } from './git-index.ts';
import { IgnoreFile, IgnoreRules } from './ignore-rules.ts';
import type { OpenDirectory } from './open-directory.ts';
import { objectName } from './pack-writer.ts';

/** Ignore files and indexes of git that are larger are not looked into. */
export const RULES_LIMIT_BYTES = 64 * 1024 * 1024;
const CACHED_RULES = 1_000;

/** What decides whether an entry of a directory is ignored. */
export interface Rules {
  readonly ignore: IgnoreRules;
  /** Tracked files of the repository around it, and where that begins in a path. */
  readonly tracked: { readonly paths: PathSet; readonly base: number };
}

export const noRules: Rules = { ignore: IgnoreRules.none, tracked: { paths: new PathSet([]), base: 0 } };

/** `metadata`: version control's own; `partial`: ignored, but for what is kept of it. */
export type EntryMode = 'files' | 'metadata' | 'partial';

/** What an entry of a directory is, by the directory's own mode and rules. `kept`: ignored files that count. */
export function modeOf(
  { mode, rules }: { readonly mode: EntryMode; readonly rules: Rules },
  {
    name,
    path,
    isDirectory,
  }: { readonly name: BytePath; readonly path: BytePath; readonly isDirectory: boolean },
  kept: PathSet,
): EntryMode | 'ignored' {
  if (mode === 'metadata') return 'metadata';
  if (mode === 'files' && isMetadata(name)) return 'metadata';
  if (mode !== 'partial' && !rules.ignore.ignores(path, isDirectory)) return 'files';
  const own = path.slice(rules.tracked.base);
  const { paths } = rules.tracked;
  const isKept = isDirectory ? kept.hasBelow(path) || paths.hasBelow(own) : kept.has(path) || paths.has(own);
  return isKept ? 'partial' : 'ignored';
}

type Use<T> = (hash: string, read: () => Buffer) => T;

/** Where the files that hold rules are read: those of one directory. */
export interface RuleSource {
  readonly hasRepository: boolean;
  /** What `use` makes of a regular file by its path from the directory; undefined where there is none. */
  use<T>(parts: readonly BytePath[], use: Use<T>): T | undefined;
}

/** Parsed ignore files and indexes by the names of their blobs. */
export class RuleCache {
  readonly #parsed = new Map<string, IgnoreFile | PathSet>();

  ignoreFile(hash: string, read: () => Buffer): IgnoreFile {
    return this.#get(`ignore ${hash}`, () => new IgnoreFile(read()));
  }

  index(hash: string, read: () => Buffer): PathSet {
    return this.#get(`index ${hash}`, () => new PathSet(trackedPaths(read())));
  }

  #get<T extends IgnoreFile | PathSet>(key: string, make: () => T): T {
    const found = (this.#parsed.get(key) as T | undefined) ?? make();
    this.#parsed.delete(key);
    this.#parsed.set(key, found);
    const [oldest] = this.#parsed.keys();
    if (this.#parsed.size > CACHED_RULES && oldest !== undefined) this.#parsed.delete(oldest);
    return found;
  }
}

/** The rules of a directory: its own ignore file, and those of a repository that begins here in the place of all above. */
export function rulesBelow(
  above: Rules,
  path: BytePath,
  { source, cache }: { readonly source: RuleSource; readonly cache: RuleCache },
): Rules {
  let { ignore, tracked } = above;
  const ignoreFile: Use<IgnoreFile> = (hash, read) => cache.ignoreFile(hash, read);
  if (source.hasRepository) {
    const exclude = source.use(['.git', 'info', 'exclude'], ignoreFile);
    const paths = source.use(['.git', 'index'], (hash, read) => cache.index(hash, read));
    ignore = exclude === undefined ? IgnoreRules.none : IgnoreRules.none.with(path, exclude);
    tracked = { paths: paths ?? noRules.tracked.paths, base: path === '' ? 0 : path.length + 1 };
  }
  const own = source.use(['.gitignore'], ignoreFile);
  return { ignore: own === undefined ? ignore : ignore.with(path, own), tracked };
}

/** The rules that the files themselves say now. Like git, it takes none through a symbolic link. */
export class DiskRules implements RuleSource {
  readonly #at: OpenDirectory;
  readonly #names: readonly BytePath[];
  readonly #before: Directory | undefined;

  constructor(at: OpenDirectory, names: readonly BytePath[], before: Directory | undefined) {
    this.#at = at;
    this.#names = names;
    this.#before = before;
  }

  get hasRepository(): boolean {
    return this.#names.includes('.git');
  }

  use<T>(parts: readonly BytePath[], use: Use<T>): T | undefined {
    const [first] = parts;
    if (first === undefined || !this.#names.includes(first)) return undefined;
    return useFile({ at: this.#at, before: this.#before }, parts, use);
  }
}

function useFile<T>(
  { at, before }: { readonly at: OpenDirectory; readonly before: Directory | undefined },
  [name = '', ...rest]: readonly BytePath[],
  use: Use<T>,
): T | undefined {
  const stats = at.stat(name);
  const node = before?.children.get(name);
  if (rest.length > 0) {
    if (!stats?.isDirectory()) return undefined;
    const inner = at.child(name);
    try {
      return useFile({ at: inner, before: node?.type === 'directory' ? node : undefined }, rest, use);
    } finally {
      inner.close();
    }
  }
  if (!stats?.isFile() || stats.size > RULES_LIMIT_BYTES) return undefined;
  const read = () => readSmall(at, name);
  const known = node?.type === 'file' && node.look !== undefined && looksTheSame(stats, node.look);
  if (known) return use(node.hash, read);
  const content = read();
  return use(objectName('blob', content), () => content);
}

function readSmall(at: OpenDirectory, name: BytePath): Buffer {
  const fd = at.openFile(name);
  try {
    const stats = fstatSync(fd);
    const content = Buffer.alloc(stats.isFile() ? Math.min(stats.size, RULES_LIMIT_BYTES) : 0);
    let size = 0;
    for (let bytes = -1; bytes !== 0 && size < content.length; size += bytes) {
      bytes = readSync(fd, content, size, content.length - size, size);
    }
    return content.subarray(0, size);
  } finally {
    closeSync(fd);
  }
}

/** The rules as a snapshot holds them. */
export class SnapshotRules implements RuleSource {
  readonly #directory: Directory | undefined;
  readonly #read: (hash: string) => Buffer;

  constructor(directory: Directory | undefined, read: (hash: string) => Buffer) {
    this.#directory = directory;
    this.#read = read;
  }

  get hasRepository(): boolean {
    return this.#directory?.children.has('.git') ?? false;
  }

  use<T>(parts: readonly BytePath[], use: Use<T>): T | undefined {
    let node: FileNode | undefined = this.#directory;
    for (const part of parts) node = node?.type === 'directory' ? node.children.get(part) : undefined;
    if (node?.type !== 'file' || node.mode === '120000') return undefined;
    const { hash } = node;
    return use(hash, () => this.#read(hash));
  }
}
