/** A worker in a process of its own, and the lines that it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inject } from 'vitest';
import type { ChildSettings } from './worker-child.ts';

/** For what a test waits for and that always comes. */
export const PATIENCE_MS = 20_000;

export interface ChildWorker {
  readonly id: string;
  readonly process: ChildProcess;
  /** Resolves with the first line, past or future, that begins so. */
  hears(beginning: string): Promise<string>;
  /** All lines so far. */
  said(): readonly string[];
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
}

/** The lines that something said, and who waits for one. */
export class Lines {
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();

  get all(): readonly string[] {
    return this.#lines;
  }

  say(line: string): void {
    this.#lines.push(line);
    for (const look of [...this.#waiting]) look();
  }

  hears(beginning: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.#lines.find((line) => line.startsWith(beginning));
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      const late = () => reject(new Error(`nobody said '${beginning}', only: ${this.#lines.join(' | ')}`));
      const timer = setTimeout(late, PATIENCE_MS);
      this.#waiting.add(look);
      look();
    });
  }
}

/** Resolves when it is ready. `onStop` is handed what ends it for good. */
export async function spawnWorker(
  settings: ChildSettings,
  onStop: (stop: () => Promise<void>) => void,
): Promise<ChildWorker> {
  const program = join(inject('programsDir'), 'worker-child.mjs');
  const child = spawn(process.execPath, ['--single-threaded-gc', program, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit').then(() => {});
  onStop(() => {
    for (const signal of ['SIGCONT', 'SIGKILL'] as const) child.kill(signal);
    return ended;
  });
  const lines = new Lines();
  createInterface({ input: child.stdout }).on('line', (line) => lines.say(line));
  const ready = await lines.hears('ready ');
  return {
    ...{ id: ready.slice('ready '.length), process: child, ended },
    hears: (beginning) => lines.hears(beginning),
    said: () => lines.all,
    kill: (signal) => void child.kill(signal),
  };
}
