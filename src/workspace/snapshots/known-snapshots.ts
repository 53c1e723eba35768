import type { Directory } from './file-node.ts';
import { putFound, unknownTo } from './found-files.ts';
import { keepNewest } from './newest.ts';
import { PackWriter } from './pack-writer.ts';
import { readSummary } from './read-summary.ts';
import type { ShadowGit } from './shadow-git.ts';
import { changedRoots } from './snapshot-changes.ts';
import { checkId, missingSnapshot } from './snapshot-error.ts';
import { readListing, type SnapshotContent, snapshotTrees, writeSnapshot } from './snapshot-tree.ts';
import type { Summary } from './walked-files.ts';

const CACHED_SUMMARIES = 1_000;
/** Of one thread: with more objects than this a snapshot is read again whenever it is asked for. */
const LEARNED_OBJECTS = 100_000;
const LEARNED_SNAPSHOTS = 8;

/** By directory and snapshot: what snapshots of any lineage hold that were asked for last. */
const learned = new Map<string, ReadonlyMap<string, Directory>>();

/** What a store is known to hold, so that git need not be asked for it again. */
export class KnownSnapshots {
  readonly #git: ShadowGit;
  readonly #pruneGraceMs: number;
  readonly #summaries = new Map<string, Summary>();
  /** Objects that the store holds, of snapshots that were taken or restored here: with a tree all that is in it. */
  readonly #hashes = new Set<string>();
  #since = performance.now();

  constructor(git: ShadowGit, pruneGraceMs: number) {
    this.#git = git;
    this.#pruneGraceMs = pruneGraceMs;
  }

  has(hash: string): boolean {
    return this.#hashes.has(hash);
  }

  /** Writes what the store does not hold. */
  writer(): PackWriter {
    return new PackWriter(this.#git.packs, this.#hashes);
  }

  /** The id of a snapshot that is durably in the store from now on. */
  write(content: SnapshotContent, writer: PackWriter): string {
    const id = writeSnapshot(content, writer);
    this.#finish(writer);
    this.#remember(id, { ...snapshotTrees(content.roots), manifest: content.manifest });
    return id;
  }

  /**
   * The tree of a snapshot's files; beside another, with what that found of which this one says nothing: for git to compare, as it is
   * in no snapshot, and goes when the store is pruned.
   */
  files(snapshot: string, beside = snapshot): string {
    const { files, manifest } = this.summary(snapshot);
    const unknown = unknownTo(manifest, this.summary(beside).manifest);
    if (unknown.size === 0) return files;
    this.forgetOld();
    // Of its own: what is learned nobody changes.
    const { roots, hashes } = readListing(this.#listing(snapshot));
    for (const hash of [...hashes, snapshot]) this.#hashes.add(hash);
    for (const [name, root] of roots) putFound(root, unknown.get(name) ?? []);
    const writer = this.writer();
    try {
      const { files: all } = snapshotTrees(roots, writer);
      this.#finish(writer);
      return all;
    } finally {
      writer.discard();
    }
  }

  summary(snapshot: string): Summary {
    checkId(snapshot);
    const found = this.#summaries.get(snapshot);
    if (found !== undefined) return found;
    const summary = readSummary(this.#git, snapshot);
    this.#remember(snapshot, summary);
    return summary;
  }

  /**
   * What a snapshot holds: nobody changes that. `near`: another that it has most in common with, of which this is asked next to
   * nothing where it is known.
   */
  learn(snapshot: string, near?: string): ReadonlyMap<string, Directory> {
    const known = this.#learned(snapshot);
    if (known !== undefined) return known;
    const beside = near === undefined ? undefined : this.#learned(near);
    const { roots, hashes } =
      beside === undefined
        ? readListing(this.#listing(snapshot), { isKnown: true })
        : this.#readChanges(snapshot, { near, roots: beside });
    for (const hash of [...hashes, snapshot]) this.#hashes.add(hash);
    if (beside !== undefined || hashes.length <= LEARNED_OBJECTS) this.keep(snapshot, roots);
    return roots;
  }

  /** It holds this, and nobody changes that. */
  keep(snapshot: string, roots: ReadonlyMap<string, Directory>): void {
    keepNewest(learned, { key: this.#keyOf(snapshot), value: roots, limit: LEARNED_SNAPSHOTS });
  }

  #learned(snapshot: string): ReadonlyMap<string, Directory> | undefined {
    // What another that was opened on this store learned says nothing of what is known to be in it now.
    const roots = this.#hashes.has(snapshot) ? learned.get(this.#keyOf(snapshot)) : undefined;
    if (roots !== undefined) this.keep(snapshot, roots);
    return roots;
  }

  #keyOf(snapshot: string): string {
    return `${this.#git.directory}\0${snapshot}`;
  }

  #listing(snapshot: string): Buffer {
    const listing = this.#git.listing(snapshot);
    if (listing === undefined) throw missingSnapshot(snapshot);
    return listing;
  }

  #readChanges(
    snapshot: string,
    { near, roots }: { readonly near: string | undefined; readonly roots: ReadonlyMap<string, Directory> },
  ): ReturnType<typeof changedRoots> {
    const how = ['-r', '-t', '--raw', '--no-abbrev', '--no-renames', '-z'];
    const diff = this.#git.run(['diff-tree', ...how, `${near}`, snapshot], { mayFail: true });
    if (diff === undefined) throw missingSnapshot(snapshot);
    return changedRoots(roots, diff);
  }

  /**
   * Another process may prune meanwhile: it leaves what is live and what is young. So what is thought to be in the store is of the
   * snapshot before, which is live, or was written less than the grace ago.
   */
  forgetOld(): void {
    if (performance.now() - this.#since < this.#pruneGraceMs / 2) return;
    this.#forget();
    this.#since = performance.now();
  }

  clear(): void {
    this.#forget();
    this.#summaries.clear();
  }

  /** What is learned again says again what is in the store. */
  #forget(): void {
    this.#hashes.clear();
    for (const key of learned.keys()) if (key.startsWith(this.#keyOf(''))) learned.delete(key);
  }

  #finish(writer: PackWriter): void {
    writer.finish();
    for (const hash of writer.hashes) this.#hashes.add(hash);
  }

  #remember(snapshot: string, summary: Summary): void {
    keepNewest(this.#summaries, { key: snapshot, value: summary, limit: CACHED_SUMMARIES });
  }
}
