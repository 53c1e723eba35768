/**
 * The process that outlives a worker by a moment, to kill what the worker's agents left running (PROTOCOL rule 5). Started by
 * `guard.ts` with the arguments marker, limit of file locks, and lease (milliseconds, 0: none).
 *
 * Reads lines on its standard input: `+<group>` a process group was started, `-<group>` it is gone, `.` the worker is alive. The
 * end of the input is the end of the worker, polite or not. Without a beat for the length of the lease the commands are
 * killed too, and the guard goes on: the worker may have been paused and come back.
 */
import { createInterface } from 'node:readline';
import { isMarker, signalAll } from './processes.ts';

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;
/** A process that cannot be killed hangs in the kernel; the guard does not wait for it for ever. */
const GIVE_UP_MS = 60_000;

const [marker = '', locks = '', lease = '0'] = process.argv.slice(2);
// Anything shorter might stand in the environment of any process, all of which would be killed.
if (!isMarker(marker)) throw new Error(`'${marker}' marks no process of a sandbox`);
const leaseMs = Number(lease);
const groups = new Set<number>();
let lastBeat = performance.now();

function killAll(): boolean {
  return signalAll({ marker, lockLimit: Number(locks), groups: [...groups] }, 'SIGKILL');
}

function obey(line: string): void {
  if (line.startsWith('+')) groups.add(Number(line.slice(1)));
  if (line.startsWith('-')) groups.delete(Number(line.slice(1)));
  if (line === '.') lastBeat = performance.now();
}

async function killUntilNone(): Promise<void> {
  const start = performance.now();
  for (let pause = FIRST_PAUSE_MS; killAll(); pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    if (performance.now() - start > GIVE_UP_MS) return;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// A service manager signals the worker and the guard alike; the guard goes when the worker has gone.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

if (leaseMs > 0) {
  const watch = setInterval(
    () => {
      if (performance.now() - lastBeat > leaseMs) killAll();
    },
    Math.max(leaseMs / 5, FIRST_PAUSE_MS),
  );
  watch.unref();
}

const lines = createInterface({ input: process.stdin });
lines.on('line', obey);
lines.on('close', () => void killUntilNone().then(() => process.exit(0)));
// The worker may be dead before it could be told.
process.stdout.on('error', () => {});
process.stdout.write('ready\n');
