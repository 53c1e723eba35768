import { bundleOf } from './bundle.ts';
import { PathSet } from './byte-path.ts';
import { carryFiles } from './carry-roots.ts';
import { diffRoot } from './diff.ts';
import type { Directory } from './file-node.ts';
import { foundFiles, unknownTo } from './found-files.ts';
import { KnownSnapshots } from './known-snapshots.ts';
import { SNAPSHOT_LIMITS, type SnapshotLimits } from './limits.ts';
import { mergeSnapshots } from './merge.ts';
import { adoptSnapshot, composeSnapshot, guarded, guardedSnapshot } from './named-roots.ts';
import { keepNewest } from './newest.ts';
import { namesOnly, type ObjectSink } from './pack-writer.ts';
import { writePackOf } from './packing.ts';
import { readFileOf } from './read-file.ts';
import { restoreRoot } from './restore.ts';
import { type GitCommand, ShadowGit } from './shadow-git.ts';
import { checkId, missingSnapshot, SnapshotError } from './snapshot-error.ts';
import type { Manifest } from './snapshot-tree.ts';
import type {
  BundleRequest,
  CarriedFiles,
  CarryRequest,
  ChangedVersions,
  ComposedPart,
  DiffOptions,
  Merged,
  MergeRequest,
  MovedFiles,
  MoveRequest,
  PackOptions,
  Restored,
  RootDiff,
  RootPath,
  Snapshot,
  TakeOptions,
  WorkspaceFiles,
  WorkspaceRoot,
} from './snapshots.ts';
import { stepFiles } from './step.ts';
import { SharedSnapshots } from './transport.ts';
import { versionsBetween } from './versions.ts';
import { type Walked, walk } from './walk.ts';
import { RuleCache } from './walk-rules.ts';
import {
  directoriesOf,
  isWhat,
  keptPaths,
  keyOf,
  type LastWalk,
  manifestOf,
  nodeAt,
  notHeld,
  openRoot,
  type Summary,
  type WalkedFiles,
  writableRoots,
} from './walked-files.ts';

/** Workspaces of which the files' looks are kept in memory. */
const CACHED_WORKSPACES = 32;
/** After a restore the files are looked at again; what a look through the kernel's caches did not show is done once more. */
const RESTORE_TRIES = 3;

export interface LineageOptions {
  readonly directory: string;
  readonly limits?: Partial<SnapshotLimits>;
  readonly git: GitCommand;
  readonly shared?: { readonly remote: string; readonly lineage: string };
}

/**
 * The snapshots of one tree of forks, on this host. Synchronous: it runs in a thread, one call after the other, so that no two calls
 * touch the same files at once. Another process may use the same directory: what is written is never written twice.
 */
export class Lineage {
  readonly #git: ShadowGit;
  readonly #limits: SnapshotLimits;
  readonly #rules = new RuleCache();
  readonly #walked = new Map<string, LastWalk>();
  readonly #known: KnownSnapshots;
  readonly #shared: SharedSnapshots | undefined;

  constructor({ directory, limits, git, shared }: LineageOptions) {
    this.#git = new ShadowGit(directory, git);
    this.#limits = { ...SNAPSHOT_LIMITS, ...limits };
    this.#git.open();
    const { nameMs, pruneGraceMs } = this.#limits;
    this.#known = new KnownSnapshots(this.#git, pruneGraceMs);
    this.#shared = shared && new SharedSnapshots(this.#git, { ...shared, nameMs });
  }

  has(snapshot: string): boolean {
    checkId(snapshot);
    return this.#known.has(snapshot) || this.#git.has(`${snapshot}^{tree}`);
  }

  take(files: WorkspaceFiles, options: TakeOptions = {}): Snapshot {
    const { previous, written = [], found = [], rereads = false, guard } = options;
    const before = previous === undefined ? undefined : this.#known.summary(previous).manifest;
    this.#known.forgetOld();
    if (previous !== undefined && !this.#known.has(previous)) this.#known.learn(previous);
    const kept = keptPaths(before?.kept ?? {}, [...written, ...found]);
    const writer = this.#known.writer();
    try {
      const walked = this.#walk(files, { kept, sink: writer, rereads });
      const roots = directoriesOf(walked);
      const content = { roots, manifest: { ...manifestOf(walked), ...foundFiles(before, found, roots) } };
      const id = this.#known.write(content, writer);
      this.#isAt(files, id);
      const taken = { id, changed: id !== previous, ...notHeld(walked) };
      if (guard === undefined || previous === undefined || id === previous) return taken;
      return { ...taken, ...guarded(this.#store, content, { previous, guard }) };
    } finally {
      writer.discard();
    }
  }

  compose(parts: readonly ComposedPart[], root: string): string {
    this.#known.forgetOld();
    return composeSnapshot(this.#known, parts, { root, limits: this.#limits });
  }

  adopt(snapshot: string, lineage: string): void {
    checkId(snapshot);
    if (this.#git.isWhole(snapshot)) return;
    adoptSnapshot(this.#git, snapshot, lineage);
    this.#known.learn(snapshot);
  }

  isClean(files: WorkspaceFiles, snapshot: string): boolean {
    const wanted = this.#known.summary(snapshot);
    const isClean = isWhat(this.#walk(files, { kept: wanted.manifest.kept, sink: namesOnly }), wanted);
    if (isClean) this.#isAt(files, snapshot);
    return isClean;
  }

  holds(files: WorkspaceFiles, snapshot: string, { root, path }: RootPath): boolean {
    const last = this.#walked.get(keyOf(files));
    const node = last?.snapshot === snapshot ? nodeAt(last.roots.get(root), path) : undefined;
    return node
      ? node.type !== 'left_out'
      : this.#git.has(`${this.#known.summary(snapshot).files}:${root}/${path}`);
  }

  restore(files: WorkspaceFiles, snapshot: string): Restored {
    const counts = { written: 0, removed: 0 };
    if (this.isClean(files, snapshot)) return counts;
    const wanted = this.#known.summary(snapshot);
    const roots = this.#known.learn(snapshot);
    for (let tries = 0; tries < RESTORE_TRIES; tries += 1) {
      for (const root of writableRoots(files)) {
        const done = this.#restoreRoot(root, roots.get(root.name), { files, wanted });
        counts.written += done.written;
        counts.removed += done.removed;
      }
      if (this.isClean(files, snapshot)) return counts;
    }
    throw new SnapshotError(
      'not_restored',
      `The files are not what the snapshot ${snapshot} says after ${RESTORE_TRIES} tries: something else is changing them.`,
    );
  }

  diff(from: string, to: string, options: DiffOptions = {}): RootDiff[] {
    const [old, current] = [this.#rootTrees(from, to), this.#rootTrees(to, from)];
    const names = [...new Set([...old.keys(), ...current.keys()])].sort();
    return names
      .filter((root) => old.get(root) !== current.get(root))
      .map((root) =>
        diffRoot(
          this.#git,
          { root, from: old.get(root), to: current.get(root) },
          { ...options, maxBytes: this.#limits.diffBytes },
        ),
      );
  }

  versions(from: string, to: string, root: string): ChangedVersions[] | undefined {
    const [old, current] = [this.#rootTrees(from, to).get(root), this.#rootTrees(to, from).get(root)];
    const changes = versionsBetween(this.#git, { from: old, to: current }, this.#limits.diffBytes);
    const unknown = unknownTo(this.#known.summary(from).manifest, this.#known.summary(to).manifest);
    const found = new Set(unknown.get(root)?.map(({ path }) => path));
    return changes?.map((change) => (found.has(change.path) ? { ...change, found: true } : change));
  }

  bundle({ from, to, root, ...request }: BundleRequest): Buffer | 'unchanged' | undefined {
    const [old, current] = [this.#rootTrees(from).get(root), this.#rootTrees(to).get(root)];
    const trees = { from: old, to: current, begun: this.#known.learn(from).get(root) };
    return bundleOf(this.#git, trees, { ...request, maxBytes: this.#limits.diffBytes });
  }

  merge(request: MergeRequest): Merged {
    this.#known.forgetOld();
    return mergeSnapshots(this.#store, request);
  }

  move(files: WorkspaceFiles, { from, to, guard, isThere = false }: MoveRequest): MovedFiles {
    const { id = to, refused } = guard ? guardedSnapshot(this.#store, to, { previous: from, guard }) : {};
    const last = this.#walked.get(keyOf(files));
    const step = isThere && last?.snapshot === from ? { from, to: id, walked: last.roots } : undefined;
    const roots = step && stepFiles(this.#store, files, step);
    if (roots === undefined) this.restore(files, id);
    else this.#found(files, { roots, ignored: last?.ignored ?? [], snapshot: id });
    const ignored = this.#walked.get(keyOf(files))?.ignored ?? [];
    return { id, changed: id !== from, ignored, ...(refused && { refused }) };
  }

  carry(files: WorkspaceFiles, { rereads = false, ...request }: CarryRequest): CarriedFiles {
    const store = { ...this.#store, maxBytes: this.#limits.fileBytes };
    const { written, found, ...carried } = carryFiles(store, files, request);
    const { id, changed, ignored } = this.take(files, { previous: request.from, written, found, rereads });
    return { id, changed, ignored, ...carried };
  }

  push(snapshot: string): void {
    this.#known.summary(snapshot);
    this.#shared?.push(snapshot);
  }

  /** Brings a snapshot that another host pushed to this one. */
  fetch(snapshot: string): void {
    if (this.#shared === undefined) {
      if (!this.has(snapshot)) throw missingSnapshot(snapshot);
      return;
    }
    checkId(snapshot);
    if (this.#known.has(snapshot) && this.#git.has(`${snapshot}^{tree}`)) return;
    // Of one that nobody needed, and that came again elsewhere, a part may have been pruned here.
    if (!this.#git.isWhole(snapshot)) this.#shared.fetch(snapshot);
    this.#known.learn(snapshot);
  }

  /** The store was pruned: what was known of it need not be there. */
  forget(): void {
    this.#known.clear();
  }

  pack(snapshot: string, { without, path }: PackOptions): number {
    this.#known.summary(snapshot);
    if (without !== undefined) this.#known.summary(without);
    return writePackOf(this.#git, snapshot, { without, path });
  }

  read(snapshot: string, { root, path, maxBytes }: RootPath & { maxBytes: number }): Uint8Array | undefined {
    return readFileOf(this.#git, this.#known.summary(snapshot).files, { path: `${root}/${path}`, maxBytes });
  }

  /** What need not be done before an answer. */
  tidy(): void {
    this.#git.joinPacks();
    this.#shared?.tidy();
  }

  #rootTrees(snapshot: string, beside = snapshot): ReadonlyMap<string, string> {
    return this.#git.entries(this.#known.files(snapshot, beside)) ?? new Map();
  }

  get #store(): { readonly git: ShadowGit; readonly known: KnownSnapshots } {
    return { git: this.#git, known: this.#known };
  }

  #found(files: WorkspaceFiles, value: LastWalk): void {
    keepNewest(this.#walked, { key: keyOf(files), value, limit: CACHED_WORKSPACES });
  }

  #isAt(files: WorkspaceFiles, snapshot: string): void {
    const last = this.#walked.get(keyOf(files));
    if (last) last.snapshot = snapshot;
  }

  #restoreRoot(
    root: WorkspaceRoot,
    wanted: Directory | undefined,
    { files, wanted: summary }: { files: WorkspaceFiles; wanted: Summary },
  ): Restored {
    if (wanted === undefined) {
      throw new SnapshotError(
        'bad_root',
        `The snapshot has no root named '${root.name}'; open the workspace as it was.`,
      );
    }
    const { kept, leftOut } = summary.manifest;
    const at = openRoot(root);
    try {
      const options = {
        sink: namesOnly,
        limits: this.#limits,
        kept: new PathSet(kept[root.name] ?? []),
        before: this.#walked.get(keyOf(files))?.roots.get(root.name),
        wanted: { root: wanted, read: (hash: string) => this.#git.blob(hash) },
      };
      const { root: actual } = walk(at, options, this.#rules);
      return restoreRoot(at, { actual, wanted, leftOut: new PathSet(leftOut[root.name] ?? []) }, this.#git);
    } finally {
      at.close();
    }
  }

  #walk(
    files: WorkspaceFiles,
    { kept, sink, rereads = false }: { kept: Manifest['kept']; sink: ObjectSink; rereads?: boolean },
  ): WalkedFiles {
    const before = this.#walked.get(keyOf(files))?.roots;
    const roots = new Map<string, Walked>();
    for (const root of writableRoots(files)) {
      const at = openRoot(root);
      try {
        const paths = new PathSet(kept[root.name] ?? []);
        const options = { sink, limits: this.#limits, kept: paths, before: before?.get(root.name), rereads };
        roots.set(root.name, walk(at, options, this.#rules));
      } finally {
        at.close();
      }
    }
    const found = { roots, kept };
    this.#found(files, { roots: directoriesOf(found), ignored: notHeld(found).ignored });
    return found;
  }
}
