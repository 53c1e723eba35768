/**
 * Commands of a session that go on while its agent works. Each runs in the sandbox like any other and dies like any other; its
 * newest output waits until it is read, and it can be typed into.
 */
import { newId } from '../clock.ts';
import {
  BackgroundError,
  type BackgroundLimits,
  BackgroundProcess,
  DEFAULT_BACKGROUND,
  type KnownProcess,
  lostProcess,
  type ProcessEnd,
  type StopReason,
} from './background-process.ts';
import type { Command, Sandbox } from './sandbox.ts';

/** The commands of one session. */
export class BackgroundProcesses {
  readonly limits: BackgroundLimits;
  readonly #sandbox: Sandbox;
  readonly #processes = new Map<number, BackgroundProcess>();
  #last = 0;

  constructor(sandbox: Sandbox, limits: Partial<BackgroundLimits> = {}) {
    this.#sandbox = sandbox;
    this.limits = { ...DEFAULT_BACKGROUND, ...limits };
  }

  /** Those that run, and those whose end was not told, in the order of their beginning. */
  get open(): readonly BackgroundProcess[] {
    return [...this.#processes.values()].filter((process) => !process.isTold);
  }

  get isRunning(): boolean {
    return this.#processes.values().some(({ end }) => end === undefined);
  }

  /**
   * Starts a command, and gives it `momentMs` to say something or end. Throws `BackgroundError` where there are too many; and as
   * `Sandbox.run` where it cannot be started.
   */
  async start(
    command: Omit<Command, 'timeoutMs' | 'input' | 'onOutput' | 'keepsOutput'>,
    { momentMs, signal }: { readonly momentMs: number; readonly signal: AbortSignal },
  ): Promise<BackgroundProcess> {
    this.#refuseTooMany();
    this.#last += 1;
    const known = { id: newId(), number: this.#last, command: command.script };
    const process = new BackgroundProcess(known, this.limits);
    this.#processes.set(known.number, process);
    process.run(this.#sandbox, command);
    await process.news(momentMs, signal);
    if (process.failure === undefined) return process;
    this.#processes.delete(known.number);
    throw process.failure;
  }

  #refuseTooMany(): void {
    const { open } = this;
    if (open.length < this.limits.processes) return;
    throw new BackgroundError(
      `There are ${open.length} background commands already (${names(open)}), and a session may have ${this.limits.processes}. ` +
        'End one with bash_kill, or look at one that has ended with bash_poll.',
    );
  }

  /** Throws `BackgroundError` where there is none of that name. */
  find(name: string): BackgroundProcess {
    const found = [...this.#processes.values()].find((process) => process.name === name);
    if (found !== undefined) return found;
    const { open } = this;
    const there = open.length === 0 ? 'there are none' : `there are ${names(open)}`;
    throw new BackgroundError(`There is no background command '${name}'; ${there}.`);
  }

  /**
   * Takes over what the store knows: `open` are those whose end its agent was not told, `last` the highest number there was. What runs
   * and is not among them is ended; of one that is and does not run here, the agent will be told that it was lost.
   */
  async know(open: readonly (KnownProcess & { readonly isHere: boolean })[], last: number): Promise<void> {
    this.#last = Math.max(this.#last, last);
    const byNumber = new Map(open.map((known) => [known.number, known]));
    const over = [...this.#processes.values()].filter(
      ({ known }) => byNumber.get(known.number)?.isHere !== true,
    );
    for (const { known } of over) this.#processes.delete(known.number);
    for (const known of byNumber.values()) {
      if (!this.#processes.has(known.number))
        this.#processes.set(known.number, lostProcess(known, this.limits));
    }
    await Promise.all(over.map((process) => process.stop('moved')));
  }

  /** Those that were ended unasked, by Capybara or its guard, and not by themselves: nobody has told their agent yet. */
  get cutOff(): readonly BackgroundProcess[] {
    return this.open.filter(({ end }) => end !== undefined && isCutOff(end));
  }

  /** Whether one was ended because the disk was about to be full, since this was asked last: what it left is to make room. */
  takeFilled(): boolean {
    const filled = [...this.#processes.values()].filter((process) => process.leavesFullDisk);
    for (const process of filled) process.leavesFullDisk = false;
    return filled.length > 0;
  }

  /** Ends all that run, and says why of each; resolves when nothing of them is left. */
  async stop(why: StopReason): Promise<void> {
    await Promise.all([...this.#processes.values()].map((process) => process.stop(why)));
  }
}

function names(processes: readonly BackgroundProcess[]): string {
  return processes.map(({ name }) => name).join(', ');
}

function isCutOff(end: ProcessEnd): boolean {
  if (end.type === 'stopped') return end.why !== 'kill';
  return (
    ['timeout', 'aborted', 'limit'].includes(end.type) || (end.type === 'signal' && end.signal === 'SIGKILL')
  );
}
