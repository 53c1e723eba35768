import type { ChildProcess } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { lstatSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { Engine } from './containers.ts';
import { DiskWatch, type Watched } from './disk-watch.ts';
import type { Environment } from './environment.ts';
import type { Belonging, Finder } from './finder.ts';
import type { GitSetup } from './git-setup.ts';
import { type Guard, startGuard } from './guard.ts';
import { type Input, NO_INPUT, openInput } from './input.ts';
import { createOutput, type Output } from './output.ts';
import { CALL_MARKER, FINDER_HERE, FINDERS, type FinderName, WORKER_MARKER } from './processes.ts';
import type { Command, CommandResult, LeasedSandbox, Sandbox } from './sandbox.ts';

export const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;
export const KILL_GRACE_MS = 500;
/** Linux takes no longer argument. */
export const MAX_SCRIPT_BYTES = 128 * 1024 - 1;

/** Between looks at what is still running: what was killed is gone in less than a millisecond, mostly. */
const FIRST_POLL_MS = 1;
/** After SIGKILL a process needs a moment; one that hangs in the kernel is left to the guard. */
const KILL_WAIT_MS = 2_000;
/** For output that is still in the pipe when all processes are gone. */
const DRAIN_MS = 50;
const DRAIN_ROUNDS = 4;
/** The limits of file locks that tell processes apart: a call's are below a worker's, since no one may raise the hard one. */
const LOCK_LIMITS = { call: [2 ** 45, 2 ** 46], worker: [2 ** 46, 2 ** 47] } as const;
const DISK = { type: 'limit', limit: 'disk' } as const;
const MEMORY = { type: 'limit', limit: 'memory' } as const;
/** In so short a time no pid is given out twice, so those that were there before the command need no second look. */
const FRESH_MS = 5_000;

export interface CallOptions {
  /** The worker's environment; only harmless names of it reach a command. */
  readonly environment: Environment;
  /** What makes the commits of commands an agent's; undefined: nothing does. */
  readonly git?: GitSetup;
  /** Bytes of output that are kept of one command; default 8 MiB. */
  readonly maxOutputBytes?: number;
  /** Between SIGTERM and SIGKILL when a command is ended; default 500. */
  readonly killGraceMs?: number;
  /** `feed` must be called more often than this, or all commands are killed; undefined: never. */
  readonly leaseMs?: number;
  /** How their processes are found: as the system lets it. Nothing but a test says otherwise. */
  readonly finder?: FinderName;
  /** Bytes that are to stay free on each disk that a command may write to; undefined or 0: nobody looks. */
  readonly freeBytes?: number;
}

/** What tells the processes of one call from all others. */
export interface Marks {
  readonly variables: { readonly [WORKER_MARKER]: string; readonly [CALL_MARKER]: string };
  /** The limit of file locks: the hard one is the worker's, the soft one the call's. */
  readonly locks: { readonly hard: number; readonly soft: number };
}

/** A command that was begun. */
export interface Started {
  /** The leader of a process group of its own. */
  readonly child: ChildProcess;
  /** Streams of the child that carry the command's output; none where not even a pipe could be made. */
  readonly output: readonly (Readable | null)[];
  /** Ends what of it no signal reaches; throws where that cannot be. */
  settle?(end: CommandResult['end']): Promise<void>;
  /** Throws where the end shows that the command never came to run. */
  checkEnd?(end: CommandResult['end']): void;
  /** Ends what is left of it, also what is just being started. */
  kill?(): Promise<void>;
  /** What it ran into, as its control group tells. */
  reached?(): { readonly memory: boolean; readonly refusedProcesses: number };
  /** Ends what was opened for it, when no process of it is left. */
  close?(): Promise<void>;
}

/** How one kind of sandbox starts a command. */
export interface Kind {
  readonly name: Sandbox['name'];
  readonly confined: boolean;
  /** Starts the command, its standard input as given; all that it starts must carry the marks. */
  start(command: Command, marks: Marks, stdin: Input['descriptor']): Promise<Started>;
  /** The control group above those of its commands, which the guard ends too. */
  readonly groups?: string | undefined;
  /** Whether SIGTERM to the leader would end the others before they could tidy up: then only what is marked gets it. */
  readonly leaderIsKeeper: boolean;
  /** Where commands run in containers: the guard ends these too. */
  readonly engine?: Engine;
  /** Ends what was opened for all commands, when they have ended. */
  close?(): Promise<void>;
}

/**
 * A sandbox that starts commands as `kind` says. The guard is started at once, so that the first command need not wait for it.
 */
export function createCalls(kind: Kind, options: CallOptions): LeasedSandbox {
  const worker = randomUUID();
  const lockLimit = randomInt(...LOCK_LIMITS.worker);
  const mark = { marker: `${WORKER_MARKER}=${worker}`, lockLimit };
  const { finder = FINDER_HERE } = options;
  const { engine, groups } = kind;
  const guard = startGuard({ ...mark, leaseMs: options.leaseMs, finder, groups, engine });
  const parts = { kind, worker, lockLimit, guard, finder: FINDERS[finder], options };
  const disks = new DiskWatch(options.freeBytes ?? 0);
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  return {
    name: kind.name,
    confined: kind.confined,
    async run(command, signal) {
      const call = new Call({ command, disks, ...parts });
      const result = call.run(AbortSignal.any([signal, closing.signal]));
      running.add(result);
      return result.finally(() => running.delete(result));
    },
    feed: () => guard.beat(),
    mark,
    async close() {
      closing.abort();
      await Promise.allSettled(running);
      await kind.close?.();
      await guard.close();
    },
  };
}

interface CallParts {
  readonly command: Command;
  readonly kind: Kind;
  readonly worker: string;
  /** The worker's. */
  readonly lockLimit: number;
  readonly guard: Guard;
  readonly finder: Finder;
  readonly disks: DiskWatch;
  readonly options: CallOptions;
}

/** One command: `run` is called once. */
class Call {
  readonly #parts: CallParts;
  readonly #id = randomUUID();
  readonly #lockLimit = randomInt(...LOCK_LIMITS.call);
  readonly #before: ReadonlySet<string>;
  readonly #family = new Map<number, number>();
  readonly #startedAt = performance.now();
  readonly #output: Output;
  #watched: Watched | undefined;

  constructor(parts: CallParts) {
    this.#parts = parts;
    const { command, finder, options } = parts;
    this.#before = new Set(finder.list());
    const maxBytes = command.keepsOutput === false ? undefined : (options.maxOutputBytes ?? MAX_OUTPUT_BYTES);
    this.#output = createOutput(maxBytes, command.onOutput ?? (() => {}));
  }

  async run(signal: AbortSignal): Promise<CommandResult> {
    const { command, guard } = this.#parts;
    await guard.ready();
    await checkCommand(command);
    if (signal.aborted) return this.#result({ type: 'aborted' });
    const input = command.input === undefined ? NO_INPUT : await openInput();
    try {
      return await this.#run(input, signal);
    } finally {
      input.close();
    }
  }

  async #run(input: Input, signal: AbortSignal): Promise<CommandResult> {
    const { command, guard, kind } = this.#parts;
    const started = await this.#start(input);
    const { child } = started;
    let group: number | undefined;
    try {
      group = await spawned(child);
      guard.watch(group);
      input.started(command.input);
      const end = await this.#end(child, group, signal);
      await this.#sweep(group, started);
      await started.settle?.(end);
      await drained(child);
      started.checkEnd?.(end);
      return this.#result(end, started.reached?.());
    } finally {
      if (group !== undefined) guard.forget(group);
      this.#watched?.stop();
      await started.close?.();
      if (kind.confined) removeAll(command.absent ?? []);
    }
  }

  async #start(input: Input): Promise<Started> {
    const { command, kind, worker, lockLimit } = this.#parts;
    const marks = {
      variables: { [WORKER_MARKER]: worker, [CALL_MARKER]: this.#id },
      locks: { hard: lockLimit, soft: this.#lockLimit },
    };
    const started = await kind.start(command, marks, input.descriptor);
    for (const stream of started.output) if (stream) this.#output.collect(stream);
    return started;
  }

  async #end(child: ChildProcess, group: number, signal: AbortSignal): Promise<CommandResult['end']> {
    const first = Promise.withResolvers<CommandResult['end']>();
    const onExit = (code: number | null, name: string | null) =>
      first.resolve(name === null ? { type: 'exit', code: code ?? 0 } : { type: 'signal', signal: name });
    const onAbort = () => first.resolve({ type: 'aborted' });
    child.once('exit', onExit);
    signal.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => first.resolve({ type: 'timeout' }), this.#parts.command.timeoutMs);
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode);
    if (signal.aborted) onAbort();
    this.#watched = this.#watchDisks(group, () => first.resolve(DISK));
    const ended = await first.promise;
    const end = ended.type === 'exit' && this.#watched.hasFilled() ? DISK : ended;
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    if (end.type === 'aborted' || end.type === 'timeout') await this.#ask(group);
    return end;
  }

  #watchDisks(group: number, end: () => void): Watched {
    const { writable, scratch } = this.#parts.command;
    const written = () => this.#parts.finder.bytesWritten(this.#belonging(group));
    return this.#parts.disks.watch({ paths: [...writable, scratch], written, end });
  }

  /** SIGTERM, and a while to obey. */
  async #ask(group: number): Promise<void> {
    const until = performance.now() + (this.#parts.options.killGraceMs ?? KILL_GRACE_MS);
    this.#signal(this.#parts.kind.leaderIsKeeper ? undefined : group, 'SIGTERM');
    while (performance.now() < until && this.#signal(group)) await pause(this.#parts.finder.pollMs);
  }

  /** SIGKILL, until nobody is left: a process may fork while it is looked for. */
  async #sweep(group: number, { kill }: Started): Promise<void> {
    const until = performance.now() + KILL_WAIT_MS;
    const { pollMs } = this.#parts.finder;
    for (let ms = FIRST_POLL_MS; this.#signal(group, 'SIGKILL'); ms = Math.min(2 * ms, pollMs)) {
      if (performance.now() > until) return;
      // Not waited for: the kernel may be busy with other groups.
      void kill?.();
      await pause(ms);
    }
  }

  /** Whether a process of this call still runs; each gets the signal, if there is one. */
  #signal(group: number | undefined, signal: NodeJS.Signals | 0 = 0): boolean {
    const isFresh = performance.now() - this.#startedAt < FRESH_MS;
    return this.#parts.finder.signalAll(this.#belonging(group), signal, isFresh ? this.#before : undefined);
  }

  #belonging(group: number | undefined): Belonging {
    const groups = group === undefined ? [] : [group];
    const marker = `${CALL_MARKER}=${this.#id}`;
    return { marker, lockLimit: this.#lockLimit, groups, family: this.#family };
  }

  #result(ended: CommandResult['end'], reached?: ReturnType<NonNullable<Started['reached']>>): CommandResult {
    const byItself = ended.type === 'exit' || ended.type === 'signal';
    const end = byItself && reached?.memory ? MEMORY : ended;
    const refused = reached?.refusedProcesses ? { refusedProcesses: reached.refusedProcesses } : {};
    const durationMs = Math.round(performance.now() - this.#startedAt);
    return { end, ...refused, ...this.#output.finish(), durationMs };
  }
}

async function checkCommand({ script, cwd }: Command): Promise<void> {
  const bytes = Buffer.byteLength(script);
  if (bytes > MAX_SCRIPT_BYTES) {
    throw new Error(
      `The command has ${bytes} bytes, expected at most ${MAX_SCRIPT_BYTES}; write a script file and run that.`,
    );
  }
  if (script.includes('\0'))
    throw new Error('The command contains a NUL character, which no shell can take.');
  const found = await stat(cwd).catch(() => undefined);
  if (!found?.isDirectory()) throw new Error(`The command's directory ${cwd} does not exist.`);
}

/** The process group of a child that was started; throws why it was not. */
async function spawned(child: ChildProcess): Promise<number> {
  if (child.pid !== undefined) return child.pid;
  const { promise, reject } = Promise.withResolvers<never>();
  child.once('error', (error) => reject(new Error(`The command could not be started: ${error.message}`)));
  return promise;
}

/** Reads what is left in the pipes; a process that escaped may hold them open, and is not waited for. */
async function drained(child: ChildProcess): Promise<void> {
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  const ends = streams.map((stream) =>
    stream.readableEnded ? undefined : new Promise((r) => stream.once('end', r)),
  );
  const ended = Promise.all(ends).then(() => true);
  for (let rounds = 0; rounds < DRAIN_ROUNDS; rounds += 1) {
    if (await Promise.race([ended, pause(DRAIN_MS, false, { ref: false })])) break;
    // Where this process stood still, the time is over before it has read anything: now it does.
    await new Promise(setImmediate);
  }
  for (const stream of streams) stream.destroy();
}

/** Files alone: to remove a directory with what is in it one would have to go by paths that another command may change. */
function removeAll(paths: readonly string[]): void {
  for (const path of paths) {
    const isDirectory = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
    if (!isDirectory) rmSync(path, { force: true });
  }
}
