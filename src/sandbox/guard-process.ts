/**
 * The process that outlives a worker by a moment, to kill what the worker's agents left running (PROTOCOL rule 5). Started by
 * `guard.ts` with the arguments marker, limit of file locks, lease (milliseconds, 0: none), how processes are found, the control group
 * above those of the commands (empty: they have none), and, where commands run in containers, their engine (JSON).
 *
 * Reads lines on its standard input: `+<group>` a process group was started, `-<group>` it is gone, `.` the worker is alive. The
 * end of the input is the end of the worker, polite or not. Without a beat for the length of the lease the commands are
 * killed too, and the guard goes on: the worker may have been paused and come back.
 */
import { createInterface } from 'node:readline';
import { type Engine, LABELS, removeContainers } from './containers.ts';
import { killGroup, removeEmptyGroup } from './groups.ts';
import { FINDER_HERE, FINDERS, type FinderName, isMarker } from './processes.ts';

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;
/** A process that cannot be killed hangs in the kernel; the guard does not wait for it for ever. */
const GIVE_UP_MS = 60_000;

const [marker = '', locks = '', lease = '0', how = FINDER_HERE, inGroups = '', container] =
  process.argv.slice(2);
// Anything shorter might stand in the environment of any process, all of which would be killed.
if (!isMarker(marker)) throw new Error(`'${marker}' marks no process of a sandbox`);
const leaseMs = Number(lease);
const finder = FINDERS[how as FinderName];
const engine: Engine | undefined = container === undefined ? undefined : JSON.parse(container);
const groups = new Set<number>();
const family = new Map<number, number>();
let lastBeat = performance.now();

function signalAll(signal: NodeJS.Signals | 0): boolean {
  return finder.signalAll({ marker, lockLimit: Number(locks), groups: [...groups], family }, signal);
}

/** Whether there was something to kill, or may have been. */
async function killAll(): Promise<boolean> {
  const inThem = inGroups !== '' && killGroup(inGroups);
  const found = signalAll('SIGKILL') || inThem;
  if (engine === undefined) return found;
  // Those who asked for containers are dead by now: none begins that is not in this list. An engine that is silent may yet begin one.
  const [, worker] = marker.split('=');
  return (await removeContainers(engine, `label=${LABELS.worker}=${worker}`).catch(() => true)) || found;
}

function obey(line: string): void {
  if (line.startsWith('+')) groups.add(Number(line.slice(1)));
  if (line.startsWith('-')) groups.delete(Number(line.slice(1)));
  if (line === '.') lastBeat = performance.now();
}

async function killUntilNone(): Promise<void> {
  const start = performance.now();
  for (let pause = FIRST_PAUSE_MS; await killAll(); pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    if (performance.now() - start > GIVE_UP_MS) return;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function leave(): void {
  if (inGroups !== '') removeEmptyGroup(inGroups);
  process.exit(0);
}

// A service manager signals the worker and the guard alike; the guard goes when the worker has gone.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

if (leaseMs > 0) {
  let isKilling = false;
  const watch = setInterval(
    async () => {
      if (isKilling || performance.now() - lastBeat <= leaseMs) return;
      isKilling = true;
      await killAll();
      isKilling = false;
    },
    Math.max(leaseMs / 5, FIRST_PAUSE_MS),
  );
  watch.unref();
}

if (finder.watchMs !== undefined) {
  // A command's end is its own affair, but what left its group and lives on is known here alone: it goes when the worker does.
  const watch = setInterval(() => groups.size + family.size > 0 && signalAll(0), finder.watchMs);
  watch.unref();
}

const lines = createInterface({ input: process.stdin });
lines.on('line', obey);
lines.on('close', () => void killUntilNone().then(leave));
// The worker may be dead before it could be told.
process.stdout.on('error', () => {});
process.stdout.write('ready\n');
