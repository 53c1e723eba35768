/** What is recorded of a session's files. */
import type { Database } from './database.ts';
import type { WorkspaceRow } from './turns.ts';

/** Undefined where the team has no such session. */
export async function readSessionFiles(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
): Promise<WorkspaceRow | undefined> {
  const [found] = await db.sql<WorkspaceRow & Record<string, unknown>>`
    SELECT w.id, w.kind, w.path, CASE w.kind WHEN 'git' THEN w.source END AS source, w.lineage, w.base, w.head
      FROM session s JOIN workspace w ON w.id = s.workspace_id
     WHERE s.id = ${session.id} AND s.team_id = ${session.teamId}`;
  return found;
}
