import type { Database } from './database.ts';

/**
 * The snapshots of a tree of forks that somebody may still need, for `SnapshotStore.prune`: what each session began with and has now, what
 * stood after each of its calls (where it can be forked and taken back to), and what was merged.
 */
export async function liveSnapshots(db: Database, lineage: string): Promise<string[]> {
  const rows = await db.sql<{ snapshot: string }>`
    WITH own AS (
      SELECT s.id, w.base, w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE w.lineage = ${lineage})
    SELECT DISTINCT snapshot
      FROM (SELECT unnest(ARRAY[base, head]) AS snapshot FROM own
            UNION ALL SELECT c.snapshot FROM own JOIN tool_call c ON c.session_id = own.id
            UNION ALL SELECT unnest(ARRAY[r.snapshot, r.base, r.theirs]) FROM own JOIN revision r ON r.session_id = own.id) named
     WHERE snapshot IS NOT NULL`;
  return rows.map(({ snapshot }) => snapshot);
}
