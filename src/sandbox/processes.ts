/**
 * Finds and kills the processes of agents. On Linux by their process group, by a variable of their environment, and by their
 * limit of file locks (RLIMIT_LOCKS, setrlimit(2)), which has had no effect since Linux 2.4 and passes on to every child, also
 * to one that has left the group and cleared its environment. A process that changes that limit besides escapes: only a sandbox
 * with process namespaces holds it. Elsewhere, as `processes-by-ps.ts` can.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type Belonging, type Finder, send } from './finder.ts';
import { byPs } from './processes-by-ps.ts';
import type { SandboxMark } from './sandbox.ts';

/** The environment variables that say whose a process is. */
export const WORKER_MARKER = 'CAPYBARA_WORKER';
export const CALL_MARKER = 'CAPYBARA_CALL';
/** Anything shorter might stand in the environment of any process. */
const MARKER = new RegExp(`^${WORKER_MARKER}=[0-9a-f-]{36}$`);

export type FinderName = 'proc' | 'ps';

export const FINDER_HERE: FinderName = process.platform === 'linux' ? 'proc' : 'ps';

const NONE: ReadonlySet<string> = new Set();

const byProc: Finder = { list: listPids, signalAll, bytesWritten, pollMs: 10 };

export const FINDERS: Readonly<Record<FinderName, Finder>> = { proc: byProc, ps: byPs };

/** As /proc names them. */
export function listPids(): string[] {
  return readdirSync('/proc').filter((name) => name.charCodeAt(0) <= 0x39 && name.charCodeAt(0) >= 0x31);
}

function signalAll(
  whose: Belonging,
  signal: NodeJS.Signals | 0,
  except: ReadonlySet<string> = NONE,
): boolean {
  for (const group of whose.groups) send(-group, signal);
  let found = false;
  for (const pid of listPids()) {
    if (except.has(pid) || !belongs(pid, whose)) continue;
    found = true;
    send(Number(pid), signal);
  }
  return found;
}

/** Those of children that have ended count for their parents (proc_pid_io(5)). */
function bytesWritten(whose: Belonging): number {
  const found = listPids().filter((pid) => belongs(pid, whose));
  const numbers = found.map((pid) => /^write_bytes: (\d+)$/m.exec(read(pid, 'io').toString('latin1'))?.[1]);
  return numbers.reduce((sum, bytes) => sum + Number(bytes ?? 0), 0);
}

export function isMarker(text: string): boolean {
  return MARKER.test(text);
}

/** Kills what a worker that is gone may have left running. False: nothing was. */
export function endMarked({ marker, lockLimit }: SandboxMark): boolean {
  if (!isMarker(marker)) throw new Error(`'${marker}' marks no process of a sandbox`);
  return FINDERS[FINDER_HERE].signalAll({ marker, lockLimit, groups: [] }, 'SIGKILL');
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
function read(pid: string, name: 'stat' | 'environ' | 'limits' | 'cmdline' | 'io'): Buffer {
  try {
    return readFileSync(`/proc/${pid}/${name}`);
  } catch {
    return Buffer.alloc(0);
  }
}
