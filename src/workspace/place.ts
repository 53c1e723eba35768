/**
 * Where the files of a managed workspace are on this machine, and which process may touch them (PROTOCOL 5: files have no SQL
 * fence).
 *
 * `<dataDir>/workspaces/<id>/` holds one or more places, each with `files/` and who works in it. A run takes a place that nobody has, or whose owner is proven gone; where there is none, it makes a fresh one. So a worker that was stopped and comes
 * back goes on writing where nobody looks any more. The link `files` leads to the place in use: what agents are shown stays
 * the same.
 *
 * Owners are numbered: `owner-N` with the highest N counts, and whoever creates it has the place. It is never taken away, only
 * followed by the next or overwritten by its own with that it has left. (To remove a dead owner's file is to remove, in a
 * race, that of the living one who was faster.)
 *
 * `at` names the snapshot that the files equal. It is removed before anything changes them and written when they are recorded,
 * so that it is missing, never wrong; after a crash of the machine it does not count.
 */
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

/** A worker's process. */
export interface Owner {
  readonly host: string;
  readonly pid: number;
  readonly pidStartedAt: string;
  /** What the processes of its commands carry. */
  readonly mark?: { readonly marker: string; readonly lockLimit: number };
}

export interface PlaceHost {
  /** The workspace's directory, absolute. */
  readonly directory: string;
  /** Changes with each boot of the machine. */
  readonly boot: string;
  /** Who takes places. */
  readonly self: Owner;
  /** Whom new files are given to, where this process is root. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** True only where it is certain that the process, and all that it started, has ended. */
  isGone(owner: Owner): boolean;
}

/** A place in hand: nobody else touches its files until `release`. */
export class Place {
  readonly files: string;
  readonly path: string;
  readonly #number: number;
  readonly #boot: string;

  constructor(path: string, number: number, boot: string) {
    this.path = path;
    this.#number = number;
    this.#boot = boot;
    this.files = join(path, 'files');
  }

  /** The snapshot that the files equal; undefined where nobody knows. */
  get at(): string | undefined {
    const [snapshot, boot] = textAt(join(this.path, 'at'))?.split('\n') ?? [];
    return boot === this.#boot ? snapshot : undefined;
  }

  /** Before anything changes the files. */
  disturb(): void {
    rmSync(join(this.path, 'at'), { force: true });
  }

  /** The files are what the snapshot says. */
  settle(snapshot: string): void {
    replace(join(this.path, 'at'), `${snapshot}\n${this.#boot}`);
  }

  /** Nothing is left to release where others have proven its owner gone, and cleared up. */
  release(): void {
    orNone(() => replace(ownerFile(this.path, this.#number), LEFT));
  }
}

/** What an owner writes over its own file. */
const LEFT = 'left';

/**
 * Takes a place, best one that is at `head`. `spare`: directories with nothing that is needed, to be removed, where nobody
 * takes them for places any more: they were taken with it, or whoever was to remove them ended.
 */
export function takePlace(host: PlaceHost, head: string): { place: Place; spare: readonly string[] } {
  const { place = freshPlace(host), spare } = takeFreePlace(host, head);
  return { place, spare };
}

/** The same, where there is one that nobody has. */
export function takeFreePlace(
  host: PlaceHost,
  head: string,
): { place: Place | undefined; spare: readonly string[] } {
  mkdirSync(host.directory, { recursive: true, mode: 0o711 });
  const taken = placesIn(host.directory).flatMap((path) => take(path, host) ?? []);
  const place = taken.find(({ at }) => at === head) ?? taken[0];
  if (place !== undefined) pointTo(place, host.directory);
  const others = taken.filter((other) => other !== place);
  for (const { path } of others) renameSync(path, join(host.directory, `old-${basename(path)}`));
  return { place, spare: directoriesIn(host.directory, 'old-') };
}

/** Takes all that nobody has out of use. Returns directories to be removed, also those that somebody before was to. */
export function giveUpPlaces(host: PlaceHost): readonly string[] {
  const { place } = takeFreePlace(host, '');
  if (place !== undefined) renameSync(place.path, join(host.directory, `old-${basename(place.path)}`));
  return directoriesIn(host.directory, 'old-');
}

/** Of whomever. */
export function countPlaces(directory: string): number {
  return placesIn(directory).length;
}

/** One with no files yet, whatever others there are. */
export function freshPlace(host: PlaceHost): Place {
  const place = fresh(host);
  pointTo(place, host.directory);
  return place;
}

/** The newest first: what was used last has most of what is wanted. */
function placesIn(directory: string): string[] {
  const paths = directoriesIn(directory, 'place-');
  if (paths.length < 2) return paths;
  const changed = new Map(
    paths.map((path) => [path, statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0]),
  );
  return paths.sort((a, b) => (changed.get(b) ?? 0) - (changed.get(a) ?? 0));
}

function directoriesIn(directory: string, beginning: string): string[] {
  const names = readdirSync(directory).filter((name) => name.startsWith(beginning));
  return names.map((name) => join(directory, name));
}

function take(path: string, host: PlaceHost): Place | undefined {
  const last = Math.max(0, ...ownersOf(path));
  const before = last === 0 ? LEFT : textAt(ownerFile(path, last));
  // Nothing to read: somebody has just followed, and cleared up.
  if (before === undefined || !isFree(before, host)) return undefined;
  if (!created(ownerFile(path, last + 1), JSON.stringify(host.self))) return undefined;
  const others = ownersOf(path).filter((number) => number !== last + 1);
  // While this process hesitated, others may have had the place and cleared up behind them.
  if (others.some((number) => number > last)) return undefined;
  for (const number of others) rmSync(ownerFile(path, number), { force: true });
  return new Place(path, last + 1, host.boot);
}

/** A machine that lost its power may leave an empty file. */
function isFree(owner: string, host: PlaceHost): boolean {
  return owner === LEFT || owner === '' || host.isGone(JSON.parse(owner));
}

function ownersOf(path: string): number[] {
  const names = entriesOf(path).filter((name) => /^owner-\d+$/.test(name));
  return names.map((name) => Number(name.slice('owner-'.length)));
}

function ownerFile(path: string, number: number): string {
  return join(path, `owner-${number}`);
}

/** It appears with its owner: nobody else may find it before. */
function fresh({ directory, self, owner, boot }: PlaceHost): Place {
  const name = randomBytes(8).toString('hex');
  const [temporary, path] = [join(directory, `new-${name}`), join(directory, `place-${name}`)];
  mkdirSync(temporary, { mode: 0o711 });
  mkdirSync(join(temporary, 'files'), { mode: 0o700 });
  if (owner) chownSync(join(temporary, 'files'), owner.uid, owner.gid);
  writeFileSync(ownerFile(temporary, 1), JSON.stringify(self), { mode: 0o600 });
  renameSync(temporary, path);
  return new Place(path, 1, boot);
}

function pointTo(place: Place, directory: string): void {
  const temporary = join(directory, `files.${randomBytes(6).toString('hex')}`);
  symlinkSync(place.files, temporary);
  renameSync(temporary, join(directory, 'files'));
}

/** Whole or not at all, and only where there was nothing, in a directory that is still there. */
function created(path: string, text: string): boolean {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function replace(path: string, text: string): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

/** Undefined where there is none (any more). */
function textAt(path: string): string | undefined {
  return orNone(() => readFileSync(path, 'utf8'));
}

function entriesOf(path: string): string[] {
  return orNone(() => readdirSync(path)) ?? [];
}

function orNone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
