/** What this machine keeps of sessions that nobody works on: it comes back from the snapshots. */
import type { CheckoutHost, CheckoutRow } from './checkouts.ts';
import { NOTHING, remove } from './history.ts';
import { directoryOf, scratchOf } from './kinds.ts';
import { countPlaces, giveUpPlaces } from './place.ts';

/** `unheld`: nobody has the snapshot, so that the files may be all there is. */
export type IdleOutcome = 'removed' | 'in_use' | 'unheld';

export interface IdleHost extends CheckoutHost {
  /** Whether what is recorded was handed to where hosts share it. */
  readonly isShared: boolean;
}

/**
 * Removes the working directory of a managed workspace, and what its commands keep beside it: all that is recorded is in a snapshot, and
 * all else is a cache. A run that begins meanwhile finds no place, and makes a fresh one.
 */
export async function removeIdle(
  row: Pick<CheckoutRow, 'id' | 'lineage' | 'head'>,
  host: IdleHost,
): Promise<IdleOutcome> {
  const directory = directoryOf(row.id, host);
  if (!(await isHeld(row, host))) return 'unheld';
  for (const path of giveUpPlaces({ ...host, directory })) await remove(path);
  if (countPlaces(directory) > 0) return 'in_use';
  await remove(scratchOf(row.id, host));
  return 'removed';
}

async function isHeld({ lineage, head }: Pick<CheckoutRow, 'lineage' | 'head'>, host: IdleHost) {
  return head === null || head === NOTHING || host.isShared || host.snapshots.of(lineage).has(head);
}
