import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NOTHING, ROOT_NAME } from './history.ts';
import type { BundleRequest, ChangedVersions, SnapshotStore } from './snapshots/snapshots.ts';

/** Two recorded states of a workspace's files; null: nothing was there. */
export interface Span {
  readonly base: string | null;
  readonly head: string | null;
}

/**
 * What was done to a workspace's files since it began, as a patch for `git apply`; empty where nothing was recorded. Undefined
 * where it is too long for one.
 */
export async function changesSince(store: SnapshotStore, span: Span): Promise<Uint8Array | undefined> {
  if (span.head === null) return new Uint8Array();
  const [root] = await store.diff(...(await held(store, span)));
  return root === undefined ? new Uint8Array() : root.patch;
}

/** The same, file by file, with all that stood there before and all that stands there after. Undefined where it is too long. */
export async function versionsSince(
  store: SnapshotStore,
  span: Span,
): Promise<readonly ChangedVersions[] | undefined> {
  if (span.base === span.head) return [];
  return store.versions(...(await held(store, span)), ROOT_NAME);
}

/** A git bundle with a commit of the same. Undefined where it is too long; `unchanged` where there is nothing to commit. */
export async function bundleSince(
  store: SnapshotStore,
  span: Span,
  commit: Pick<BundleRequest, 'author' | 'at' | 'message' | 'branch'>,
): Promise<Uint8Array | 'unchanged' | undefined> {
  if (span.head === null || span.base === span.head) return 'unchanged';
  const [from, to] = await held(store, span);
  return store.bundle({ ...commit, from, to, root: ROOT_NAME });
}

async function held(store: SnapshotStore, { base, head }: Span): Promise<[string, string]> {
  return [await fetched(store, base), await fetched(store, head)];
}

/** A state of the files, brought to this host. */
export async function fetched(store: SnapshotStore, snapshot: string | null): Promise<string> {
  if (snapshot === null || snapshot === NOTHING) await holdNothing(store);
  else await store.fetch(snapshot);
  return snapshot ?? NOTHING;
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
