/** Writers of one file, one after the other, whichever process they are in. */
import { closeSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { UserError } from '../core/errors.ts';

/** A change takes milliseconds: a lock as old as this was left behind by a process that died. */
export const STALE_LOCK_MS = 10_000;
const PAUSE_MS = 20;
/** Longer than that, so that who waits for a dead one outlives its lock. */
const PATIENCE_MS = 15_000;

/** Does it while this process has `FILE.lock`. Throws `UserError` `file_locked` where somebody else keeps it all the time. */
export function withFileLock<Result>(file: string, act: () => Result, patienceMs = PATIENCE_MS): Result {
  const lock = `${file}.lock`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const late = Date.now() + patienceMs;
  while (!take(lock)) {
    if (Date.now() > late)
      throw new UserError(
        'file_locked',
        `${file} is being changed by another program: try again, or remove ${lock}.`,
      );
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
  try {
    return act();
  } finally {
    rmSync(lock, { force: true });
  }
}

function take(lock: string): boolean {
  try {
    closeSync(openSync(lock, 'wx', 0o600));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const stats = statSync(lock, { throwIfNoEntry: false });
    // Whoever is next makes it anew: of two that remove it, one does.
    if (stats !== undefined && Date.now() - stats.mtimeMs > STALE_LOCK_MS) rmSync(lock, { force: true });
    return false;
  }
}
