/** Writers of one file, one after the other, whichever process they are in. */
import { type BigIntStats, closeSync, fstatSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { UserError } from '../core/errors.ts';

/** A change takes milliseconds: a lock as old as this was left behind by a process that died. */
export const STALE_LOCK_MS = 10_000;
/** How far the time of a new file may be ahead of the clock. */
const CLOCK_GRAIN_MS = 1_000;
const PAUSE_MS = 20;
/** Longer than that, so that who waits for a dead one outlives its lock. */
const PATIENCE_MS = 15_000;

/** Does it while this process has `FILE.lock`. Throws `UserError` `file_locked` where somebody else keeps it all the time. */
export function withFileLock<Result>(file: string, act: () => Result, patienceMs = PATIENCE_MS): Result {
  const lock = `${file}.lock`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const late = Date.now() + patienceMs;
  let own = take(lock);
  for (; own === undefined; own = take(lock)) {
    // Nothing of Capybara's makes a directory there, and nothing of it takes one away.
    if (Date.now() > late || statSync(lock, { throwIfNoEntry: false })?.isDirectory())
      throw locked(file, lock);
    removeStale(lock);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
  try {
    return act();
  } finally {
    // Who was held up for longer than a lock lasts does not take away the next one's.
    if (nameOf(statSync(lock, { bigint: true, throwIfNoEntry: false })) === own)
      rmSync(lock, { force: true });
  }
}

function locked(file: string, lock: string): UserError {
  const message = `${file} is being changed by another program: try again, or remove ${lock} and ${guardOf(lock)}.`;
  return new UserError('file_locked', message, 1);
}

/** Which file it is; undefined where somebody else has it. */
function take(lock: string): string | undefined {
  const made = create(lock);
  if (made === undefined) return undefined;
  const name = nameOf(fstatSync(made, { bigint: true }));
  closeSync(made);
  return name;
}

/** A number alone is given again to the next file. */
function nameOf(stats: BigIntStats | undefined): string | undefined {
  return stats && `${stats.ino} ${stats.mtimeNs}`;
}

/**
 * Whoever is next makes it anew. Of many that saw an old one, each looks again while it alone may remove: what the first of them, and whoever
 * took it then, made meanwhile is young, and stays.
 */
export function removeStale(lock: string): void {
  if (!isStale(lock)) return;
  const guard = create(guardOf(lock));
  if (guard === undefined) return;
  try {
    if (isStale(lock)) rmSync(lock, { force: true });
  } finally {
    closeSync(guard);
    rmSync(guardOf(lock), { force: true });
  }
}

function isStale(lock: string): boolean {
  const stats = statSync(lock, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  const ageMs = Date.now() - stats.mtimeMs;
  // From the future: the clock was set back since, and nobody knows how old it is.
  return ageMs > STALE_LOCK_MS || ageMs < -CLOCK_GRAIN_MS;
}

function guardOf(lock: string): string {
  return `${lock}.stale`;
}

/** Its descriptor; undefined where it is there. */
function create(file: string): number | undefined {
  try {
    return openSync(file, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return undefined;
  }
}
