/** Takes a session's changes over into a directory, beside what a person changed there: all of them, or nothing. */
import { existsSync, realpathSync } from 'node:fs';
import type { Session } from '../../api/wire.ts';
import { messageOf, UserError } from '../../core/errors.ts';
import { neutralised } from '../untrusted-text.ts';
import type { FileChange } from './changes.ts';
import { perform } from './perform.ts';
import { planApply } from './plan.ts';

export interface Applied {
  /** Files, links and empty directories that were written, changed or removed. */
  readonly changed: number;
  /** Those that were there already, as the session has them. */
  readonly already: number;
  /** Paths of those that were merged with what a person changed. */
  readonly merged: readonly string[];
}

/** Files that a refusal names. */
const SHOWN = 10;

/** Throws `UserError` (`apply_refused`, `apply_failed`, exit code 1), with the directory as it was. */
export async function applyChanges(changes: readonly FileChange[], directory: string): Promise<Applied> {
  const { steps, refused } = await planApply(changes, directory);
  if (refused.length > 0) throw refusal(refused);
  const performed = await perform(steps, directory);
  if (performed.outcome === 'changed') {
    const { path, lost } = performed;
    throw notApplied('apply_refused', `${shown(path)} was changed while this went on: apply again.`, lost);
  }
  if (performed.outcome === 'failed') {
    const { error, lost } = performed;
    throw notApplied('apply_failed', `A file could not be written (${messageOf(error)}).`, lost);
  }
  const touched = new Set(steps.map(({ path }) => path));
  const merged = steps.flatMap(({ path, act }) => (act.do === 'write' && act.merged ? [shown(path)] : []));
  const told = changes.filter((change) => isTold(change, changes));
  const already = told.filter(({ path, from }) => !touched.has(path) && !touched.has(from ?? path)).length;
  return { changed: told.length - already, already, merged };
}

/** A directory that came or went with what is in it is no change by itself. */
function isTold({ path, before, after }: FileChange, changes: readonly FileChange[]): boolean {
  if ((after ?? before)?.kind !== 'directory') return true;
  return !changes.some(({ path: other, from }) =>
    [other, from ?? ''].some((each) => each.startsWith(`${path}/`)),
  );
}

export function refusal(refused: readonly { readonly path: string; readonly reason: string }[]): UserError {
  const lines = refused.slice(0, SHOWN).map(({ path, reason }) => `  ${shown(path)}: ${reason}`);
  const more = refused.length > SHOWN ? [`  … and ${refused.length - SHOWN} more`] : [];
  const sentence =
    "Nothing was applied: files here were changed in ways that the session's changes do not fit.";
  return new UserError('apply_refused', [sentence, ...lines, ...more].join('\n'), 1);
}

function notApplied(code: string, sentence: string, lost: readonly string[]): UserError {
  const fate =
    lost.length === 0
      ? 'Nothing was applied: what had been written was put back.'
      : `These could not be put back: ${neutralised(lost.join(', '))}.`;
  return new UserError(code, `${sentence} ${fate}`, 1);
}

function shown(path: string): string {
  return neutralised(Buffer.from(path, 'latin1').toString('utf8'));
}

/** Throws `UserError` (`already_here`) where the session worked in this very directory, so that its changes are in it. */
export function checkDirectory({
  workspace,
  directory,
}: {
  workspace: Session['workspace'];
  directory: string;
}): void {
  requireDirectory(directory);
  if (workspace.kind === 'local' && workspace.path === realpathSync(directory)) {
    throw new UserError(
      'already_here',
      `The session worked in ${directory} itself: its changes are there already.`,
      2,
    );
  }
}

/** Throws `UserError` (`directory_missing`). */
export function requireDirectory(directory: string): void {
  if (existsSync(directory)) return;
  throw new UserError(
    'directory_missing',
    `There is no directory ${directory}: make it, or name another.`,
    2,
  );
}
