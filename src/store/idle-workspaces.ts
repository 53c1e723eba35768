import type { Database } from './database.ts';

export interface IdleWorkspace {
  readonly id: string;
  readonly lineage: string;
  readonly head: string | null;
}

/** Those of these that are no more: nothing of theirs is needed. */
export function deletedWorkspaces(db: Database, ids: readonly string[]): Promise<IdleWorkspace[]> {
  return db.sql<IdleWorkspace & Record<string, unknown>>`
    SELECT id, id AS lineage, NULL AS head FROM unnest(${`{${ids.join(',')}}`}::uuid[]) AS given (id)
     WHERE NOT EXISTS (SELECT FROM workspace w WHERE w.id = given.id)`;
}

/**
 * Those of these workspaces that are Capybara's own, and in whose sessions nobody has worked, taken back or merged into for so long:
 * none of its tasks is unfinished, and no command of it runs.
 */
export function idleWorkspaces(
  db: Database,
  { ids, idleMs }: { readonly ids: readonly string[]; readonly idleMs: number },
): Promise<IdleWorkspace[]> {
  return db.sql<IdleWorkspace & Record<string, unknown>>`
    SELECT w.id, w.lineage, w.head
      FROM workspace w
      CROSS JOIN LATERAL (SELECT clock_timestamp() - ${idleMs} * interval '1 millisecond' AS at) since
     WHERE w.id = ANY(${`{${ids.join(',')}}`}::uuid[]) AND w.kind <> 'local'
       AND EXISTS (SELECT FROM session s WHERE s.workspace_id = w.id)
       AND NOT EXISTS (
         SELECT FROM session s
          WHERE s.workspace_id = w.id AND (s.created_at >= since.at
             OR EXISTS (SELECT FROM task t WHERE t.session_id = s.id AND (t.ended_at IS NULL OR t.ended_at >= since.at))
             OR EXISTS (SELECT FROM revision r WHERE r.session_id = s.id AND r.created_at >= since.at)
             OR EXISTS (SELECT FROM background_process b WHERE b.session_id = s.id AND b.ended_at IS NULL)))`;
}
