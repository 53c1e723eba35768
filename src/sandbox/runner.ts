/**
 * Whose user id confined commands have, and what that user must be able to reach. Nothing here waits: it is asked before every
 * command, and a few looks at local directories take less time than to be woken ten times.
 */
import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from './sandbox.ts';
import type { Profile } from './view.ts';

export interface Runner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Whom the commands of a root worker run as where nobody else owns their files. The number is one that neither Debian nor systemd
 * gives out, and fits where a container has only the first 65,536.
 */
export const UNPRIVILEGED: Runner = { uid: 61_000, gid: 61_000 };

/**
 * As an ordinary user, and for root's own directories on its own machine (`local`): undefined, the worker's own user. For other
 * workers of root: the owner of the first directory the command may write to, so that what it makes belongs to whom the rest does;
 * where it may write to none, of the one around them, or the first that it may read.
 */
export function runnerOf(
  { writable, readable = [], around }: Pick<Command, 'writable' | 'readable' | 'around'>,
  { profile, unprivileged }: { readonly profile: Profile; readonly unprivileged: Runner },
): Runner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [first] = [...writable, ...(around === undefined ? [] : [around]), ...readable];
  if (first === undefined) return profile === 'local' ? undefined : unprivileged;
  const { uid, gid } = statSync(first);
  if (uid !== 0) return { uid, gid };
  if (profile === 'local') return undefined;
  if (writable.length === 0) return unprivileged;
  throw new Error(
    `The directory ${first} belongs to root, and commands do not run as root here; give it to their user: ` +
      `chown -R ${unprivileged.uid}:${unprivileged.gid} ${first}`,
  );
}

/** Lets others pass through a directory of root's to what lies in some directories of it, which they cannot list. */
export function openWay(directory: string, names: readonly string[]): void {
  for (const path of [directory, ...names.map((name) => join(directory, name))]) {
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o711);
  }
}

export interface Scratch {
  readonly tmp: string;
  readonly home: string;
  readonly cache: string;
}

/** The parts of a scratch directory, made where they are missing, for their user alone. */
export function openScratch(scratch: string, runner: Runner | undefined): Scratch {
  const parts = { tmp: join(scratch, 'tmp'), home: join(scratch, 'home'), cache: join(scratch, 'cache') };
  mkdirSync(dirname(scratch), { recursive: true, mode: runner ? 0o711 : 0o700 });
  for (const path of [scratch, ...Object.values(parts)]) {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (runner && (made !== undefined || statSync(path).uid !== runner.uid)) {
      chownSync(path, runner.uid, runner.gid);
    }
  }
  return parts;
}
