/** A process that the proof starts: it says `ready …` on its output, logs JSON lines, and ends with its input. */
import { type ChildProcess, spawn } from 'node:child_process';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Child {
  readonly pid: number;
  /** What it said behind `ready`; undefined: it ended before. */
  readonly ready: Promise<string | undefined>;
  readonly ended: Promise<string>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL, also where it is stopped. */
  kill(): Promise<unknown>;
}

export interface ChildOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly args?: readonly string[];
  readonly onLine: (line: string) => void;
}

/** `program` as it stands beside this file, without its ending. */
export function startChild(program: string, { env, args = [], onLine }: ChildOptions): Child {
  const file = fileURLToPath(new URL(`${program}${extname(import.meta.url)}`, import.meta.url));
  // A group of its own: Ctrl-C is for the proof, which then ends its processes.
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    detached: true,
    env,
  });
  child.stdin.on('error', () => {});
  dieWithUs(child);
  const ended = endOf(child);
  const ready = new Promise<string | undefined>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('ready')) resolve(line.slice('ready'.length).trim());
    });
    void ended.then(() => resolve(undefined));
  });
  createInterface({ input: child.stderr }).on('line', onLine);
  return {
    ...{ pid: child.pid ?? 0, ready, ended },
    signal: (name) => void child.kill(name),
    kill: () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}

/** A child that stands still does not see its input end: a shell that sees it kills it, however we die. */
function dieWithUs(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const shell = spawn('sh', ['-c', 'read -r _; kill -9 "$0"', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  // Before its pid may be another's.
  child.once('exit', () => shell.kill('SIGKILL'));
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}
