/** Processes that carry the proof's mark in their environment, as /proc tells: whatever an API, a worker or a command started. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** What was told to end may take this long. */
const GRACE_MS = 5_000;
const PAUSE_MS = 100;

/** Those that are still there, each in a line, after their time to end; they are killed. `mark`: `NAME=value`. */
export async function endOrphans(mark: string): Promise<string[]> {
  const giveUpAt = performance.now() + GRACE_MS;
  while (marked(mark).length > 0 && performance.now() < giveUpAt) await delay(PAUSE_MS);
  const left = marked(mark);
  const lines = left.map((pid) => `process ${pid}: ${read(pid, 'cmdline').replaceAll('\0', ' ').trim()}`);
  for (const pid of left) end(Number(pid));
  return lines;
}

function marked(mark: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter(
    (pid) =>
      /^\d+$/.test(pid) &&
      Number(pid) !== process.pid &&
      `\0${read(pid, 'environ')}`.includes(`\0${mark}\0`) &&
      !/^State:\s+[ZX]/m.test(read(pid, 'status')),
  );
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}

/** Empty where the process has ended meanwhile or is another user's. */
function read(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
