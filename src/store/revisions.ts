/** What people do to a session's log and files. Ids are UUIDs, minted by the caller, so that each may be repeated. */
import type { TextPart } from '../core/entry.ts';
import type { Database } from './database.ts';

interface Asked {
  readonly teamId: string;
  readonly userId: string;
  readonly sessionId: string;
  /** The revision's. */
  readonly id: string;
}

export type RefusedRevision =
  | { readonly outcome: 'not_found' | 'archived' }
  | { readonly outcome: 'unfinished'; readonly taskId: string };

export interface Revert extends Asked {
  /** The position that the log goes back to. */
  readonly to: number;
  /** The files as they were there; null where nothing was recorded of them. */
  readonly snapshot: string | null;
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
