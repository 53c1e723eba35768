/**
 * Takes the steps of a plan. New contents are written in full beside the files first, and each then takes its place at once: who is
 * killed in the middle leaves whole files, old or new, and applying again does the rest.
 */
import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  readdir,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { isUnchanged, placeOf, readHere } from './here.ts';
import { type KeptFiles, keepFiles } from './kept-files.ts';
import type { Act, Step } from './plan.ts';

export type Performed =
  | { readonly outcome: 'done' }
  /** Everything was put back, but for the paths in `lost`. */
  | { readonly outcome: 'changed'; readonly path: string; readonly lost: readonly string[] }
  | {
      readonly outcome: 'failed';
      readonly path: string;
      readonly error: Error;
      readonly lost: readonly string[];
    };

const STAGING = '.capybara-apply-';

/**
 * What may stand in the way of something else goes first, the deepest first; then come directories, and what goes into them. The
 * old place of a file that moves is the last to go: it may hold what is nowhere else.
 */
function inOrder(steps: readonly Step[]): Step[] {
  const sorted = steps.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const of = (...kinds: readonly Act['do'][]) => sorted.filter(({ act }) => kinds.includes(act.do));
  const going = of('remove', 'remove_directory').reverse();
  const isLate = ({ act, isMoved }: Step) => isMoved === true || act.do === 'remove_directory';
  return [
    ...going.filter(({ isMoved }) => isMoved !== true),
    ...of('make_directory'),
    ...of('write', 'link', 'set_mode'),
    ...going.filter(isLate),
  ];
}

export async function perform(steps: readonly Step[], directory: string): Promise<Performed> {
  await clearUp(directory);
  if (steps.length === 0) return { outcome: 'done' };
  const ordered = inOrder(steps);
  const staging = join(directory, `${STAGING}${process.pid}`);
  const kept = await keepFiles(
    directory,
    ordered.map(({ path }) => Buffer.from(path, 'latin1')),
  );
  const work = new Work(directory, staging);
  const gone = new Set<string>();
  let path = '';
  try {
    await work.stage(ordered);
    for (const step of ordered) {
      path = step.path;
      if (!gone.has(path) && isWatched(step) && !isUnchanged(step.seen, await readHere(directory, path)))
        return { outcome: 'changed', path, lost: await work.undo(kept) };
      await work.take(step);
      if (step.act.do === 'remove') gone.add(path);
    }
    return { outcome: 'done' };
  } catch (error) {
    return { outcome: 'failed', path, error: error as Error, lost: await work.undo(kept) };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** What stands in the way is gone by then, and a directory goes only where it is empty. */
function isWatched({ seen }: Step): boolean {
  return seen.kind !== 'blocked' && seen.kind !== 'directory';
}

/** What a run left that was killed: in a container every run may have the same id. */
async function clearUp(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const pid = Number(name.slice(STAGING.length));
    if (name.startsWith(STAGING) && Number.isInteger(pid) && (pid === process.pid || !isAlive(pid)))
      await rm(join(directory, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

class Work {
  readonly #directory: string;
  readonly #staging: string;
  readonly #staged = new Map<string, string>();
  readonly #made: Buffer[] = [];
  readonly #removed: Buffer[] = [];

  constructor(directory: string, staging: string) {
    this.#directory = directory;
    this.#staging = staging;
  }

  async stage(steps: readonly Step[]): Promise<void> {
    await mkdir(this.#staging, { mode: 0o700 });
    for (const [index, { path, act }] of steps.entries()) {
      const place = join(this.#staging, String(index));
      if (act.do === 'link') await symlink(act.content, place);
      else if (act.do === 'write') await this.#write(place, { path, act });
      else continue;
      this.#staged.set(path, place);
    }
  }

  /** With the owner and the mode of what it replaces. */
  async #write(
    place: string,
    { path, act }: { path: string; act: Extract<Act, { do: 'write' }> },
  ): Promise<void> {
    await writeFile(place, act.content, { mode: act.isExecutable ? 0o777 : 0o666, flag: 'wx' });
    const old = await lstat(placeOf(this.#directory, path)).catch(() => undefined);
    if (old === undefined || !old.isFile()) return;
    if (process.getuid?.() === 0) await chown(place, old.uid, old.gid);
    await chmod(place, modeWith(old.mode, act.isExecutable));
  }

  async take({ path, act }: Step): Promise<void> {
    const place = placeOf(this.#directory, path);
    switch (act.do) {
      case 'remove':
        return rm(place);
      case 'remove_directory':
        if (await removeEmpty(place)) this.#removed.push(place);
        return;
      case 'make_directory':
        return this.#makeDirectory(path);
      case 'set_mode':
        return chmod(place, modeWith((await lstat(place)).mode, act.isExecutable));
      case 'write':
      case 'link':
        await this.#makeDirectory(path.split('/').slice(0, -1).join('/'));
        return moveInto(this.#staged.get(path) as string, place, act.do);
    }
  }

  async #makeDirectory(path: string): Promise<void> {
    const names = path === '' ? [] : path.split('/');
    for (let depth = 1; depth <= names.length; depth += 1) {
      const place = placeOf(this.#directory, names.slice(0, depth).join('/'));
      const isThere = await mkdir(place).then(
        () => false,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return true;
          throw error;
        },
      );
      if (!isThere) this.#made.push(place);
    }
  }

  undo(kept: KeptFiles): Promise<readonly string[]> {
    return kept.putBack(async () => {
      for (const place of this.#made.toReversed()) await removeEmpty(place).catch(() => {});
      for (const place of this.#removed.toReversed()) await mkdir(place, { recursive: true }).catch(() => {});
    });
  }
}

/** One in which something is left stays, and so does what is none any more. */
async function removeEmpty(place: Buffer): Promise<boolean> {
  return rmdir(place).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR'].includes(error.code ?? '')) throw error;
      return false;
    },
  );
}

/** A directory below may be another file system. */
async function moveInto(staged: string, place: Buffer, what: 'write' | 'link'): Promise<void> {
  try {
    await rename(staged, place);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV' || what === 'link') throw error;
    const beside = Buffer.concat([place, Buffer.from(`${STAGING}${process.pid}`)]);
    await copyFile(staged, beside);
    await chmod(beside, (await lstat(staged)).mode & 0o7777);
    await rename(beside, place);
  }
}

/** Whoever may read a file may run it. */
function modeWith(mode: number, isExecutable: boolean): number {
  const bits = mode & 0o7777;
  return isExecutable ? bits | ((bits & 0o444) >> 2) : bits & ~0o111;
}
