/** Capybara's commands as real processes, on a data directory, a home and an environment of their own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { inject } from 'vitest';
import type { Script, Step } from './scripted-model/scripted-model.ts';

/** How long a line, or an end, may take on a busy machine. */
const PATIENCE_MS = 60_000;
/** For tests that start several. */
export const CLI_TIMEOUT_MS = 120_000;

/** The program of every command: `bundle.ts`. */
export const cliProgram = () => join(inject('programsDir'), 'cli/bin/run.mjs');

type Environment = Readonly<Record<string, string>>;

export interface StartOptions {
  /** Added to the place's own. */
  readonly env?: Environment;
  readonly cwd?: string;
  /** What stdin has; it is empty and closed otherwise. */
  readonly stdin?: string;
  /** For `spawn`: someone else than this process's user. */
  readonly as?: { readonly uid?: number; readonly gid?: number };
}

export interface Ended {
  /** `null` where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One process. */
export class CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  readonly #changed = new Set<() => void>();
  #isEnded = false;

  constructor(child: ChildProcess, stdin: string) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take('stdout', text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#take('stderr', text));
    child.stdin?.on('error', () => {}).end(stdin);
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        this.#isEnded = true;
        for (const look of this.#changed) look();
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  /** Resolves when stdout or stderr has matched; rejects when the process ends before, or takes too long. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#changed.delete(look);
        act();
      };
      const fail = (why: string) =>
        settle(() => reject(new Error(`expected ${pattern}, ${why}:\n${this.stdout}\n${this.stderr}`)));
      const look = () => {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (match) settle(() => resolve(match));
        else if (this.#isEnded) fail('but the process ended');
      };
      const timer = setTimeout(() => fail('but waited too long'), PATIENCE_MS);
      this.#changed.add(look);
      look();
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Kills it if it still runs, and resolves when it is gone. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (!this.#isEnded) this.child.kill(signal);
    return this.ended;
  }

  #take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const look of this.#changed) look();
  }
}

/** A directory with everything that commands read and write, and the processes that were started in it. */
export class Place {
  readonly path = mkdtempSync(join(tmpdir(), 'capybara-cli-'));
  readonly home = join(this.path, 'home');
  readonly dataDir = join(this.path, 'data');
  /** Where commands run that are not told. */
  readonly cwd = join(this.path, 'here');
  /** The environment of every command that is started here. */
  env: Environment;
  readonly #processes: CliProcess[] = [];

  /** `isNew`: nobody has used its data directory yet, so that its Postgres is made first, which takes seconds. */
  constructor(env: Environment = {}, { isNew = false } = {}) {
    mkdirSync(this.home);
    mkdirSync(this.cwd);
    this.env = env;
    // With owners: root's Postgres is another user's.
    if (!isNew) execFileSync('cp', ['-a', inject('usedDataDir'), this.dataDir]);
  }

  /** All that a command's environment has. */
  get environment(): Environment {
    const { PATH = '', TMPDIR = '', NODE_COMPILE_CACHE = '' } = process.env;
    // The same words whether bubblewrap is here or not; `sandbox-choose.test.ts` has the others.
    const own = {
      ...{ PATH, TMPDIR, NODE_COMPILE_CACHE, HOME: this.home, CAPYBARA_DATA_DIR: this.dataDir },
      CAPYBARA_SANDBOX: 'off',
    };
    return { ...own, ...this.env };
  }

  start(args: readonly string[], { env = {}, cwd = this.cwd, stdin = '', as = {} }: StartOptions = {}) {
    const child = spawn(process.execPath, [cliProgram(), ...args], {
      cwd,
      env: { ...this.environment, ...env },
      ...as,
    });
    const started = new CliProcess(child, stdin);
    this.#processes.push(started);
    return started;
  }

  async run(args: readonly string[], options: StartOptions = {}): Promise<Ended> {
    return this.start(args, options).ended;
  }

  /** `capybara up` on a free port, when it takes tasks. */
  async up(options: StartOptions = {}): Promise<CliProcess> {
    const up = this.start(['up', '--port', '0'], options);
    await up.says(/Capybara runs at \S+/);
    return up;
  }

  /** A new git repository with one commit. Returns its path. */
  repository(files: Environment = { 'greeting.txt': 'hello world\n' }): string {
    const path = mkdtempSync(join(this.path, 'repository-'));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    git(path, 'init', '--quiet', '--initial-branch=main');
    git(path, 'add', '--all');
    git(path, 'commit', '--quiet', '--message', 'Begin');
    return path;
  }

  /** Ends what still runs, and removes everything. */
  async remove(): Promise<void> {
    for (const each of this.#processes.toReversed()) await each.end();
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function git(cwd: string, ...args: string[]): string {
  const who = ['-c', 'user.name=Test', '-c', 'user.email=test@localhost', '-c', 'commit.gpgsign=false'];
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  return execFileSync('git', [...who, ...args], { cwd, env, encoding: 'utf8' });
}

/** Output as it is every time: ids without their digits, times without theirs. */
export function normalised(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(/\b(task|ses|turn|apr|call|key|wrk)_[0-9a-f]{32}/g, '$1_…')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/\b(in|after) (\d+ min )?[\d.]+ s\b/g, '$1 N s');
}

/** Plays the steps that stand under what was asked last; the same step again for a repeated request. */
export function byPrompt(steps: Readonly<Record<string, readonly Step[]>>): Script {
  // Some providers get the project's description behind the prompt, in one message.
  const promptOf = (text: string) =>
    Object.keys(steps).find((prompt) => `${text}\n`.startsWith(`${prompt}\n`));
  return ({ messages }) => {
    const asked = messages.findLastIndex(
      (message) => message.role === 'user' && promptOf(message.text) !== undefined,
    );
    const prompt = promptOf(messages[asked]?.text ?? '') ?? '';
    const answered = messages.slice(asked).filter(({ role }) => role === 'assistant').length;
    const step = steps[prompt]?.[answered];
    if (step === undefined) throw new Error(`"${prompt}" has no step ${answered}`);
    return step;
  };
}
