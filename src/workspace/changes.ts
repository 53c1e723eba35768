import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NOTHING, ROOT_NAME } from './history.ts';
import type { SnapshotStore } from './snapshots/snapshots.ts';

/**
 * What was done to a workspace's files since it began, as a patch for `git apply`; empty where nothing was recorded. Undefined
 * where it is too long for one.
 */
export async function changesSince(
  store: SnapshotStore,
  { base, head }: { readonly base: string | null; readonly head: string | null },
): Promise<Uint8Array | undefined> {
  if (head === null) return new Uint8Array();
  await store.fetch(head);
  await (base === null ? holdNothing(store) : store.fetch(base));
  const [root] = await store.diff(base ?? NOTHING, head);
  return root === undefined ? new Uint8Array() : root.patch;
}

/** A workspace that began with nothing never recorded that. */
async function holdNothing(store: SnapshotStore): Promise<void> {
  if (await store.has(NOTHING)) return;
  const path = await mkdtemp(join(tmpdir(), 'capybara-nothing-'));
  try {
    await store.take({ roots: [{ name: ROOT_NAME, path, writable: true }] });
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}
