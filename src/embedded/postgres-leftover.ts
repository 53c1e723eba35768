/**
 * Finds and stops a cluster that outlived the Capybara that started it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';

/** From the first signal: fast shutdown, then immediate, then SIGKILL. */
const SIGNALS = [
  { signal: 'SIGINT', waitMs: 10_000 },
  { signal: 'SIGQUIT', waitMs: 3_000 },
  { signal: 'SIGKILL', waitMs: 3_000 },
] as const;
const POLL_MS = 20;

/**
 * Stops the cluster in `dataPath` if one runs, and resolves when it is gone. A `postmaster.pid` whose number now belongs
 * to an unrelated process (after a reboot, or in a new container) is removed: Postgres would take it for alive.
 */
export async function stopLeftover(dataPath: string): Promise<void> {
  for (const { signal, waitMs } of SIGNALS) {
    const pid = leftoverPid(dataPath);
    if (pid === undefined) return;
    if (!isClusterOf(pid, dataPath)) {
      if (isAlive(pid)) rmSync(join(dataPath, 'postmaster.pid'), { force: true });
      return;
    }
    signalProcess(pid, signal);
    for (let waited = 0; waited < waitMs && isRunning(pid); waited += POLL_MS) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
  const pid = leftoverPid(dataPath);
  if (pid === undefined || !isClusterOf(pid, dataPath)) return;
  throw new UserError(
    'postgres_start',
    `The Postgres of ${dataPath} (process ${pid}) cannot be stopped: stop it.`,
    3,
  );
}

function leftoverPid(dataPath: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(dataPath, 'postmaster.pid'), 'utf8'), 10);
    return pid > 1 ? pid : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A postmaster works in its data directory; a process that has ended but was not reaped works nowhere. */
function isClusterOf(pid: number, dataPath: string): boolean {
  try {
    if (process.platform === 'linux') return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataPath);
    return execFileSync('ps', ['-o', 'command=', '-p', `${pid}`], { encoding: 'utf8' }).includes(dataPath);
  } catch {
    return false;
  }
}

/** A process that has ended but was not reaped does not run, though it still has its number. */
function isRunning(pid: number): boolean {
  if (process.platform !== 'linux') return isAlive(pid);
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
