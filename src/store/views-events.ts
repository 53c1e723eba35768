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
 * is never seen before the one that precedes it. Of those, the ones of certain types and sessions where these are given.
 */
export function readEvents(
  db: Database,
  after: {
    readonly rootId: string;
    readonly seq: number;
    readonly types?: ReadonlySet<string> | undefined;
    readonly sessions?: ReadonlySet<string> | undefined;
  },
  limit: number,
): Promise<EventRow[]> {
  const types = after.types === undefined ? null : `{${[...after.types].join()}}`;
  const sessions = after.sessions === undefined ? null : `{${[...after.sessions].join()}}`;
  return db.sql<EventRow & Record<string, unknown>>`
    SELECT seq::float8 AS seq, type, session_id AS "sessionId", task_id AS "taskId", turn, data, at
      FROM event WHERE root_id = ${after.rootId} AND seq > ${after.seq}
       AND (${types}::text[] IS NULL OR type = ANY(${types}::text[]))
       AND (${sessions}::uuid[] IS NULL OR session_id = ANY(${sessions}::uuid[]))
     ORDER BY seq LIMIT ${limit}`;
}

/** The last sequence number of a tree; 0 where there is none. */
export async function readLastSeq(db: Database, rootId: string): Promise<number> {
  const [row] = await db.sql<{
    seq: number;
  }>`SELECT last_seq::float8 AS seq FROM tree WHERE root_id = ${rootId}`;
  return row?.seq ?? 0;
}

export interface TailsStand {
  /** The last sequence number of each tree. */
  readonly seqs: readonly { readonly rootId: string; readonly seq: number }[];
  /** Keys that open nothing any more. */
  readonly revoked: readonly string[];
}

/** Where open streams stand, in one query however many there are. */
export async function readTails(
  db: Database,
  open: { readonly rootIds: readonly string[]; readonly keyIds: readonly string[] },
): Promise<TailsStand> {
  const rows = await db.sql<{ id: string; seq: number | null }>`
    SELECT root_id AS id, last_seq::float8 AS seq FROM tree WHERE root_id = ANY(${`{${open.rootIds.join(',')}}`}::uuid[])
    UNION ALL
    SELECT k.id, NULL FROM unnest(${`{${open.keyIds.join(',')}}`}::uuid[]) AS k (id)
     WHERE NOT EXISTS (SELECT 1 FROM api_key WHERE id = k.id AND revoked_at IS NULL
                           AND (expires_at IS NULL OR expires_at > clock_timestamp()))`;
  return {
    seqs: rows.flatMap(({ id, seq }) => (seq === null ? [] : [{ rootId: id, seq }])),
    revoked: rows.flatMap(({ id, seq }) => (seq === null ? [id] : [])),
  };
}
