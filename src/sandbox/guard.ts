import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { keptCode } from '../compiled-code.ts';
import type { Engine } from './containers.ts';
import type { FinderName } from './processes.ts';

/** From `src` the guard is TypeScript, from `dist` JavaScript: what this file is, that one is. */
const GUARD_FILE = fileURLToPath(new URL(`./guard-process${extname(import.meta.url)}`, import.meta.url));
/** Beats that the guard has not read: beyond this no more are written, since one is enough. */
const UNREAD_LIMIT_BYTES = 4_096;
/** Guards that end within a second, one after the other, before the sandbox gives up. */
const MAX_QUICK_DEATHS = 3;
const QUICK_MS = 1_000;
const CLOSE_TIMEOUT_MS = 2_000;

export interface GuardOptions {
  /** `NAME=value` in the environment of every command. */
  readonly marker: string;
  /** The hard limit of file locks of every command. */
  readonly lockLimit: number;
  /** Without a beat for so long, the commands are killed; undefined: no lease. */
  readonly leaseMs?: number | undefined;
  /** How the commands' processes are found. */
  readonly finder: FinderName;
  /** The control group above those of the commands, to be ended with them and removed. */
  readonly groups?: string | undefined;
  /** Commands run in containers of it, which end with them. */
  readonly engine?: Engine | undefined;
}

export interface Guard {
  /** Settles when the guard watches. Rejects where it cannot be started. */
  ready(): Promise<void>;
  /** The process group of a command that was started, to be killed when the worker dies. */
  watch(group: number): void;
  /** The group has ended: its number may soon be another's. */
  forget(group: number): void;
  beat(): void;
  /** Lets the guard kill what is left, and ends it. */
  close(): Promise<void>;
}

interface Running {
  readonly child: ChildProcess;
  readonly input: Writable;
  /** Settles when it watches, and when it never will. */
  readonly ready: Promise<void>;
  readonly gone: Promise<void>;
}

/**
 * Starts the guard, and starts it again should it die before its worker: it then learns anew which groups there are. It is in a
 * session of its own, so Ctrl-C in the worker's terminal does not reach it, and it knows nothing of the worker's environment
 * but where compiled code is kept.
 */
export function startGuard(options: GuardOptions): Guard {
  const groups = new Set<number>();
  let quickDeaths = 0;
  let closed = false;
  let running = launch();

  function launch(): Running {
    const startedAt = performance.now();
    const next = spawnGuard(options);
    for (const group of groups) next.input.write(`+${group}\n`);
    void next.gone.then(() => {
      if (closed) return;
      quickDeaths = performance.now() - startedAt < QUICK_MS ? quickDeaths + 1 : 0;
      if (quickDeaths < MAX_QUICK_DEATHS) running = launch();
    });
    return next;
  }

  return {
    async ready() {
      if (closed) throw new Error('The sandbox is closed.');
      for (let tries = 0; tries <= MAX_QUICK_DEATHS; tries++) {
        const current = running;
        await current.ready;
        if (isAlive(current.child)) return;
        await current.gone;
      }
      throw new Error(
        `The guard process ended ${MAX_QUICK_DEATHS} times right after its start, so no command may run.`,
      );
    },
    watch(group) {
      groups.add(group);
      running.input.write(`+${group}\n`);
    },
    forget(group) {
      groups.delete(group);
      running.input.write(`-${group}\n`);
    },
    beat() {
      if (running.input.writableLength < UNREAD_LIMIT_BYTES) running.input.write('.\n');
    },
    async close() {
      closed = true;
      await endGuard(running);
    },
  };
}

function spawnGuard({ marker, lockLimit, leaseMs = 0, finder, groups = '', engine }: GuardOptions): Running {
  const args = [marker, `${lockLimit}`, `${leaseMs}`, finder, groups];
  const inContainers = engine ? [JSON.stringify(engine)] : [];
  const child = spawn(process.execPath, [GUARD_FILE, ...args, ...inContainers], {
    detached: true,
    cwd: '/',
    env: { ...keptCode() },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const said = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  // Writing to a guard that has just died fails; what follows is decided where it is seen to be gone.
  child.stdin.on('error', () => {});
  child.stdout.once('data', () => {
    said.resolve();
    letGo(child);
  });
  for (const end of ['exit', 'error']) child.once(end, () => gone.resolve());
  void gone.promise.then(said.resolve);
  return { child, input: child.stdin, ready: said.promise, gone: gone.promise };
}

/** A guard that watches must not keep its worker from ending. */
function letGo(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout]) (stream as Socket | null)?.unref();
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function endGuard({ child, input, gone }: Running): Promise<void> {
  if (!isAlive(child)) return;
  child.ref();
  const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
  input.end();
  await gone;
  clearTimeout(timer);
}
