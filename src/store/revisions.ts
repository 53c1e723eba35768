/** What people do to a session's log and files. Ids are UUIDs, minted by the caller, so that each may be repeated. */
import type { TextPart } from '../core/entry.ts';
import type { Database } from './database.ts';
import type { WorkspaceRow } from './turns.ts';

interface Asked {
  readonly teamId: string;
  readonly userId: string;
  readonly sessionId: string;
  /** The revision's. */
  readonly id: string;
}

export type RefusedRevision =
  | { readonly outcome: 'not_found' | 'archived' | 'shared' }
  | { readonly outcome: 'unfinished'; readonly taskId: string };

export interface Revert extends Asked {
  /** The position that the log goes back to. */
  readonly to: number;
  /** The files as they were there; null where nothing was recorded of them. */
  readonly snapshot: string | null;
  /** The files stay as they are instead. */
  readonly left?: boolean;
  /** What the model is told. */
  readonly parts: readonly TextPart[];
}

export type RevertOutcome =
  | {
      readonly outcome: 'reverted' | 'repeated';
      readonly rootId: string;
      readonly position: number;
      readonly to: number;
      readonly seq?: number;
    }
  | RefusedRevision;

export function revertSession(
  db: Database,
  { teamId, userId, sessionId, ...revert }: Revert,
): Promise<RevertOutcome> {
  return db.transition('revert_session', teamId, userId, sessionId, revert);
}

export type CompactionOutcome =
  | {
      readonly outcome: 'asked' | 'repeated';
      readonly rootId: string;
      readonly position: number;
      readonly seq?: number;
    }
  /** There is no answer that a summary does not stand for, or is not to stand for, already. */
  | { readonly outcome: 'nothing' }
  | RefusedRevision;

/** `parts`: what the model is told. */
export function askCompaction(
  db: Database,
  { teamId, userId, sessionId, ...asked }: Asked & { readonly parts: readonly TextPart[] },
): Promise<CompactionOutcome> {
  return db.transition('ask_compaction', teamId, userId, sessionId, asked);
}

export interface MergeConflict {
  readonly path: string;
  readonly kind: string;
  readonly keptAt?: string;
}

export type MergePoint =
  | {
      readonly outcome: 'found';
      /** The newest files that both sessions come from; null: they began with nothing. */
      readonly base: string | null;
      /** When that was; null: before the other session's first task. */
      readonly since: string | null;
      readonly into: Pick<WorkspaceRow, 'kind' | 'path' | 'lineage' | 'head'>;
      readonly from: { readonly title: string; readonly head: string | null };
    }
  | { readonly outcome: 'not_found' | 'unrelated' };

export function readMergePoint(
  db: Database,
  { teamId, into, from }: { readonly teamId: string; readonly into: string; readonly from: string },
): Promise<MergePoint> {
  return db.transition('merge_point', teamId, into, from);
}

export interface Merge extends Asked {
  readonly from: string;
  readonly base: string;
  /** The files that were merged into, as the workspace's row named them. */
  readonly ours: string | null;
  readonly theirs: string;
  /** The merged files; null where their owner has put them into their directory. */
  readonly snapshot: string | null;
  readonly conflicts: readonly MergeConflict[];
  /** What the model is told. */
  readonly parts: readonly TextPart[];
}

export type MergeOutcome =
  | {
      readonly outcome: 'merged' | 'repeated';
      readonly rootId: string;
      readonly position: number;
      readonly from: string | null;
      readonly conflicts: readonly MergeConflict[];
      readonly seq?: number;
    }
  /** Its files are no more those that were merged. */
  | { readonly outcome: 'moved' }
  | RefusedRevision;

export function mergeSession(
  db: Database,
  { teamId, userId, sessionId, ...merge }: Merge,
): Promise<MergeOutcome> {
  return db.transition('merge_session', teamId, userId, sessionId, merge);
}
