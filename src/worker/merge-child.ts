/** Takes what a child changed into its parent's files, three-way from what it began with (PROTOCOL 19). */
import { type Conflict, sayConflict } from '../core/conflicts.ts';
import { fromPublicId, toPublicId } from '../core/id.ts';
import { readUnmerged } from '../store/delegations.ts';
import type { ToolOutcome } from '../tools/tool.ts';
import { fetched } from '../workspace/changes.ts';
import type { Moved } from '../workspace/history.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

/** A child's files when it began, and when it ended; null: nothing was there. */
export interface ChildFiles {
  readonly sessionId: string;
  readonly base: string | null;
  readonly head: string | null;
}

export interface MergedChild {
  /** Paths that the child changed. */
  readonly modified: readonly string[];
  readonly conflicts: readonly Conflict[];
  /** Where files of the parent are others now. */
  readonly moved?: Moved;
}

/** Enough of an id to know the session by: its last digits, since the first tell when it began. */
const LABEL_LENGTH = 12;
/** Conflicts that are named. */
const TOLD_CONFLICTS = 50;

/** What a child changed, and nothing done with it. */
export async function changesOf(shell: Shell, run: Run, child: ChildFiles): Promise<readonly string[]> {
  if (child.base === child.head) return [];
  const store = shell.snapshots.of(run.turn.workspace.lineage);
  const roots = await store.diff(await fetched(store, child.base), await fetched(store, child.head));
  return roots.flatMap(({ files }) => files.map(({ path }) => path));
}

/** Rejects with `SnapshotError`. It may be done again: what is merged already is no change. */
export async function mergeFiles(shell: Shell, run: Run, child: ChildFiles): Promise<MergedChild> {
  const modified = await changesOf(shell, run, child);
  if (child.base === child.head) return { modified, conflicts: [] };
  const checkout = await run.workspace(shell.openWorkspace);
  const store = shell.snapshots.of(run.turn.workspace.lineage);
  const [base, ours, theirs] = [
    await fetched(store, child.base),
    await fetched(store, checkout.newest),
    await fetched(store, child.head),
  ];
  const label = toPublicId('session', child.sessionId).slice(-LABEL_LENGTH);
  const { id, conflicts } = await store.merge({ base, ours, theirs, label });
  const moved = await checkout.moveTo(id, label);
  // Of what stays with the person it is told once, and nothing that was not written.
  const isKept = ({ path }: Conflict) =>
    moved.metadata.some((held) => path === held || path.startsWith(`${held}/`));
  return { modified, conflicts: conflicts.filter((conflict) => !isKept(conflict)), moved };
}

/** What the model is told of a merge. */
export function sayMerged({ modified, conflicts, moved }: MergedChild): string {
  if (modified.length === 0 && conflicts.length === 0) return 'It changed no files.';
  const kept = (moved?.kept ?? []).map(
    ({ path, keptAt }) =>
      `${path} (changed by the user meanwhile, and left as it is${keptAt === undefined ? '' : `; the child's version: ${keptAt}`})`,
  );
  const metadata = (moved?.metadata ?? []).map(
    (path) => `${path} (version control's own state stays as it is here)`,
  );
  const unsettled = [...conflicts.map(sayConflict), ...kept, ...metadata];
  const merged = `Its changes to ${modified.length === 1 ? 'one file' : `${modified.length} files`} were merged into yours: read a file again before you go on with it.`;
  if (unsettled.length === 0) return merged;
  const more = unsettled.length - TOLD_CONFLICTS;
  return [
    merged,
    `Conflicts, which you have to settle (its own state is kept in its session):`,
    ...unsettled.slice(0, TOLD_CONFLICTS).map((line) => `- ${line}`),
    ...(more > 0 ? [`- and ${more} more`] : []),
  ].join('\n');
}

/** The tool `merge_child`: what was not merged, since the child failed. */
export async function mergeKept(shell: Shell, run: Run, named: string): Promise<ToolOutcome> {
  const id = fromPublicId('session', named.trim());
  const parentId = run.turn.sessionId;
  const child = id === undefined ? undefined : await readUnmerged(shell.db, { parentId, id });
  if (child === undefined) {
    const text = `Error: there is nothing to merge of ${JSON.stringify(named.slice(0, 60))}: expected the session_id (ses_…) of an agent that you delegated to, and whose changes were not merged.`;
    return { text, isError: true };
  }
  const merged = await mergeFiles(shell, run, child);
  const { moved } = merged;
  return {
    text: sayMerged(merged),
    ...(moved === undefined ? {} : { moved: moved.changed ? { snapshot: moved.snapshot } : {} }),
    merged: [child.callId],
  };
}
