/**
 * What the model is told where ignored files are gone: no snapshot holds them, so that they are lost where a session's files are put in
 * place anew (PROTOCOL 16). Told from what the log says and what is there: until a commit has the notice, every attempt finds the same.
 */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NewEntry } from '../core/entry.ts';
import { visible } from '../workspace/file-tree.ts';
import { MAX_IGNORED } from '../workspace/snapshots/ignored-names.ts';
import type { Run } from './run.ts';
import { isSafe, type Shell } from './shell.ts';

type Notice = Extract<NewEntry, { kind: 'notice' }>;

/** None in a `local` workspace: what is gone there, its owner took. */
export async function lostNotices(shell: Shell, run: Run): Promise<readonly Notice[]> {
  const { ignored } = shell.seen.of(run.turn.sessionId, run);
  if (!run.managed || ignored.length === 0) return [];
  // Of a turn that went on without this worker the files are another's.
  if (!(await isSafe(shell, run))) return [];
  const { root, isInMotion } = await run.workspace(shell.openWorkspace);
  // The very files that they were: what is gone, a command in the background took.
  if (isInMotion) return [];
  const found = await Promise.all(ignored.map((path) => isThere(join(root, path))));
  const left = ignored.filter((_, index) => found[index]);
  if (left.length === ignored.length) return [];
  const lost = ignored.filter((_, index) => !found[index]);
  const text = describeLost(lost, ignored.length === MAX_IGNORED);
  return [{ kind: 'notice', parts: [{ type: 'text', text }], noted: { ignored: left } }];
}

/** A directory where one was: with its slash at the end, a path to anything else leads nowhere. */
async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function describeLost(lost: readonly string[], mayBeMore: boolean): string {
  const names = `${lost.map(visible).join(', ')}${mayBeMore ? ' (there may have been more)' : ''}`;
  return (
    'Where the files of the workspace are put in place anew, those that version control ignores are not kept with them. ' +
    `Gone since you last worked here: ${names}. Make again what you need of it, for example by installing or building.`
  );
}
