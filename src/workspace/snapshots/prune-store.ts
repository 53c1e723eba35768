/**
 * What no snapshot holds that anybody may need goes from a store, while others read it and write to it.
 *
 * A writer takes for stored what the snapshot before holds, which a row names, and what it wrote or found there less than half a grace
 * ago. So one look marks the packs that are older than the grace, and what is live; the next one, at least a grace later, removes from
 * those packs alone, and only what is live at neither look. Packs that were written meanwhile are not touched, so that nobody has to
 * wait for anybody, and two that prune at once do no harm. Times are those of the file system that the store is on.
 *
 * What stays is durable in a new pack before an old one goes: killed anywhere, it leaves all that it found, or what is live.
 */
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { namesInIndex } from './pack-index.ts';
import { syncDirectory } from './pack-writer.ts';
import type { ShadowGit } from './shadow-git.ts';

const MARK = 'prune-mark';
/** Behind the name of a store that is being removed. */
export const REMOVED = '.removed';
/** What git and bundles leave in a store where they are killed. */
const LEFTOVER = /^(bundle-|tmp_objdir-|incoming-)|\.(lock|new)$/;

const names = z.array(z.string());
const Mark = z.object({
  /** Those that were older than the grace. */
  packs: names,
  live: names,
  /** Those of which all is held by what is live, and was by what was live before. */
  clean: names,
});

interface Look extends z.infer<typeof Mark> {
  /** By the store's clock. */
  readonly at: number;
}

/** `live`: what is there of it, and all that it holds, stays. */
export function pruneStore(git: ShadowGit, live: readonly string[], graceMs: number): void {
  const mark = readMark(git) ?? look(git, { live }, graceMs);
  if (timeAt(git.directory) - mark.at < graceMs) return;
  const swept = sweep(git, mark, live);
  if (swept === undefined) return;
  const { clean, made } = swept;
  clearLeftovers(git, graceMs);
  git.joinPacks();
  look(git, { live, clean, made }, graceMs);
}

/** Whether it may be time to, as this host's clock says. */
export async function mayBeDue(directory: string, graceMs: number): Promise<boolean> {
  const mark = await stat(join(directory, MARK)).catch(() => undefined);
  return mark === undefined || Date.now() - mark.mtimeMs >= graceMs;
}

/** Whether it is time to look at a store again. */
export function isPruneDue(directory: string, graceMs: number): boolean {
  const mark = join(directory, MARK);
  if (!existsSync(directory)) return false;
  return !existsSync(mark) || timeAt(directory) - timeOf(mark) >= graceMs;
}

/** What was live when the store was last looked at. */
export function liveBefore(git: ShadowGit): readonly string[] {
  return readMark(git)?.live ?? [];
}

/** Removes a store that no row names, and none named at the look before, unless something was written to it lately. */
export function removeStore(git: ShadowGit, graceMs: number): void {
  const mark = readMark(git);
  if (mark === undefined || mark.live.length > 0) look(git, { live: [] }, graceMs);
  else if (timeAt(git.directory) - mark.at < graceMs || isInUse(git.directory, graceMs)) return;
  else moveAway(git, graceMs);
}

function moveAway(git: ShadowGit, graceMs: number): void {
  renameSync(git.directory, `${git.directory}${REMOVED}`);
  finishRemoval(git.directory, graceMs);
}

/** Ends what somebody may have begun who was killed. What was written to just before it was moved away goes back. */
export function finishRemoval(directory: string, graceMs: number): void {
  const removed = `${directory}${REMOVED}`;
  if (!existsSync(removed)) return;
  if (!isInUse(removed, graceMs)) rmSync(removed, { recursive: true, force: true });
  else if (!existsSync(directory)) renameSync(removed, directory);
  else bringBack(removed, directory);
}

/** The packs, where there is a store again: each before its index. */
function bringBack(removed: string, directory: string): void {
  const [from, to] = [removed, directory].map((store) => join(store, 'objects', 'pack')) as [string, string];
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of entriesOf(from).sort().reverse()) renameSync(join(from, name), join(to, name));
}

function isInUse(directory: string, graceMs: number): boolean {
  const packs = join(directory, 'objects', 'pack');
  const now = timeAt(directory);
  return entriesOf(packs).some((name) => name.endsWith('.pack') && now - timeOf(join(packs, name)) < graceMs);
}

interface Swept {
  /** The packs of which nothing will have to go while the same is live. */
  readonly clean: readonly string[];
  /** Written just now, of what was in packs that were old at the look before: it is as old as those. */
  readonly made?: string | undefined;
}

interface Seen extends Partial<Swept> {
  readonly live: readonly string[];
}

function look(git: ShadowGit, { live, clean = [], made }: Seen, graceMs: number): Look {
  const now = timeAt(git.directory);
  const isOld = (name: string) => name === made || now - timeOf(join(git.packs, `${name}.pack`)) >= graceMs;
  const packs = packsOf(git).filter(isOld);
  const path = join(git.directory, MARK);
  const temporary = `${path}.${randomBytes(6).toString('hex')}.new`;
  writeFileSync(temporary, JSON.stringify({ packs, live, clean }), { mode: 0o600 });
  renameSync(temporary, path);
  return { packs, live: [...live], clean: [...clean], at: timeOf(path) };
}

function readMark({ directory }: ShadowGit): Look | undefined {
  const path = join(directory, MARK);
  try {
    return { ...Mark.parse(JSON.parse(readFileSync(path, 'utf8'))), at: timeOf(path) };
  } catch {
    // None, or one that a crash of the machine has cut: the next look is a first one.
    return undefined;
  }
}

/** Undefined where another removed a pack meanwhile: what was in it is somewhere else now, and only the next one can tell what it needs. */
function sweep(git: ShadowGit, mark: Look, live: readonly string[]): Swept | undefined {
  const there = new Set(packsOf(git));
  const isAsBefore = new Set(mark.live).symmetricDifference(new Set(live)).size === 0;
  const clean = isAsBefore ? mark.clean.filter((name) => there.has(name)) : [];
  const looked = mark.packs.filter((name) => there.has(name) && !clean.includes(name));
  if (looked.length === 0) return { clean };
  const held = git.heldBy([...mark.live, ...live]);
  // What was no pack, or too young, at the look. A snapshot of which no row tells yet may be in there, and where packs were joined
  // since, what it shares with an old pack is there alone.
  const young = [...there].filter((name) => !mark.packs.includes(name) && !mark.clean.includes(name));
  const contents = contentsOf(git, [...looked, ...young]);
  if (contents === undefined) return undefined;
  const heldByYoung = git.heldBy(young.flatMap((name) => contents.get(name) ?? []));
  const worn: { readonly name: string; readonly kept: readonly string[] }[] = [];
  for (const name of looked) {
    const hashes = contents.get(name) ?? [];
    if (hashes.every((hash) => held.has(hash))) clean.push(name);
    const kept = hashes.filter((hash) => held.has(hash) || heldByYoung.has(hash));
    if (kept.length < hashes.length) worn.push({ name, kept });
  }
  const made = replace(git, worn);
  // One of that name that was there before may be a young snapshot's.
  return { clean: isAsBefore ? clean : [], made: there.has(made ?? '') ? undefined : made };
}

/** The names of what is in each of these packs; undefined where one of them is gone. */
function contentsOf({ packs }: ShadowGit, names: readonly string[]): Map<string, string[]> | undefined {
  try {
    return new Map(names.map((name) => [name, namesInIndex(readFileSync(join(packs, `${name}.idx`)))]));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Those without anything that stays go first: the new pack, whose name is returned, may need their room. */
function replace(
  git: ShadowGit,
  worn: readonly { readonly name: string; readonly kept: readonly string[] }[],
): string | undefined {
  for (const { name, kept } of worn) if (kept.length === 0) removePack(git, name);
  const mixed = worn.filter(({ kept }) => kept.length > 0);
  if (mixed.length === 0) return undefined;
  const made = git.pack(new Set(mixed.flatMap(({ kept }) => kept)));
  syncDirectory(git.packs);
  for (const { name } of mixed) if (name !== made) removePack(git, name);
  return made;
}

/** First the pack: whoever finds one without an index makes the index again. */
function removePack({ packs }: ShadowGit, name: string): void {
  for (const end of ['pack', 'idx', 'rev', 'bitmap', 'mtimes'])
    rmSync(join(packs, `${name}.${end}`), { force: true });
}

/** Those that have an index: any other may still be being written. */
function packsOf({ packs }: ShadowGit): string[] {
  const names = new Set(entriesOf(packs));
  return [...names]
    .filter((name) => name.endsWith('.pack'))
    .map((name) => name.slice(0, -'.pack'.length))
    .filter((name) => names.has(`${name}.idx`));
}

/** What a program that was killed left there, a lock too: nobody can be at it any more. */
export function clearLeftovers({ directory, packs }: ShadowGit, graceMs: number): void {
  const now = timeAt(directory);
  const isOld = (path: string) => now - timeOf(path) >= graceMs;
  const inside = [directory, join(directory, 'objects'), ...directoriesBelow(join(directory, 'refs'))];
  const left = inside.flatMap((place) =>
    entriesOf(place)
      .filter((name) => LEFTOVER.test(name))
      .map((name) => join(place, name)),
  );
  const whole = new Set(packsOf({ packs } as ShadowGit));
  const indexes = entriesOf(packs)
    .filter((name) => name.endsWith('.idx') && !whole.has(name.slice(0, -'.idx'.length)))
    .map((name) => join(packs, name));
  for (const path of [...left, ...indexes].filter(isOld)) rmSync(path, { recursive: true, force: true });
}

function directoriesBelow(path: string): string[] {
  const names = existsSync(path) ? readdirSync(path, { recursive: true, withFileTypes: true }) : [];
  return [
    path,
    ...names.filter((each) => each.isDirectory()).map((each) => join(each.parentPath, each.name)),
  ];
}

/** What the clock says that the times of files come from. */
function timeAt(directory: string): number {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const probe = join(directory, `clock.${randomBytes(6).toString('hex')}.new`);
  writeFileSync(probe, '');
  try {
    return timeOf(probe);
  } finally {
    rmSync(probe, { force: true });
  }
}

/** Of what is gone by now: that of just now. */
function timeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
}

function entriesOf(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
