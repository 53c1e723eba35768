import { isAbsolute } from 'node:path';
import { SNAPSHOT_LIMITS, type SnapshotLimits } from './limits.ts';
import {
  clearLeftovers,
  finishRemoval,
  isPruneDue,
  liveBefore,
  pruneStore,
  removeStore,
} from './prune-store.ts';
import { type GitCommand, ShadowGit } from './shadow-git.ts';
import { SharedSnapshots } from './transport.ts';

export interface LineageStores {
  readonly lineage: string;
  /** On this host; neither this one nor the shared one need be there. */
  readonly directory: string;
  readonly shared?: string | undefined;
  readonly limits?: Partial<SnapshotLimits>;
  readonly git: GitCommand;
}

/**
 * Looks through the stores of one lineage, this host's and the shared one. `live`: what is still needed; undefined: no row names the
 * lineage, and all of it goes.
 */
export function pruneLineage(stores: LineageStores, live: readonly string[] | undefined): void {
  const { lineage, directory, shared } = stores;
  const { pruneGraceMs, nameMs } = { ...SNAPSHOT_LIMITS, ...stores.limits };
  const here = new ShadowGit(directory, stores.git);
  // Read before this look is noted in its place.
  const named = live === undefined ? undefined : [...live, ...liveBefore(here)];
  const isDue = pruneOne(here, live, pruneGraceMs);
  if (shared === undefined) return;
  const names = new SharedSnapshots(here, { remote: shared, lineage, nameMs });
  if (isAbsolute(shared)) pruneDirectory(names, { live, named, pruneGraceMs });
  else if (isDue && named !== undefined) names.forget(named);
}

/** Whether it was time to. */
function pruneOne(store: ShadowGit, live: readonly string[] | undefined, graceMs: number): boolean {
  finishRemoval(store.directory, graceMs);
  if (!isPruneDue(store.directory, graceMs)) return false;
  if (live === undefined) removeStore(store, graceMs);
  else pruneStore(store, live, graceMs);
  return true;
}

interface Needed {
  readonly live: readonly string[] | undefined;
  /** Those and the ones that were live at the look before. */
  readonly named: readonly string[] | undefined;
  readonly pruneGraceMs: number;
}

/** Other hosts may have looked at it already. */
function pruneDirectory(names: SharedSnapshots, { live, named, pruneGraceMs }: Needed): void {
  const { place } = names;
  if (place === undefined) return;
  if (live === undefined || named === undefined) pruneOne(place, undefined, pruneGraceMs);
  else if (isPruneDue(place.directory, pruneGraceMs)) {
    clearLeftovers(place, pruneGraceMs);
    names.forget(named);
    place.packRefs();
    pruneOne(place, [...live, ...names.named()], pruneGraceMs);
  }
}
