/**
 * The process between Capybara and its embedded Postgres. Its standard input is a pipe that only Capybara holds: when
 * Capybara ends, however it ends, the pipe closes and the cluster is stopped. It runs in a session of its own and
 * ignores the signals of a terminal or a service manager, so that Capybara can still use Postgres while it drains.
 *
 * Started by `postgres.ts` with one argument, a `GuardOrder` as JSON; descriptor 3 is the cluster's directory.
 */
import { spawn } from 'node:child_process';

/** What to run, as whom. `uid` and `gid` only where Capybara is root. */
export interface GuardOrder {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** Time for a fast shutdown (a checkpoint) before an immediate one; then before SIGKILL. */
const FAST_SHUTDOWN_MS = 10_000;
const IMMEDIATE_SHUTDOWN_MS = 3_000;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.stderr.on('error', () => {});

const { command, args, ...options } = JSON.parse(process.argv[2] ?? '{}') as GuardOrder;
const postgres = spawn(command, args, { ...options, stdio: ['ignore', 'ignore', 'inherit', 3] });
postgres.on('error', (error) => {
  process.stderr.write(`FATAL:  ${error.message}\n`, () => process.exit(1));
});
postgres.on('exit', (code) => process.exit(code ?? 1));

let stopping = false;
function stopCluster(): void {
  if (stopping) return;
  stopping = true;
  postgres.kill('SIGINT');
  setTimeout(() => postgres.kill('SIGQUIT'), FAST_SHUTDOWN_MS);
  setTimeout(() => postgres.kill('SIGKILL'), FAST_SHUTDOWN_MS + IMMEDIATE_SHUTDOWN_MS);
}
for (const event of ['end', 'close', 'error'] as const) process.stdin.on(event, stopCluster);
process.stdin.resume();
