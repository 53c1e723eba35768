/** What of the snapshots is still needed, for whoever prunes. */
import type { Database } from './database.ts';

/**
 * The snapshots of a tree of forks that somebody may still need, for `SnapshotStore.prune`: what each session began with and has now, what
 * stood after each of its calls (where it can be forked and taken back to), what was merged, what delegated tasks began and ended with, and uploads. Undefined: no row names the
 * lineage.
 */
export async function liveSnapshots(db: Database, lineage: string): Promise<string[] | undefined> {
  const rows = await db.sql<{ snapshot: string | null }>`
    WITH own AS (
      SELECT s.id, w.base, w.head FROM workspace w JOIN session s ON s.workspace_id = w.id WHERE w.lineage = ${lineage})
    SELECT DISTINCT snapshot
      FROM (SELECT unnest(ARRAY[base, head]) AS snapshot FROM own
            UNION ALL SELECT c.snapshot FROM own JOIN tool_call c ON c.session_id = own.id
            UNION ALL SELECT unnest(ARRAY[d.base, d.head]) FROM own JOIN delegation d ON d.child_session_id = own.id
            UNION ALL SELECT unnest(ARRAY[r.snapshot, r.base, r.theirs]) FROM own JOIN revision r ON r.session_id = own.id
            UNION ALL SELECT snapshot FROM upload WHERE lineage = ${lineage}) named`;
  return rows.length === 0 ? undefined : rows.flatMap(({ snapshot }) => snapshot ?? []);
}

export interface DatabaseName {
  /** For ever; a copy of the database has it too. */
  readonly id: string;
  /** Where it is: a copy of it elsewhere, or one that was restored from a dump, is another one. */
  readonly instance: string;
}

/** Names this database: what another one's rows name is not this one's to remove. */
export async function databaseName(db: Database): Promise<DatabaseName> {
  const [row] = await db.sql<DatabaseName & Record<string, unknown>>`
    SELECT m.id, system_identifier || '/' || d.oid AS instance
      FROM _prisma_migrations m, pg_control_system(), pg_database d
     WHERE d.datname = current_database() ORDER BY m.started_at, m.id LIMIT 1`;
  if (row === undefined) throw new Error('the database was never migrated');
  return row;
}
