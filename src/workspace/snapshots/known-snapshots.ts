import type { Directory } from './file-node.ts';
import { putFound, unknownTo } from './found-files.ts';
import { keepNewest } from './newest.ts';
import { PackWriter } from './pack-writer.ts';
import { readSummary } from './read-summary.ts';
import type { ShadowGit } from './shadow-git.ts';
import { checkId, missingSnapshot } from './snapshot-error.ts';
import { readListing, type SnapshotContent, snapshotTrees, writeSnapshot } from './snapshot-tree.ts';
import type { Summary } from './walked-files.ts';

const CACHED_SUMMARIES = 1_000;

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
    const roots = this.learn(snapshot);
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

  /** Reads what a snapshot holds. */
  learn(snapshot: string): Map<string, Directory> {
    const listing = this.#git.listing(snapshot);
    if (listing === undefined) throw missingSnapshot(snapshot);
    const { roots, hashes } = readListing(listing);
    for (const hash of [...hashes, snapshot]) this.#hashes.add(hash);
    return roots;
  }

  /**
   * Another process may prune meanwhile: it leaves what is live and what is young. So what is thought to be in the store is of the
   * snapshot before, which is live, or was written less than the grace ago.
   */
  forgetOld(): void {
    if (performance.now() - this.#since < this.#pruneGraceMs / 2) return;
    this.#hashes.clear();
    this.#since = performance.now();
  }

  clear(): void {
    this.#hashes.clear();
    this.#summaries.clear();
  }

  #finish(writer: PackWriter): void {
    writer.finish();
    for (const hash of writer.hashes) this.#hashes.add(hash);
  }

  #remember(snapshot: string, summary: Summary): void {
    keepNewest(this.#summaries, { key: snapshot, value: summary, limit: CACHED_SUMMARIES });
  }
}
