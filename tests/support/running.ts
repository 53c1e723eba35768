import { readFileSync } from 'node:fs';

/** What has ended and waits for a parent that is stopped, or that looks after nobody, does not run. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
