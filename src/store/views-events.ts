/** A session tree's events, as its tails read them. */
import type { EventType } from '../core/event.ts';
import type { Database } from './database.ts';

export interface EventRow {
  readonly seq: number;
  readonly type: EventType;
  readonly sessionId: string;
  readonly taskId: string | null;
  readonly turn: number | null;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Date;
}

/**
 * Events of a tree behind `seq`, in order, without gaps: whoever appends holds the tree's row until its commit, so a number
 * is never seen before the one that precedes it.
 */
export function readEvents(
  db: Database,
  after: { readonly rootId: string; readonly seq: number },
  limit: number,
): Promise<EventRow[]> {
  return db.sql<EventRow & Record<string, unknown>>`
    SELECT seq::float8 AS seq, type, session_id AS "sessionId", task_id AS "taskId", turn, data, at
      FROM event WHERE root_id = ${after.rootId} AND seq > ${after.seq} ORDER BY seq LIMIT ${limit}`;
}

/** The last sequence number of each of these trees. */
export async function readLastSeqs(
  db: Database,
  rootIds: readonly string[],
): Promise<{ readonly rootId: string; readonly seq: number }[]> {
  return db.sql<{ rootId: string; seq: number }>`
    SELECT root_id AS "rootId", last_seq::float8 AS seq
      FROM tree WHERE root_id = ANY(${`{${rootIds.join(',')}}`}::uuid[])`;
}
