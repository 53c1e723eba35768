/** What is recorded of a session's files. */
import type { Database } from './database.ts';
import type { WorkspaceRow } from './turns.ts';

export interface SessionFiles extends WorkspaceRow {
  readonly rootId: string;
}

/** Undefined where the team has no such session. */
export async function readSessionFiles(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
): Promise<SessionFiles | undefined> {
  const [found] = await db.sql<SessionFiles & Record<string, unknown>>`
    SELECT w.id, w.kind, w.path, w.base, w.head, s.root_id AS "rootId"
      FROM session s JOIN workspace w ON w.id = s.workspace_id
     WHERE s.id = ${session.id} AND s.team_id = ${session.teamId}`;
  return found;
}
