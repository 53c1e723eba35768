/** Single keys, while nobody is asked anything: the terminal is back as it was whenever they are not listened for, and at the end. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Terminal } from './terminal.ts';

export type Keyboard = NodeJS.ReadableStream & Pick<NodeJS.ReadStream, 'setRawMode'>;

/** What keys mean that a terminal answers itself, but for who reads each key. */
const SIGNALS: Readonly<Record<string, NodeJS.Signals>> = {
  '\x03': 'SIGINT',
  '\x1a': 'SIGTSTP',
  '\x1c': 'SIGQUIT',
};

export interface KeysOptions {
  readonly input: Keyboard;
  /** A key was pressed that is no signal; what is pasted, and what a key sends several characters for, is none. */
  readonly press: (key: string) => void;
  /** This process is about to stop, and another to write on the terminal. */
  readonly leave?: () => void;
  /** Sends one. SIGTSTP: returns when this process goes on. */
  readonly signal?: (name: NodeJS.Signals) => void;
  /** A job in the background that changes the terminal would be stopped for it. */
  readonly isForeground?: () => boolean;
}

export class Keys {
  readonly #options: KeysOptions;
  #isListening = false;
  #isOver = false;

  constructor(options: KeysOptions) {
    this.#options = options;
    process.on('SIGCONT', this.#start);
    this.#start();
  }

  get isListening(): boolean {
    return this.#isListening;
  }

  end(): void {
    this.#isOver = true;
    process.off('SIGCONT', this.#start);
    this.#stop();
  }

  /** `ask`, with the terminal as it needs it. */
  around(ask: NonNullable<Terminal['ask']>): NonNullable<Terminal['ask']> {
    return async (question, signal) => {
      this.#stop();
      try {
        return await ask(question, signal);
      } finally {
        this.#start();
      }
    };
  }

  readonly #start = (): void => {
    const { input, isForeground = isInForeground } = this.#options;
    if (this.#isOver || this.#isListening || !isForeground()) return;
    this.#isListening = true;
    input.setRawMode(true);
    input.on('data', this.#take);
    input.resume();
  };

  #stop(): void {
    if (!this.#isListening) return;
    this.#isListening = false;
    const { input } = this.#options;
    input.off('data', this.#take);
    input.pause();
    input.setRawMode(false);
  }

  readonly #take = (data: Buffer | string): void => {
    const typed = data.toString();
    for (const key of typed) if (SIGNALS[key] !== undefined) this.#send(SIGNALS[key]);
    if (typed.length === 1 && typed >= ' ') this.#options.press(typed);
  };

  /** A shell gets the terminal back as it lent it. */
  #send(name: NodeJS.Signals): void {
    const { signal = sendSignal, leave } = this.#options;
    if (name !== 'SIGINT') {
      this.#stop();
      leave?.();
    }
    signal(name);
  }
}

/** To stop is for the whole job, as a terminal means it; the rest is this process's own. */
function sendSignal(name: NodeJS.Signals): void {
  process.kill(name === 'SIGTSTP' ? 0 : process.pid, name);
}

/** Whether the terminal is this job's now. */
export function isInForeground(): boolean {
  try {
    const [job, terminals] = jobs();
    return job === terminals;
  } catch {
    return false;
  }
}

/** This process's group, and the one that has the terminal. */
function jobs(): [string | undefined, string | undefined] {
  if (process.platform === 'linux') {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [group, foreground];
  }
  const told = execFileSync('ps', ['-o', 'pgid=,tpgid=', '-p', String(process.pid)], { encoding: 'utf8' });
  const [group, foreground] = told.trim().split(/\s+/);
  return [group, foreground];
}
