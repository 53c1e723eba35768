/** Points in a session's log, and sessions that branch off there. Ids are UUIDs, minted by the caller, so that each may be repeated. */
import type { TextPart } from '../core/entry.ts';
import type { Database } from './database.ts';
import type { SessionFiles } from './views-files.ts';

/** Where in a log: behind a turn (counted over all answers), or an entry; both left out: behind all that is settled. */
export interface PointWanted {
  readonly turn?: number | undefined;
  readonly entry?: number | undefined;
}

export interface LogPoint {
  readonly outcome: 'found';
  readonly position: number;
  /** The session whose own entry stands there: the asked one, or one that it was forked from. */
  readonly owner: string;
  readonly title: string;
  /** The session's files; `head`: as they were at that point, null where nothing was recorded. */
  readonly files: Omit<SessionFiles, 'id'>;
}

export type PointOutcome =
  | LogPoint
  | { readonly outcome: 'not_found' | 'unfinished' }
  /** `last`: the last turn, or entry, that there is. */
  | { readonly outcome: 'unknown'; readonly last: number };

export function readLogPoint(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
  { turn, entry }: PointWanted,
): Promise<PointOutcome> {
  return db.transition('log_point', session.teamId, session.id, turn ?? null, entry ?? null);
}

export interface Fork {
  readonly id: string;
  readonly title: string;
  /** `owner` and `position` of the point. */
  readonly from: string;
  readonly at: number;
  readonly workspace: Omit<SessionFiles, 'path'>;
  /** What the model is told before it goes on. */
  readonly notice: readonly TextPart[];
}

export type ForkOutcome =
  | { readonly outcome: 'forked'; readonly sessionId: string; readonly seq: number }
  | { readonly outcome: 'repeated'; readonly sessionId: string }
  | { readonly outcome: 'not_found' };

/** A repeat is known by the workspace's id. */
export function forkSession(
  db: Database,
  { teamId, userId, ...fork }: Fork & { readonly teamId: string; readonly userId: string },
): Promise<ForkOutcome> {
  return db.transition('fork_session', teamId, userId, fork);
}
