/** One command that goes on while others run: its newest output waits until it is read, and it can be typed into. */
import { PassThrough } from 'node:stream';
import { NewestText } from './output.ts';
import type { Command, CommandResult, Sandbox } from './sandbox.ts';

export interface BackgroundLimits {
  /** Of one session: those that run, and those whose end the agent has not been told. */
  readonly processes: number;
  /** What one may take before it is killed. */
  readonly lifetimeMs: number;
  /** How long they go on while nobody works on their session. */
  readonly idleMs: number;
  /** Output of one that waits to be read, in bytes. */
  readonly bufferBytes: number;
}

export const DEFAULT_BACKGROUND: BackgroundLimits = {
  processes: 8,
  lifetimeMs: 3_600_000,
  idleMs: 900_000,
  bufferBytes: 1024 * 1024,
};

/** Bytes that were typed and that the command has not read yet. */
export const MAX_WAITING_INPUT = 1024 * 1024;
/** What comes in one piece is given in one piece: so long after its first part. */
const SETTLE_MS = 50;

/**
 * Why Capybara ended a command.
 *
 * - `kill`: its agent asked for it. `idle`: nobody has worked on its session for too long.
 * - `undo`: the files were put back. `moved`: they went on elsewhere. `task`: its task was about to end.
 * - `drain`: its worker stopped. `lost`: its worker was lost.
 */
export type StopReason = 'kill' | 'idle' | 'undo' | 'moved' | 'task' | 'drain' | 'lost';

export type ProcessEnd = CommandResult['end'] | { readonly type: 'stopped'; readonly why: StopReason };

/** A command that was told to go on in the background, as the store knows it. */
export interface KnownProcess {
  readonly id: string;
  /** Within its session, from 1. */
  readonly number: number;
  readonly command: string;
}

/** What its agent's results say of them: what was begun, and whose end was told. */
export interface ProcessNews {
  readonly started?: readonly KnownProcess[];
  readonly ended?: readonly ProcessEnded[];
}

export interface ProcessEnded {
  readonly id: string;
  /** `exit 0`, `signal SIGTERM`, `timeout`, `disk`, `memory`, or a `StopReason`. */
  readonly end: string;
}

export class BackgroundError extends Error {
  override readonly name = 'BackgroundError';
}

export function lostProcess(known: KnownProcess, limits: BackgroundLimits): BackgroundProcess {
  const process = new BackgroundProcess(known, limits);
  process.wasLost();
  return process;
}

/** One command. It runs until `end` is there. */
export class BackgroundProcess {
  readonly known: KnownProcess;
  /** Why it could not be started. */
  failure: unknown;
  /** Its agent was told of its end. */
  isTold = false;
  /** It was ended because the disk was about to be full, and what it left is still there. */
  leavesFullDisk = false;
  readonly #limits: BackgroundLimits;
  readonly #unread: NewestText;
  readonly #input = new PassThrough();
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<() => void>();
  #why: StopReason | undefined;
  #end: ProcessEnd | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(known: KnownProcess, limits: BackgroundLimits) {
    this.known = known;
    this.#limits = limits;
    this.#unread = new NewestText(limits.bufferBytes);
  }

  get name(): string {
    return `bg_${this.known.number}`;
  }

  /** Undefined while it runs. */
  get end(): ProcessEnd | undefined {
    return this.#end;
  }

  /** Called once. Its failure to start is told by `failure`. */
  run(sandbox: Sandbox, command: Omit<Command, 'timeoutMs'>): void {
    const whole: Command = {
      ...command,
      timeoutMs: this.#limits.lifetimeMs,
      input: this.#input,
      keepsOutput: false,
      onOutput: (text) => {
        this.#unread.add(text);
        this.#tell();
      },
    };
    this.#ended = this.#run(sandbox.run(whole, this.#stopping.signal));
  }

  /** Instead of `run`: it ran elsewhere, and nothing of it is left but its name. */
  wasLost(): void {
    this.#end = { type: 'stopped', why: 'lost' };
    this.#input.destroy();
  }

  async #run(result: Promise<CommandResult>): Promise<void> {
    try {
      const { end } = await result;
      this.#end =
        this.#why !== undefined && end.type === 'aborted' ? { type: 'stopped', why: this.#why } : end;
    } catch (error) {
      this.failure = error;
      this.#end = { type: 'aborted' };
    }
    this.leavesFullDisk = this.#end.type === 'limit' && this.#end.limit === 'disk';
    this.#input.destroy();
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Output since this was called last. */
  take(): { readonly text: string; readonly droppedBytes: number } {
    return this.#unread.take();
  }

  /** The end of that, which stays there. */
  tail(characters: number): string {
    return this.#unread.tail(characters);
  }

  /** Resolves when there is output or it has ended, when `ms` have passed, or when the signal fires. */
  async news(ms: number, signal: AbortSignal): Promise<void> {
    await this.#until(() => !this.#unread.isEmpty || this.#end !== undefined, { ms, signal });
    if (this.#end === undefined && !this.#unread.isEmpty)
      await this.#until(() => this.#end !== undefined, { ms: Math.min(ms, SETTLE_MS), signal });
  }

  async #until(
    holds: () => boolean,
    { ms, signal }: { readonly ms: number; readonly signal: AbortSignal },
  ): Promise<void> {
    if (holds() || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = () => holds() && resolve();
    const timer = setTimeout(resolve, ms);
    const onAbort = () => resolve();
    this.#listeners.add(listener);
    signal.addEventListener('abort', onAbort, { once: true });
    await promise;
    clearTimeout(timer);
    this.#listeners.delete(listener);
    signal.removeEventListener('abort', onAbort);
  }

  /** Throws `BackgroundError` where it has ended, its input was closed, or it does not read what was typed before. */
  write(text: string): void {
    if (this.#end !== undefined)
      throw new BackgroundError(`${this.name} has ended; nobody reads what is typed.`);
    if (this.#input.writableEnded) throw new BackgroundError(`The input of ${this.name} was closed before.`);
    const waiting = this.#input.readableLength + this.#input.writableLength;
    const bytes = Buffer.byteLength(text);
    if (waiting + bytes > MAX_WAITING_INPUT) {
      throw new BackgroundError(
        `${this.name} has ${waiting} bytes of input that it has not read, and ${bytes} more would be over ${MAX_WAITING_INPUT}; ` +
          'wait until it reads, or put them into a file.',
      );
    }
    this.#input.write(text);
  }

  /** The command finds the end of its input. */
  closeInput(): void {
    this.#input.end();
  }

  /** Kills it with all that it started, where it runs. */
  async stop(why: StopReason): Promise<void> {
    this.#why ??= why;
    this.#stopping.abort();
    await this.#ended;
  }

  /** How it ended, in a word or two for the store. */
  ended(): ProcessEnded {
    return { id: this.known.id, end: endWord(this.#end) };
  }
}

function endWord(end: ProcessEnd | undefined): string {
  switch (end?.type) {
    case 'exit':
      return `exit ${end.code}`;
    case 'signal':
      return `signal ${end.signal}`;
    case 'stopped':
      return end.why;
    case 'limit':
      return end.limit;
    default:
      return end?.type ?? 'running';
  }
}
