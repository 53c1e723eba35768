/** Git as a worker itself runs it: only to look, and so that nothing a repository's configuration names can run. */
import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const GIT_OUTPUT_LIMIT = 8 * 1024 * 1024;
const GIT_TIMEOUT_MS = 5_000;
const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin';

export interface GitOptions {
  /** Where git is looked for: a PATH. */
  readonly searchPath?: string | undefined;
  /** For each command; default 5,000. */
  readonly timeoutMs?: number | undefined;
}

export interface GitCall {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly timeoutMs: number;
}

export function gitDefaults({ searchPath = SEARCH_PATH, timeoutMs = GIT_TIMEOUT_MS }: GitOptions) {
  return { searchPath, timeoutMs };
}

export function gitCall(cwd: string, options: GitOptions): GitCall {
  const { searchPath, timeoutMs } = gitDefaults(options);
  return { cwd, env: gitEnvironment(searchPath), timeoutMs };
}

/**
 * Git runs what a repository's configuration names, and an agent can write that configuration: hooks, a file system monitor,
 * filters, the transports of a lazy fetch. None may run here, outside the sandbox.
 */
export async function git(args: readonly string[], { cwd, env, timeoutMs }: GitCall): Promise<string> {
  const safe = ['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', '--no-pager'];
  const options = {
    cwd,
    env,
    timeout: timeoutMs,
    maxBuffer: GIT_OUTPUT_LIMIT,
    killSignal: 'SIGKILL',
  } as const;
  return (await run('git', [...safe, ...args], options)).stdout;
}

function gitEnvironment(searchPath: string): Record<string, string> {
  return {
    PATH: searchPath,
    HOME: homedir(),
    LC_ALL: 'C',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_LAZY_FETCH: '1',
    GIT_ALLOW_PROTOCOL: 'none',
  };
}
