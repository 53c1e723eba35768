/**
 * The files of sessions on this machine, for the run that works on them: brought to the recorded snapshot when they are
 * opened, recorded again after each call that may have changed them.
 */
import { chmod, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Source } from '../core/workspace.ts';
import { History, type Moved, NOTHING, type Recorded, remove } from './history.ts';
import { directoryOf, openLocal, scratchOf, type WorkspaceHost } from './kinds.ts';
import { rootsIn } from './named-roots.ts';
import { resolveInside } from './paths.ts';
import { freshPlace, type Place, type PlaceHost, takePlace } from './place.ts';
import { SnapshotError } from './snapshots/snapshot-error.ts';
import type { Snapshots } from './snapshots/snapshots.ts';
import type { Root, Workspace } from './workspace.ts';

export interface CheckoutRow {
  readonly id: string;
  readonly kind: Workspace['kind'];
  /** Of a `local` workspace: absolute. */
  readonly path: string | null;
  /** Names the tree of forks that its snapshots belong to. */
  readonly lineage: string;
  /** The newest recorded snapshot; null: there is none. */
  readonly head: string | null;
  /** Says the roots of a workspace that has several, and what may be read beside a `local` one. */
  readonly source?: Source | null;
}

/** A workspace in hand: nobody else changes its files until `release`. */
export interface Checkout extends Workspace {
  /** Whether what is on the disk can be thrown away: it is Capybara's own, and its history is recorded. */
  readonly managed: boolean;
  /** Its newest snapshot; null: there is none. */
  readonly newest: string | null;
  /** Whether that is this one; null: there is none. */
  isAt(head: string | null): boolean;
  /** A call begins that may change files: what they are is not known until `record`. */
  disturb(): void;
  /** While `isBusy`, commands change files as they please: what is recorded then is what they were for a moment. */
  watch(isBusy: () => boolean): void;
  /** Commands may have changed them since the newest snapshot was taken. */
  readonly isInMotion: boolean;
  /**
   * The snapshot of the files as they are, and whether it differs from the one before. `written`: files that a tool wrote, from the
   * root: they are part of the work although they may be ignored. Throws `SnapshotError`.
   */
  record(written?: readonly string[]): Promise<Recorded>;
  /**
   * The same before a call, with what `unheld` says of the files that it names: they are part of the work from now on. In a person's own
   * directory they are the person's, and so what they are now is what they were at any earlier time of which nothing is recorded.
   */
  recordBefore(unheld: readonly string[]): Promise<Recorded>;
  /** Which of these files, from the root, are there but not in the newest snapshot: to undo a call would not put them back. */
  unheld(paths: readonly string[]): Promise<readonly string[]>;
  /** Hands what was recorded to the other hosts, before a commit names it to them. */
  share(): Promise<void>;
  /** Whether the files are still what the newest snapshot says; false where there is none. */
  isUnchanged(): Promise<boolean>;
  /** Puts the files back to the newest snapshot. Managed workspaces only. */
  undo(): Promise<void>;
  /**
   * Makes the files what `merged` says, a snapshot that was made from the newest one, and records them. May be killed and done again.
   * In a person's own directory only what differs between the two is written, and nothing that was changed meanwhile is lost: such
   * a file stays, and the recorded snapshot has it, with what `merged` has beside it (`label` names that, as in a merge).
   */
  moveTo(merged: string, label?: string): Promise<Moved>;
  /** A call that was left behind may go on changing the files: nobody is to have them after this run. */
  abandon(): void;
  release(): void;
}

export interface CheckoutHost extends WorkspaceHost, Omit<PlaceHost, 'directory'> {
  readonly snapshots: Snapshots;
  onError(error: unknown): void;
}

/** Opens the files of a session. Throws `UserError` (`bad_workspace`) where they cannot be used. */
export async function openCheckout(row: CheckoutRow, host: CheckoutHost): Promise<Checkout> {
  return row.kind === 'local' ? openLocalCheckout(row, host) : openManaged(row, host);
}

async function openLocalCheckout(row: CheckoutRow, host: CheckoutHost): Promise<Checkout> {
  const workspace = await openLocal(row, host);
  const history = new History(row.head, workspace.root, { store: host.snapshots.of(row.lineage) });
  return {
    ...workspace,
    managed: false,
    get newest() {
      return history.head;
    },
    isAt: (head) => history.head === head,
    disturb: () => {},
    watch: (isBusy) => history.watch(isBusy),
    get isInMotion() {
      return history.isInMotion;
    },
    record: (written) => history.record(written),
    recordBefore: (unheld) => history.record([], unheld),
    unheld: (paths) => history.unheld(paths),
    share: () => history.share(),
    isUnchanged: () => history.isUnchanged(),
    moveTo: (merged, label) => history.carryOver(merged, label),
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

class ManagedCheckout implements Checkout {
  readonly managed = true;
  readonly id: string;
  readonly kind: Workspace['kind'];
  readonly root: string;
  readonly shown: string;
  readonly scratch: string;
  readonly roots: readonly Root[] | undefined;
  readonly #place: Place;
  readonly #history: History;
  #isAbandoned = false;

  constructor(row: CheckoutRow, host: CheckoutHost, place: Place) {
    this.id = row.id;
    this.kind = row.kind;
    this.root = place.files;
    this.shown = join(directoryOf(row.id, host), 'files');
    this.scratch = scratchOf(row.id, host);
    const { source } = row;
    this.roots = source && 'roots' in source ? rootsIn(place.files, source.roots) : undefined;
    this.#place = place;
    const parts = { store: host.snapshots.of(row.lineage), roots: this.roots };
    this.#history = new History(row.head ?? NOTHING, place.files, parts);
  }

  resolve(path: string): Promise<string> {
    return resolveInside(this.root, path, { shown: this.shown });
  }

  get newest(): string | null {
    return this.#history.head;
  }

  isAt(head: string | null): boolean {
    return this.#history.head === (head ?? NOTHING);
  }

  watch(isBusy: () => boolean): void {
    this.#history.watch(isBusy);
  }

  get isInMotion(): boolean {
    return this.#history.isInMotion;
  }

  disturb(): void {
    this.#place.disturb();
  }

  async record(written?: readonly string[]): Promise<Recorded> {
    await this.#openRoot();
    const { isBusy } = this.#history;
    const recorded = await this.#history.record(written);
    if (!this.#isAbandoned && !isBusy) this.#place.settle(recorded.snapshot);
    return recorded;
  }

  recordBefore(unheld: readonly string[]): Promise<Recorded> {
    return this.record(unheld);
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
    await this.#openRoot();
    await this.#history.restore();
    if (!this.#isAbandoned) this.#place.settle(head);
  }

  async moveTo(merged: string): Promise<Moved> {
    const isThere = this.#place.at === (this.#history.head ?? NOTHING);
    this.#place.disturb();
    await this.#openRoot();
    const { isBusy } = this.#history;
    const moved = await this.#history.moveTo(merged, isThere);
    if (!this.#isAbandoned && !isBusy) this.#place.settle(moved.snapshot);
    return moved;
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
