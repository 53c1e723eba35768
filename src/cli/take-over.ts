/** Taking a session's work over, back, or into another, with the files of whoever stands in a directory of their own. */
import type { MergedSession, Reverted, Session } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { UserError } from '../core/errors.ts';
import { type Applied, applyChanges, checkDirectory, requireDirectory } from './apply/apply.ts';
import { applyToRoots, changesByRoot, placed } from './apply/apply-roots.ts';
import { type FileChange, readChanges } from './apply/changes.ts';
import { neutralised } from './untrusted-text.ts';

type Place = Pick<Session, 'id' | 'workspace'>;

async function put(directory: string, changes: readonly FileChange[]): Promise<Applied> {
  requireDirectory(directory);
  return applyChanges(changes, directory);
}

/** To the end of a turn. */
export async function takeBack(
  client: Client,
  { id, workspace }: Place,
  turn: number,
): Promise<{ readonly reverted: Reverted; readonly applied?: Applied }> {
  // Files first: where this ends in between, the same again finds them as they should be, and does the rest.
  const applied =
    workspace.kind === 'local' && workspace.path !== null
      ? await put(workspace.path, readChanges(await client.changes(id, { turn })))
      : undefined;
  const reverted = await client.revert(id, { turn, ...(applied && { files: 'kept' as const }) });
  return { reverted, ...(applied && { applied }) };
}

export function takenBackText(turn: number, applied: Applied | undefined): string {
  const back = turn === 0 ? 'the beginning' : `the end of turn ${turn}`;
  const lines = [`The session and its files are back at ${back}.`];
  if (applied && applied.merged.length > 0)
    lines.push(`Merged with what you changed since: ${applied.merged.join(', ')}.`);
  return `${lines.join('\n')}\n`;
}

/** Takes the files of the session `from` in. */
export async function mergeIn(
  client: Client,
  { id, workspace }: Place,
  from: string,
): Promise<MergedSession> {
  if (from === id)
    throw new UserError('same_session', `Both are the same session, ${id}: name another one to merge from.`);
  const directory = workspace.kind === 'local' ? workspace.path : null;
  // Files first, as above.
  if (directory !== null) await put(directory, readChanges(await client.changes(from, { into: id })));
  return client.merge(id, { from, ...(directory !== null && { files: 'kept' as const }) });
}

export function mergedText({ sessionId, from, conflicts }: MergedSession): string {
  const lines = [`Merged ${from} into ${sessionId}.`];
  for (const { path, kind, keptAt } of conflicts)
    lines.push(
      `  conflict: ${neutralised(path)} (${kind}${keptAt ? `, the other one is ${neutralised(keptAt)}` : ''})`,
    );
  if (conflicts.length > 0) lines.push('Its model is told of them at its next turn.');
  return `${lines.join('\n')}\n`;
}

export interface Here {
  /** Absolute; where each root goes is known by itself. */
  readonly directory: string | undefined;
  /** `NAME=DIRECTORY` each. */
  readonly roots: readonly string[];
  readonly dataDir: string;
  readonly cwd: string;
}

export type TakenOver = Applied & { readonly sessionId: string; readonly files: number } & (
    | { readonly directory: string }
    | { readonly roots: Readonly<Record<string, string>> }
  );

/** Applies what a session changed to the files here. */
export async function applyHere(client: Client, { id, workspace }: Place, here: Here): Promise<TakenOver> {
  const changes = readChanges(await client.changes(id));
  if (workspace.kind === 'roots' && here.directory === undefined) {
    const { roots: given, dataDir, cwd } = here;
    const places = placed(changesByRoot(changes), workspace, { given, dataDir, cwd });
    const applied = await applyToRoots(places);
    const roots = Object.fromEntries(places.map(({ name, directory }) => [name, directory]));
    return { sessionId: id, roots, files: applied.changed, ...applied };
  }
  const directory = here.directory ?? here.cwd;
  checkDirectory({ workspace, directory });
  const applied = await applyChanges(changes, directory);
  return { sessionId: id, directory, files: applied.changed, ...applied };
}

export function appliedText(taken: TakenOver): string {
  const { changed, already, merged } = taken;
  const where =
    'roots' in taken
      ? Object.entries(taken.roots)
          .map(([name, to]) => `${to} (${name})`)
          .join(', ')
      : taken.directory;
  const files = (count: number) => `${count} ${count === 1 ? 'file' : 'files'}`;
  if (changed === 0)
    return already === 0 ? 'No changes.\n' : `Nothing to do: ${where} has all changes already.\n`;
  const lines = [`Applied ${files(changed)} to ${where}.`];
  if (already > 0) lines.push(`${files(already)} had the changes already.`);
  if (merged.length > 0) lines.push(`Merged with what was changed here: ${merged.join(', ')}.`);
  return `${lines.join('\n')}\n`;
}
