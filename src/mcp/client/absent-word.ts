/** What a server's command names, and the sandbox that it runs in does not show: the reason of most that end at once. */
import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { quoted, type ServerCommand } from './confined-transport.ts';

const LIMIT_MS = 10_000;

/** It is looked for where the server runs: nothing else knows what is shown there. */
export async function absentWord(
  sandbox: Sandbox,
  { words, ...places }: ServerCommand,
  signal: AbortSignal,
): Promise<string | undefined> {
  const [program = '', ...args] = words;
  // Not each argument that looks like a path is one.
  const paths = args.filter((arg) => isAbsolute(arg) && existsSync(arg));
  const looks = [
    `command -v -- ${quoted(program)} >/dev/null || { echo 0; exit; }`,
    ...paths.map((path, index) => `[ -e ${quoted(path)} ] || { echo ${index + 1}; exit; }`),
  ];
  const script = looks.join('\n');
  const { output } = await sandbox.run({ ...places, script, timeoutMs: LIMIT_MS }, signal);
  return /^\d+\n$/.test(output) ? [program, ...paths][Number(output)] : undefined;
}
