import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_NAME } from '../history.ts';
import { checkLocalPath } from '../kinds.ts';
import { openSnapshots } from '../snapshots/open-snapshots.ts';
import type { LeftOutFile, SnapshotStore } from '../snapshots/snapshots.ts';

/** A project's rules are sent although it may ignore them: without them its agents could do more. */
const RULES = '.capybara/config.yaml';
const PACK = /^sending-[0-9a-f]+\.pack$/;
/** Another command may be sending it. */
const ABANDONED_MS = 24 * 60 * 60_000;

/** A directory of this machine as it is sent to a server: a snapshot, kept beside those that were sent before. */
export interface SentDirectory {
  readonly snapshot: string;
  readonly leftOut: readonly LeftOutFile[];
  /** A file with what the snapshot has and `without` has not; with all of it where that is not here any more. */
  pack(without: string | undefined): Promise<SentPack>;
  /** Lets go of all snapshots but these. */
  prune(live: readonly string[]): Promise<void>;
  /** Removes the packs. */
  close(): Promise<void>;
}

export interface SentPack {
  readonly path: string;
  readonly bytes: number;
  readonly isWhole: boolean;
}

export interface ReadOptions {
  /** Capybara's own directory on this machine. */
  readonly dataDir: string;
  /** Letters and digits: of the directory's own store. */
  readonly name: string;
  /** The snapshot before. */
  readonly previous: string | undefined;
}

/** Throws `UserError` (`bad_workspace`) before anything is read of a directory that no agent should have, and `SnapshotError`. */
export async function readDirectory(
  directory: string,
  { dataDir, name, previous }: ReadOptions,
): Promise<SentDirectory> {
  const path = await checkLocalPath(directory, { dataDir });
  const own = join(dataDir, 'sent');
  mkdirSync(own, { recursive: true, mode: 0o700 });
  clearUp(own);
  const snapshots = openSnapshots({ directory: own, threads: 1 });
  const store = snapshots.of(name);
  try {
    const { id: snapshot, leftOut } = await take(store, path, previous);
    const packs: string[] = [];
    return {
      ...{ snapshot, leftOut },
      pack: async (without) => {
        const file = join(own, `sending-${randomBytes(8).toString('hex')}.pack`);
        packs.push(file);
        const known = without !== undefined && (await store.has(without)) ? without : undefined;
        const bytes = await store.pack(snapshot, { without: known, path: file });
        return { path: file, bytes, isWhole: known === undefined };
      },
      prune: (live) => store.prune(live),
      close: async () => {
        for (const file of packs) rmSync(file, { force: true });
        await snapshots.close();
      },
    };
  } catch (error) {
    await snapshots.close();
    throw error;
  }
}

async function take(store: SnapshotStore, path: string, previous: string | undefined) {
  const hasRules = lstatSync(join(path, RULES), { throwIfNoEntry: false }) !== undefined;
  const written = hasRules ? [{ root: ROOT_NAME, path: RULES }] : [];
  const known = previous !== undefined && (await store.has(previous)) ? { previous } : {};
  return store.take({ roots: [{ name: ROOT_NAME, path, writable: true }] }, { ...known, written });
}

/** What a command left that was killed while it sent. */
function clearUp(own: string): void {
  for (const name of readdirSync(own).filter((each) => PACK.test(each))) {
    const changedMs = statSync(join(own, name), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (changedMs < Date.now() - ABANDONED_MS) rmSync(join(own, name), { force: true });
  }
}
