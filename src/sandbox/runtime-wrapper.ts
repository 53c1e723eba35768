import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { keptCode } from '../compiled-code.ts';
import type { Answer, Order, Setup, Told } from './runtime-process.ts';

/** From `src` it is TypeScript, from `dist` JavaScript: what this file is, that one is. */
const FILE = fileURLToPath(new URL(`./runtime-process${extname(import.meta.url)}`, import.meta.url));
const CLOSE_TIMEOUT_MS = 2_000;
/** For one answer: a process that gives none is ended, so that no command waits for ever to begin. */
export const ANSWER_TIMEOUT_MS = 30_000;

/** A process that wraps commands in the library's sandbox. */
export interface Wrapper {
  readonly isAlive: boolean;
  /** Of the library. */
  readonly version: string;
  /** The program and the arguments that run a command. */
  wrap(order: Order): Promise<readonly string[]>;
  /** Such a command has ended. */
  done(): void;
  /** Ends it, with all that leads out of its commands' sandboxes. */
  close(): Promise<void>;
}

/** `path`: where programs are, as in PATH. */
export async function openWrapper(
  setup: Setup,
  path: string,
  answerMs: number = ANSWER_TIMEOUT_MS,
): Promise<Wrapper> {
  // The library forbids to write some names below its working directory, and lets some of its home be written: neither is anybody's.
  const place = realpathSync(mkdtempSync(join(tmpdir(), 'capybara-runtime-')));
  const child = spawn(process.execPath, [FILE], {
    detached: true,
    cwd: place,
    // It looks for the system's own programs by `which`.
    env: { PATH: `${path}:/usr/bin:/bin`, HOME: place, TMPDIR: place, ...keptCode() },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const wrapper = new RuntimeWrapper(child, place, answerMs);
  try {
    await wrapper.setUp(setup);
    return wrapper;
  } catch (error) {
    await wrapper.close();
    throw error;
  }
}

class RuntimeWrapper implements Wrapper {
  readonly #child: ChildProcess;
  readonly #gone = Promise.withResolvers<void>();
  readonly #answerMs: number;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  #isAlive = true;
  version = '';

  constructor(child: ChildProcess, place: string, answerMs: number) {
    this.#child = child;
    this.#answerMs = answerMs;
    child.stdin?.on('error', () => {});
    if (child.stdout) {
      createInterface({ input: child.stdout }).on('line', (line) =>
        this.#waiting.shift()?.(JSON.parse(line)),
      );
    }
    for (const end of ['exit', 'error']) child.once(end, () => this.#gone.resolve());
    void this.#gone.promise.then(() => {
      this.#isAlive = false;
      rmSync(place, { recursive: true, force: true });
      for (const answer of this.#waiting) answer({ error: 'its process has ended' });
    });
    // A process that waits for orders must not keep the worker from ending.
    child.unref();
    for (const stream of [child.stdin, child.stdout]) (stream as Socket | null)?.unref();
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  async setUp(setup: Setup): Promise<void> {
    const { version } = await this.#ask(setup);
    this.version = version ?? this.version;
  }

  async wrap(order: Order): Promise<readonly string[]> {
    const { argv = [] } = await this.#ask(order);
    return argv;
  }

  done(): void {
    this.#send({ done: true });
  }

  async #ask(what: Order | Setup): Promise<Told> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    if (!this.#isAlive) resolve({ error: 'its process has ended' });
    this.#waiting.push(resolve);
    this.#send(what);
    this.#hold(true);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#answerMs);
    const answer = await promise;
    clearTimeout(timer);
    if (this.#waiting.length === 0) this.#hold(false);
    if ('error' in answer)
      throw new Error(`The sandbox runtime could not confine the command: ${answer.error}.`);
    return answer;
  }

  async close(): Promise<void> {
    if (!this.#isAlive) return;
    this.#hold(true);
    this.#child.ref();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
    this.#child.stdin?.end();
    await this.#gone.promise;
    clearTimeout(timer);
  }

  #send(what: object): void {
    this.#child.stdin?.write(`${JSON.stringify(what)}\n`);
  }

  /** While an answer is awaited, the worker waits for it. */
  #hold(isAwaited: boolean): void {
    const stream = this.#child.stdout as Socket | null;
    if (isAwaited) stream?.ref();
    else stream?.unref();
  }
}
