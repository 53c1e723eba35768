import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failed } from './git-failure.ts';
import { hasWholeIndex } from './pack-index.ts';
import { SnapshotError } from './snapshot-error.ts';

/** With more, each object is looked for in too many. */
export const MANY_PACKS = 50;
const BATCH_BYTES = 32 * 1024 * 1024;
/** A pack without an index may still be being written by another process of this host. */
const ABANDONED_MS = 60 * 60_000;

const CONFIG = `[core]
\trepositoryformatversion = 0
\tbare = true
\tprotectHFS = false
\tprotectNTFS = false
\tlogAllRefUpdates = false
\tfsync = committed,loose-object
[receive]
\tunpackLimit = 1
[fetch]
\tunpackLimit = 1
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tfsckObjects = false
`;

export interface ObjectKind {
  readonly type: string;
  readonly size: number;
}

export interface GitCommand {
  /** A PATH. */
  readonly searchPath: string;
  readonly timeoutMs: number;
}

/**
 * A git directory of Capybara's own. Git never runs in a workspace, never reads a file of one, and knows no configuration but the one
 * that is written here: nothing that an agent can write names a program, a filter, an attribute or a path to it.
 */
export class ShadowGit {
  readonly directory: string;
  readonly packs: string;
  readonly #command: GitCommand;

  constructor(directory: string, command: GitCommand) {
    this.directory = directory;
    this.packs = join(directory, 'objects', 'pack');
    this.#command = command;
  }

  /** Creates what is missing, and clears up after whoever died while writing. */
  open(): void {
    mkdirSync(this.packs, { recursive: true, mode: 0o700 });
    for (const name of ['refs', 'info', 'objects/info']) {
      mkdirSync(join(this.directory, name), { recursive: true, mode: 0o700 });
    }
    this.#replace('config', CONFIG);
    this.#replace('HEAD', 'ref: refs/heads/none\n');
    this.#mendPacks();
  }

  /** Of a tree whose names are plain: names to hashes. Undefined where it is not here. */
  entries(tree: string): Map<string, string> | undefined {
    const listing = this.run(['ls-tree', '-z', tree], { mayFail: true });
    const lines = listing?.toString('latin1').split('\0').slice(0, -1);
    return lines && new Map(lines.map((line) => [line.split('\t')[1] ?? '', line.split(/[ \t]/)[2] ?? '']));
  }

  /** Another git directory, with the same git. */
  beside(directory: string): ShadowGit {
    return new ShadowGit(directory, this.#command);
  }

  /** Joins small packs, so that each object is looked for in few. Git fails where somebody else does so under it, and then it is done. */
  joinPacks(): void {
    const before = this.#packNames();
    if (before.length <= MANY_PACKS) return;
    try {
      this.run(['repack', '--geometric=2', '-d', '-q']);
    } catch (error) {
      const after = new Set(this.#packNames());
      if (before.every((name) => after.has(name))) throw error;
    }
  }

  #packNames(): string[] {
    return readdirSync(this.packs).filter((name) => name.endsWith('.pack'));
  }

  /** The names of all that these snapshots hold, with their own; of those that are here. */
  heldBy(snapshots: readonly string[]): Set<string> {
    const wanted = [...new Set(snapshots)];
    const here = [...this.kinds(wanted)].flatMap(({ hash, kind }) => (kind?.type === 'tree' ? [hash] : []));
    if (here.length === 0) return new Set();
    const input = Buffer.from(`${here.join('\n')}\n`);
    const args = ['rev-list', '--objects', '--no-object-names', '--missing=allow-any', '--stdin'];
    return new Set((this.run(args, { input }) as Buffer).toString('latin1').split('\n').slice(0, -1));
  }

  /** In one file, where each had one. */
  packRefs(): void {
    this.run(['pack-refs', '--all']);
  }

  /** Whether a snapshot is here with all that it holds. */
  isWhole(snapshot: string): boolean {
    return this.run(['rev-list', '--objects', '--quiet', snapshot], { mayFail: true }) !== undefined;
  }

  /** Makes one pack of these objects, durably. Returns its name. */
  pack(hashes: Iterable<string>): string {
    const input = Buffer.from(`${[...hashes].join('\n')}\n`);
    const args = ['pack-objects', '--quiet', '--threads=1', join(this.packs, 'pack')];
    return `pack-${(this.run(args, { input }) as Buffer).toString().trim()}`;
  }

  /** Other threads, and other processes, may be at it too. */
  #replace(name: string, text: string): void {
    const temporary = join(this.directory, `${name}.${randomBytes(6).toString('hex')}.new`);
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, join(this.directory, name));
  }

  /** The index of a pack that was complete is made again; a pack that was not goes once nobody can be writing it. */
  #mendPacks(): void {
    for (const name of readdirSync(this.packs)) {
      const path = join(this.packs, name);
      const isOld = () =>
        (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < Date.now() - ABANDONED_MS;
      if (name.startsWith('tmp_') && isOld()) rmSync(path, { force: true });
      if (!name.endsWith('.pack') || hasWholeIndex(path)) continue;
      rmSync(path.replace(/\.pack$/, '.idx'), { force: true });
      const made = this.run(['index-pack', path], { mayFail: true });
      if (made === undefined && isOld()) rmSync(path, { force: true });
    }
  }

  has(hash: string): boolean {
    return this.run(['cat-file', '-e', hash], { mayFail: true }) !== undefined;
  }

  /** `ls-tree` of a whole snapshot; undefined where it is not here. */
  listing(snapshot: string): Buffer | undefined {
    return this.run(['ls-tree', '-r', '-t', '-z', '--full-tree', snapshot], { mayFail: true });
  }

  blob(hash: string): Buffer {
    return this.run(['cat-file', 'blob', hash]) as Buffer;
  }

  /** The same of several, in their order. */
  blobsTogether(hashes: readonly string[]): readonly Buffer[] {
    const contents: Buffer[] = [];
    this.#batch(hashes, 'blob', (_, content) => contents.push(content));
    return contents;
  }

  /** Writes a blob of any size to an open file. */
  blobTo(hash: string, file: number): void {
    this.run(['cat-file', 'blob', hash], { stdout: file });
  }

  /** Hands over the blobs in some order; those that are larger than a batch as undefined, to be asked for one by one. */
  blobs(hashes: readonly string[], use: (hash: string, content: Buffer | undefined) => void): void {
    this.#each('blob', hashes, use);
  }

  /** The same of trees, as git keeps them. */
  trees(hashes: readonly string[], use: (hash: string, content: Buffer | undefined) => void): void {
    this.#each('tree', hashes, use);
  }

  /** Type and size of each; undefined of what is not here. */
  *kinds(hashes: readonly string[]): Generator<{ hash: string; kind: ObjectKind | undefined }> {
    if (hashes.length === 0) return;
    const input = Buffer.from(`${hashes.join('\n')}\n`);
    const lines = (this.run(['cat-file', '--batch-check=%(objecttype) %(objectsize)'], { input }) as Buffer)
      .toString()
      .split('\n');
    for (const [index, hash] of hashes.entries()) {
      const [, type = '', size] = /^([a-z]+) (\d+)$/.exec(lines[index] ?? '') ?? [];
      yield { hash, kind: size === undefined ? undefined : { type, size: Number(size) } };
    }
  }

  #each(
    type: string,
    hashes: readonly string[],
    use: (hash: string, content: Buffer | undefined) => void,
  ): void {
    for (const batch of this.#batches(hashes)) {
      if (batch.bytes > BATCH_BYTES) use(batch.hashes[0] as string, undefined);
      else this.#batch(batch.hashes, type, use);
    }
  }

  /** In bytes, by hash. Throws `SnapshotError` where one is not here. */
  sizes(hashes: readonly string[]): Map<string, number> {
    return new Map(
      [...this.kinds(hashes)].map(({ hash, kind }) => {
        if (kind === undefined) throw missing(hash);
        return [hash, kind.size];
      }),
    );
  }

  #batches(hashes: readonly string[]): { hashes: string[]; bytes: number }[] {
    const batches: { hashes: string[]; bytes: number }[] = [];
    for (const { hash, kind } of this.kinds(hashes)) {
      if (kind === undefined) throw missing(hash);
      const last = batches.at(-1);
      if (last === undefined || last.bytes + kind.size > BATCH_BYTES)
        batches.push({ hashes: [hash], bytes: kind.size });
      else {
        last.hashes.push(hash);
        last.bytes += kind.size;
      }
    }
    return batches;
  }

  #batch(hashes: readonly string[], expected: string, use: (hash: string, content: Buffer) => void): void {
    const output = this.run(['cat-file', '--batch'], {
      input: Buffer.from(`${hashes.join('\n')}\n`),
    }) as Buffer;
    let at = 0;
    for (const hash of hashes) {
      const end = output.indexOf('\n', at);
      const [, type, size] = output.toString('latin1', at, end).split(' ');
      if (type !== expected) throw missing(hash);
      const start = end + 1;
      at = start + Number(size) + 1;
      use(hash, output.subarray(start, at - 1));
    }
  }

  /** The output; undefined with `mayFail` where git says no, and where it is longer than `maxBytes`. Throws `SnapshotError`. */
  run(
    args: readonly string[],
    { input, stdout, mayFail, maxBytes, env, accepts = [0] }: RunOptions = {},
  ): Buffer | undefined {
    const options: SpawnSyncOptions = {
      cwd: this.directory,
      env: { ...this.#environment(), ...env },
      input: input ?? Buffer.alloc(0),
      maxBuffer: maxBytes ?? Number.MAX_SAFE_INTEGER,
      timeout: this.#command.timeoutMs,
      killSignal: 'SIGKILL',
      ...(stdout !== undefined && { stdio: ['pipe', stdout, 'pipe'] }),
    };
    const done = spawnSync('git', ['--no-pager', ...args], options);
    // First: a git that had written all before it was stopped has ended well, and what was kept of its output is cut.
    if ((done.error as NodeJS.ErrnoException | undefined)?.code === 'ENOBUFS') return undefined;
    if (done.status !== null && accepts.includes(done.status))
      return (done.stdout as Buffer | null) ?? Buffer.alloc(0);
    if (mayFail && done.status !== null) return undefined;
    throw failed(args, done, this.#command);
  }

  #environment(): Record<string, string> {
    return {
      PATH: this.#command.searchPath,
      HOME: '/dev/null',
      XDG_CONFIG_HOME: '/dev/null',
      LC_ALL: 'C',
      GIT_DIR: this.directory,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_SYSTEM: '/dev/null',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_TERMINAL_PROMPT: '0',
      GIT_ALLOW_PROTOCOL: 'file:git:http:https:ssh',
    };
  }
}

interface RunOptions {
  readonly input?: Buffer;
  /** An open file that takes the output. */
  readonly stdout?: number;
  readonly mayFail?: boolean;
  /** Beside what git gets in any case. */
  readonly env?: Readonly<Record<string, string>>;
  /** With more output there is none. */
  readonly maxBytes?: number;
  /** Exit codes that are no failure. */
  readonly accepts?: readonly number[];
}

function missing(hash: string): SnapshotError {
  return new SnapshotError(
    'missing_object',
    `The snapshot store has lost the object ${hash}; fetch the snapshot again.`,
  );
}
