/** Processes of the bench: each says in one line of JSON that it is ready, answers a line with a line, and ends with its input. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface BenchProcess<Ready> {
  readonly ready: Ready;
  /** Sends an empty line and returns the answer. */
  ask<Answer>(): Promise<Answer>;
  stop(): Promise<void>;
}

export async function startProcess<Ready>(
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<BenchProcess<Ready>> {
  const child = spawn(process.execPath, [new URL(file, import.meta.url).pathname], {
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
    ask: () => {
      child.stdin.write('\n');
      return read();
    },
    stop: async () => {
      child.stdin.end();
      await gone;
    },
  };
}
