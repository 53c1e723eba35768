import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  MovedFiles,
  RootGuard,
  RootPath,
  SnapshotStore,
  WorkspaceFiles,
} from './snapshots/snapshots.ts';
import type { Root } from './workspace.ts';

export interface Recorded {
  readonly snapshot: string;
  readonly changed: boolean;
  /** Ignored files and directories that are there, and in no snapshot: see `Snapshot`. */
  readonly ignored: readonly string[];
  /** Names in the workspace's directory: what stood there otherwise than its roots allow, and was put back. */
  readonly refused?: readonly string[];
}

export interface Moved extends Recorded {
  /** In a person's own directory: what was changed since the newest snapshot, and stays. Empty in a managed workspace. */
  readonly kept: readonly Kept[];
  /** The same of version control's own directories, which are the person's. */
  readonly metadata: readonly string[];
}

export interface Kept {
  readonly path: string;
  /** Where what the snapshot has is, beside it. Undefined: it has nothing there, or it could not be written. */
  readonly keptAt?: string;
}

/** Of the one root that a workspace has. */
export const ROOT_NAME = 'main';

/** The snapshot of a root `main` with nothing in it: what a managed workspace without a recorded one is at. */
export const NOTHING = 'de70d4636bf1f27527913324e1c5f3067a0a4a66';

export interface HistoryParts {
  readonly store: SnapshotStore;
  /** Where the workspace has several. */
  readonly roots?: readonly Root[] | undefined;
}

function guardOf(roots: readonly Root[]): RootGuard {
  const named = (access: Root['access']) =>
    roots.filter((root) => root.access === access).map(({ name }) => name);
  return { root: ROOT_NAME, writable: named('write'), readOnly: named('read') };
}

/** The files of one checkout beside their newest snapshot. */
export class History {
  readonly #files: WorkspaceFiles;
  readonly #store: SnapshotStore;
  readonly #unshared: string[] = [];
  #head: string | null;
  #isBusy = () => false;
  readonly #guard: RootGuard | undefined;
  /** Files were read while commands changed them: their times need not tell of the last change. */
  #isUnsure = false;

  constructor(head: string | null, root: string, { store, roots }: HistoryParts) {
    this.#files = { roots: [{ name: ROOT_NAME, path: root, writable: true }] };
    this.#store = store;
    this.#head = head;
    this.#guard = roots && guardOf(roots);
  }

  get head(): string | null {
    return this.#head;
  }

  watch(isBusy: () => boolean): void {
    this.#isBusy = isBusy;
  }

  /** Commands may be changing them now. */
  get isBusy(): boolean {
    return this.#isBusy();
  }

  get isInMotion(): boolean {
    return this.isBusy || this.#isUnsure;
  }

  /** As `Checkout.record`. `found`: files that are there and in no snapshot, and that no session made. */
  async record(written: readonly string[] = [], found: readonly string[] = []): Promise<Recorded> {
    const previous = this.#head === null || this.#head === NOTHING ? {} : { previous: this.#head };
    const named = { written: this.#writable(written), found: this.#writable(found) };
    const { isBusy } = this;
    const rereads = isBusy || this.#isUnsure;
    const guard = this.#guard === undefined ? {} : { guard: this.#guard };
    const taken = await this.#store.take(this.#files, { ...previous, ...guard, ...named, rereads });
    if (taken.refused !== undefined) await this.#store.restore(this.#files, taken.id);
    this.#isUnsure = isBusy;
    return this.#isAt(taken);
  }

  /** Makes the files what `snapshot` says, which was made from the newest one. `isThere`: they are what that says. */
  async moveTo(snapshot: string, isThere: boolean): Promise<Moved> {
    await this.#store.fetch(snapshot);
    const guard = this.#guard === undefined ? {} : { guard: this.#guard };
    const request = { from: this.#head ?? NOTHING, to: snapshot, isThere, ...guard };
    const moved = await this.#store.move(this.#files, request);
    return { ...this.#isAt(moved), kept: [], metadata: [] };
  }

  /** The same in a person's own directory, as far as it is what the newest one says: see `SnapshotStore.carry`. */
  async carryOver(snapshot: string, label?: string): Promise<Moved> {
    await this.#store.fetch(snapshot);
    const { isBusy } = this;
    const rereads = isBusy || this.#isUnsure;
    const request = {
      from: this.#head ?? NOTHING,
      to: snapshot,
      rereads,
      ...(label !== undefined && { label }),
    };
    const { kept, metadata, ...moved } = await this.#store.carry(this.#files, request);
    this.#isUnsure = isBusy;
    return {
      ...this.#isAt(moved),
      kept: kept.map(({ root: _, ...each }) => each),
      metadata: metadata.map(({ path }) => path),
    };
  }

  #isAt({ id: snapshot, ignored, refused }: MovedFiles): Recorded {
    const changed = snapshot !== this.#head;
    this.#head = snapshot;
    if (changed) this.#unshared.push(snapshot);
    return { snapshot, changed, ignored: ignored.map(({ path }) => path), ...(refused && { refused }) };
  }

  async unheld(paths: readonly string[]): Promise<readonly string[]> {
    const [root] = this.#files.roots;
    const found = await Promise.all(
      paths.map(async (path) => {
        const isThere = await lstat(join(root?.path ?? '', path)).then(
          () => true,
          () => false,
        );
        return isThere && !(await this.#holds(path)) ? [path] : [];
      }),
    );
    return found.flat();
  }

  #writable(paths: readonly string[]): RootPath[] {
    const own = paths.filter((path) => this.#guard?.writable.includes(path.split('/', 1)[0] ?? '') ?? true);
    return own.map((path) => ({ root: ROOT_NAME, path }));
  }

  async #holds(path: string): Promise<boolean> {
    if (this.#head === null || this.#head === NOTHING) return false;
    return this.#store.holds(this.#files, this.#head, { root: ROOT_NAME, path });
  }

  async share(): Promise<void> {
    for (const snapshot of this.#unshared.splice(0)) await this.#store.push(snapshot);
  }

  async isUnchanged(): Promise<boolean> {
    return this.#head !== null && (await this.#store.isClean(this.#files, this.#head));
  }

  /** Nothing is what no store has to hold. */
  async restore(): Promise<void> {
    if (this.#head === NOTHING) for (const { path } of this.#files.roots) await empty(path);
    else if (this.#head !== null) {
      await this.#store.fetch(this.#head);
      await this.#store.restore(this.#files, this.#head);
    }
    this.#isUnsure = false;
  }
}

/** What a session's commands keep beside its files: temporary ones and caches. The directories stay, for those that still run. */
export async function emptyScratch(scratch: string): Promise<void> {
  const parts = await readdir(scratch).catch(() => []);
  for (const name of parts) await empty(join(scratch, name));
}

async function empty(directory: string): Promise<void> {
  for (const name of await readdir(directory)) await remove(join(directory, name));
}

/** With all that is in it, also what a command has closed to its owner. */
export async function remove(path: string): Promise<void> {
  const all = () => rm(path, { recursive: true, force: true });
  await all().catch(async () => {
    await unlock(path);
    await all();
  });
}

async function unlock(path: string): Promise<void> {
  if (!(await lstat(path)).isDirectory()) return;
  await chmod(path, 0o700);
  for (const name of await readdir(path)) await unlock(join(path, name));
}
