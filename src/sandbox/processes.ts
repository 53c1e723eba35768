/**
 * Finds and kills the processes of agents. On Linux by their process group, by a variable of their environment, and by their
 * limit of file locks (RLIMIT_LOCKS, setrlimit(2)), which has had no effect since Linux 2.4 and passes on to every child, also
 * to one that has left the group and cleared its environment; elsewhere by group alone. A process that changes that limit
 * besides escapes: only a sandbox with process namespaces holds it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { SandboxMark } from './sandbox.ts';

/** The environment variables that say whose a process is. */
export const WORKER_MARKER = 'CAPYBARA_WORKER';
export const CALL_MARKER = 'CAPYBARA_CALL';
/** Anything shorter might stand in the environment of any process. */
const MARKER = new RegExp(`^${WORKER_MARKER}=[0-9a-f-]{36}$`);

export interface Belonging {
  /** `NAME=value`, random enough to occur in no other environment. */
  readonly marker: string;
  /** A limit of file locks that no other process has: the soft one is the call's, the hard one the worker's. */
  readonly lockLimit: number;
  readonly groups: readonly number[];
}

const NONE: ReadonlySet<string> = new Set();

/** The pids there are, as /proc names them; empty where there is no /proc. */
export function listPids(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter((name) => name.charCodeAt(0) <= 0x39 && name.charCodeAt(0) >= 0x31);
}

/**
 * Sends the signal (0: none) to every process that belongs, and says whether there was one that still runs (a zombie does not).
 * `except` names pids that are known not to belong: reading them all takes milliseconds.
 */
export function signalAll(
  whose: Belonging,
  signal: NodeJS.Signals | 0,
  except: ReadonlySet<string> = NONE,
): boolean {
  const groups = whose.groups.filter((group) => send(-group, signal));
  if (process.platform !== 'linux') return groups.length > 0;
  let found = false;
  for (const pid of listPids()) {
    if (except.has(pid) || !belongs(pid, whose)) continue;
    found = true;
    send(Number(pid), signal);
  }
  return found;
}

export function isMarker(text: string): boolean {
  return MARKER.test(text);
}

/** Kills what a worker that is gone may have left running. False: nothing was. */
export function endMarked({ marker, lockLimit }: SandboxMark): boolean {
  if (!isMarker(marker)) throw new Error(`'${marker}' marks no process of a sandbox`);
  return signalAll({ marker, lockLimit, groups: [] }, 'SIGKILL');
}

function belongs(pid: string, { marker, lockLimit, groups }: Belonging): boolean {
  const stat = read(pid, 'stat').toString('latin1');
  // The name in parentheses may hold anything; behind it come state, parent and group.
  const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === undefined || state === '' || state === 'Z' || state === 'X') return false;
  if (groups.includes(Number(group)) || read(pid, 'environ').includes(marker)) return true;
  return lockLimits(pid).includes(lockLimit) && !isGuard(pid);
}

/**
 * A Capybara that an agent runs has a guard of its own, which must outlive it to kill what it started; it ends by itself.
 */
function isGuard(pid: string): boolean {
  return read(pid, 'cmdline').includes('/sandbox/guard-process.');
}

/** Soft and hard. The line reads `Max file locks   SOFT   HARD   locks` (proc_pid_limits(5)). */
function lockLimits(pid: string): number[] {
  const [, soft, hard] = /^Max file locks +(\d+) +(\d+)/m.exec(read(pid, 'limits').toString('latin1')) ?? [];
  return [Number(soft), Number(hard)];
}

/** Empty where the process has ended meanwhile, or is another user's: none of ours. */
function read(pid: string, name: 'stat' | 'environ' | 'limits' | 'cmdline'): Buffer {
  try {
    return readFileSync(`/proc/${pid}/${name}`);
  } catch {
    return Buffer.alloc(0);
  }
}

/** False where there is nobody left to take the signal, or it may not be sent. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
