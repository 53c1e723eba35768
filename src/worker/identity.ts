/** Which process this is, so that a peer on the same host can prove that it is gone. */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  /** Where a pid means something: hostname, boot and pid namespace. */
  readonly host: string;
  readonly pid: number;
  /** Start time in the host's own units; '' where the platform does not tell. */
  readonly pidStartedAt: string;
}

export function thisProcess(): ProcessIdentity {
  return { host: hostIdentity(), pid: process.pid, pidStartedAt: startTimeOf(process.pid) ?? '' };
}

/**
 * True only where it is certain: the process was on this host, and its pid is free or belongs to one that started at
 * another time.
 */
export function isGone(other: ProcessIdentity, here: ProcessIdentity = thisProcess()): boolean {
  if (other.host !== here.host) return false;
  if (process.platform === 'linux') return startTimeOf(other.pid) !== other.pidStartedAt;
  try {
    process.kill(other.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function hostIdentity(): string {
  const boot = readOrNothing(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = readOrNothing(() => readlinkSync('/proc/self/ns/pid'));
  return [hostname(), boot, namespace].filter(Boolean).join(' ');
}

/** Field 22 of /proc/PID/stat (proc(5)): clock ticks since boot. A zombie has ended: it counts as gone. */
function startTimeOf(pid: number): string | undefined {
  const stat = readOrNothing(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (stat === '') return undefined;
  // The second field is the name in parentheses, which may itself contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** '' where the platform has no such file or the process is gone. */
function readOrNothing(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
