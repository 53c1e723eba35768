/** Processes of the bench: each says in one line of JSON that it is ready, answers a line with a line, and ends with its input. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface BenchProcess<Ready> {
  readonly ready: Ready;
  /** Sends a line and returns the answer. */
  ask<Answer>(line?: string): Promise<Answer>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export async function startProcess<Ready>(
  file: string,
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<BenchProcess<Ready>> {
  const child = spawn(process.execPath, [new URL(file, import.meta.url).pathname, ...args], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${file} ended before it answered`);
    return JSON.parse(value);
  };
  return {
    ready: await read(),
    ask: (line = '') => {
      child.stdin.write(`${line}\n`);
      return read();
    },
    stop: async () => {
      child.stdin.end();
      await gone;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
