import { spawn } from 'node:child_process';
import { type CallOptions, createCalls, type Kind } from './calls.ts';
import { clearedEnvironment } from './environment.ts';
import { gitVariables } from './git-setup.ts';
import type { LeasedSandbox } from './sandbox.ts';

/**
 * `sh` joins the two streams into one, so that errors stand where they happened; `bash` takes its place. Shells differ in the
 * option's letter, and one that has none of the two goes without.
 */
const SHELL = `if ulimit -w "$2"; then ulimit -S -w "$3"; else ulimit -x "$2" && ulimit -S -x "$3"; fi 2>/dev/null
exec bash -c "$1" 2>&1`;

/** Runs commands as the worker's own user, with no confinement but a cleared environment, a process group and the guard. */
export function createUnconfinedSandbox(options: CallOptions): LeasedSandbox {
  const env = clearedEnvironment(options.environment);
  const kind: Kind = {
    name: 'none',
    confined: false,
    leaderIsKeeper: false,
    async start({ script, cwd, env: added, gitSettings }, { variables, locks }, stdin) {
      const child = spawn('/bin/sh', ['-c', SHELL, 'sh', script, `${locks.hard}`, `${locks.soft}`], {
        cwd,
        env: { ...env, ...gitVariables(options.git, gitSettings), ...added, ...variables },
        detached: true,
        stdio: [stdin, 'pipe', 'pipe'],
      });
      return { child, output: [child.stdout, child.stderr] };
    },
  };
  return createCalls(kind, options);
}
