/**
 * The files of sessions on this machine, for the run that works on them: brought to the recorded snapshot when they are
 * opened, recorded again after each call that may have changed them.
 */
import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { directoryOf, openLocal, scratchOf, type WorkspaceHost } from './kinds.ts';
import { resolveInside } from './paths.ts';
import { freshPlace, type Place, type PlaceHost, takePlace } from './place.ts';
import { SnapshotError } from './snapshots/snapshot-error.ts';
import type { SnapshotStore, Snapshots, WorkspaceFiles } from './snapshots/snapshots.ts';
import type { Workspace } from './workspace.ts';

export interface CheckoutRow {
  readonly id: string;
  readonly kind: Workspace['kind'];
  /** Of a `local` workspace: absolute. */
  readonly path: string | null;
  /** Names the tree of forks that its snapshots belong to. */
  readonly lineage: string;
  /** The newest recorded snapshot; null: there is none. */
  readonly head: string | null;
}

/** A workspace in hand: nobody else changes its files until `release`. */
export interface Checkout extends Workspace {
  /** Whether what is on the disk can be thrown away: it is Capybara's own, and its history is recorded. */
  readonly managed: boolean;
  /** A call begins that may change files: what they are is not known until `record`. */
  disturb(): void;
  /**
   * The snapshot of the files as they are, and whether it differs from the one before. `written`: files that a tool wrote, from the
   * root: they are part of the work although they may be ignored. Throws `SnapshotError`.
   */
  record(written?: readonly string[]): Promise<Recorded>;
  /** Which of these files, from the root, are there but not in the newest snapshot: to undo a call would not put them back. */
  unheld(paths: readonly string[]): Promise<readonly string[]>;
  /** Hands what was recorded to the other hosts, before a commit names it to them. */
  share(): Promise<void>;
  /** Whether the files are still what the newest snapshot says; false where there is none. */
  isUnchanged(): Promise<boolean>;
  /** Puts the files back to the newest snapshot. Managed workspaces only. */
  undo(): Promise<void>;
  /** A call that was left behind may go on changing the files: nobody is to have them after this run. */
  abandon(): void;
  release(): void;
}

export interface Recorded {
  readonly snapshot: string;
  readonly changed: boolean;
}

export interface CheckoutHost extends WorkspaceHost, Omit<PlaceHost, 'directory'> {
  readonly snapshots: Snapshots;
  onError(error: unknown): void;
  /** Files were put back: what was seen of them since may no longer be so. */
  onUndone?(): void;
}

/** Opens the files of a session. Throws `UserError` (`bad_workspace`) where they cannot be used. */
export async function openCheckout(row: CheckoutRow, host: CheckoutHost): Promise<Checkout> {
  return row.kind === 'local' ? openLocalCheckout(row, host) : openManaged(row, host);
}

async function openLocalCheckout(row: CheckoutRow, host: CheckoutHost): Promise<Checkout> {
  const workspace = await openLocal(row, host);
  const history = new History(row.head, workspace.root, host.snapshots.of(row.lineage));
  return {
    ...workspace,
    managed: false,
    disturb: () => {},
    record: (written) => history.record(written),
    unheld: (paths) => history.unheld(paths),
    share: () => history.share(),
    isUnchanged: () => history.isUnchanged(),
    undo: () => Promise.reject(new Error('a local workspace is never put back')),
    abandon: () => {},
    release: () => {},
  };
}

async function openManaged(row: CheckoutRow, host: CheckoutHost): Promise<Checkout> {
  const placeHost = { ...host, directory: directoryOf(row.id, host) };
  const { place, spare } = takePlace(placeHost, row.head ?? NOTHING);
  clearUp(spare, host);
  try {
    return await brought(row, host, place);
  } catch (error) {
    if (error instanceof SnapshotError && UNREACHED.includes(error.code)) throw error;
    // A call left there what cannot be put right.
    host.onError(error);
    return brought(row, host, freshPlace(placeHost));
  }
}

/** Why there is no such snapshot here: no other place would change that. */
const UNREACHED = ['missing_snapshot', 'not_shared'];

/** The place with the files that are recorded; released where they cannot be brought there. */
async function brought(row: CheckoutRow, host: CheckoutHost, place: Place): Promise<Checkout> {
  const managed = new ManagedCheckout(row, host, place);
  try {
    await managed.undo();
    return managed;
  } catch (error) {
    place.release();
    throw error;
  }
}

/** Not waited for: a directory of dependencies takes its time. */
function clearUp(spare: readonly string[], host: CheckoutHost): void {
  for (const path of spare) remove(path).catch(host.onError);
}

/** With all that is in it, also what a command has closed to its owner. */
async function remove(path: string): Promise<void> {
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

/** Of the one root that a workspace has. */
export const ROOT_NAME = 'main';

/** The snapshot of a root `main` with nothing in it: what a managed workspace without a recorded one is at. */
export const NOTHING = 'de70d4636bf1f27527913324e1c5f3067a0a4a66';

/** The files of one checkout beside their newest snapshot. */
class History {
  readonly #files: WorkspaceFiles;
  readonly #store: SnapshotStore;
  readonly #unshared: string[] = [];
  #head: string | null;

  constructor(head: string | null, root: string, store: SnapshotStore) {
    this.#files = { roots: [{ name: ROOT_NAME, path: root, writable: true }] };
    this.#store = store;
    this.#head = head;
  }

  get head(): string | null {
    return this.#head;
  }

  async record(paths: readonly string[] = []): Promise<Recorded> {
    const previous = this.#head === null || this.#head === NOTHING ? {} : { previous: this.#head };
    const written = paths.map((path) => ({ root: ROOT_NAME, path }));
    const { id: snapshot } = await this.#store.take(this.#files, { ...previous, written });
    const changed = snapshot !== this.#head;
    this.#head = snapshot;
    if (changed) this.#unshared.push(snapshot);
    return { snapshot, changed };
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
  }
}

async function empty(directory: string): Promise<void> {
  for (const name of await readdir(directory)) await remove(join(directory, name));
}

class ManagedCheckout implements Checkout {
  readonly managed = true;
  readonly id: string;
  readonly kind: Workspace['kind'];
  readonly root: string;
  readonly shown: string;
  readonly scratch: string;
  readonly #place: Place;
  readonly #history: History;
  readonly #host: CheckoutHost;
  #isAbandoned = false;

  constructor(row: CheckoutRow, host: CheckoutHost, place: Place) {
    this.id = row.id;
    this.kind = row.kind;
    this.root = place.files;
    this.shown = join(directoryOf(row.id, host), 'files');
    this.scratch = scratchOf(row.id, host);
    this.#place = place;
    this.#host = host;
    this.#history = new History(row.head ?? NOTHING, place.files, host.snapshots.of(row.lineage));
  }

  resolve(path: string): Promise<string> {
    return resolveInside(this.root, path, this.shown);
  }

  disturb(): void {
    this.#place.disturb();
  }

  async record(written?: readonly string[]): Promise<Recorded> {
    await this.#openRoot();
    const recorded = await this.#history.record(written);
    if (!this.#isAbandoned) this.#place.settle(recorded.snapshot);
    return recorded;
  }

  unheld(paths: readonly string[]): Promise<readonly string[]> {
    return this.#history.unheld(paths);
  }

  share(): Promise<void> {
    return this.#history.share();
  }

  isUnchanged(): Promise<boolean> {
    return this.#history.isUnchanged();
  }

  async undo(): Promise<void> {
    const head = this.#history.head ?? NOTHING;
    if (this.#place.at === head) return;
    this.#place.disturb();
    this.#host.onUndone?.();
    await this.#openRoot();
    await this.#history.restore();
    if (!this.#isAbandoned) this.#place.settle(head);
  }

  /** A command may have closed it, or put something else there: nothing is done to where that leads. */
  async #openRoot(): Promise<void> {
    const stats = await lstat(this.root).catch(() => undefined);
    if (!stats?.isDirectory()) throw new SnapshotError('bad_root', `${this.root} is no directory any more.`);
    if ((stats.mode & 0o700) !== 0o700) await chmod(this.root, 0o700);
  }

  abandon(): void {
    this.#isAbandoned = true;
    this.#place.disturb();
  }

  release(): void {
    if (!this.#isAbandoned) this.#place.release();
  }
}
