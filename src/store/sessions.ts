/** What people do to a session as a whole. Ids are UUIDs. */
import type { Database } from './database.ts';

interface OfTeam {
  readonly teamId: string;
  readonly sessionId: string;
}

export type RenameOutcome =
  | { readonly outcome: 'renamed'; readonly rootId: string; readonly seq: number }
  | { readonly outcome: 'not_found' };

export function renameSession(
  db: Database,
  { teamId, sessionId, title }: OfTeam & { readonly title: string },
): Promise<RenameOutcome> {
  return db.transition('rename_session', teamId, sessionId, title);
}

/** Why nothing can be done to a session and all below it now. */
export type RefusedTree =
  | { readonly outcome: 'not_found' }
  /** It was delegated to: what is done to its root is done to it. */
  | { readonly outcome: 'child'; readonly rootId: string }
  | { readonly outcome: 'unfinished'; readonly taskId: string; readonly sessionId: string };

export type ArchiveOutcome =
  | { readonly outcome: 'done'; readonly rootId: string; readonly seq: number }
  | RefusedTree;

/** `isArchived`: what it is to be. */
export function archiveSession(
  db: Database,
  { teamId, sessionId, isArchived }: OfTeam & { readonly isArchived: boolean },
): Promise<ArchiveOutcome> {
  return db.transition('archive_session', teamId, sessionId, isArchived);
}

export type DeleteOutcome =
  | { readonly outcome: 'deleted'; readonly rootId: string }
  /** `sessionId`: one whose log begins with its. */
  | { readonly outcome: 'forked'; readonly sessionId: string }
  | RefusedTree;

/** A repeat finds nothing. */
export function deleteSession(db: Database, { teamId, sessionId }: OfTeam): Promise<DeleteOutcome> {
  return db.transition('delete_session', teamId, sessionId);
}
