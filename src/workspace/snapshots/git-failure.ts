/** What went wrong with a git that was run over a shadow repository. */
import { saysDiskFull } from '../../core/full-disk.ts';
import type { GitCommand } from './shadow-git.ts';
import { SnapshotError } from './snapshot-error.ts';

const ERROR_TEXT_LIMIT = 500;

interface GitEnd {
  readonly error?: Error | undefined;
  readonly stderr: Buffer | string | null;
  readonly status: number | null;
}

export function failed(args: readonly string[], done: GitEnd, command: GitCommand): SnapshotError {
  const text = failureText(args, done, command);
  return new SnapshotError(saysDiskFull(text) ? 'disk_full' : 'git_failed', text);
}

function failureText(args: readonly string[], done: GitEnd, { searchPath, timeoutMs }: GitCommand): string {
  const code = (done.error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOENT') {
    return `Snapshots need git, and there is none in ${searchPath}; install git (2.38 or newer).`;
  }
  if (code === 'ETIMEDOUT') return `git ${args[0]} over the snapshots took longer than ${timeoutMs} ms.`;
  const said = done.error?.message ?? done.stderr?.toString().trim() ?? '';
  return `git ${args[0]} over the snapshots failed (${done.status ?? 'no exit code'}): ${said.slice(0, ERROR_TEXT_LIMIT)}`;
}
