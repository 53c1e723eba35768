/** What is recorded of a session's files. */
import type { ConfiguredRule } from '../core/permission.ts';
import type { Database } from './database.ts';
import type { WorkspaceRow } from './turns.ts';

export interface SessionFiles extends WorkspaceRow {
  /** Of a copy of a person's own directory: the rules of the project there, which bind every task; null: none. */
  readonly rules: readonly ConfiguredRule[] | null;
}

/** Undefined where the team has no such session. */
export async function readSessionFiles(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
): Promise<SessionFiles | undefined> {
  const [found] = await db.sql<SessionFiles & Record<string, unknown>>`
    SELECT w.id, w.kind, w.path, CASE WHEN w.kind <> 'upload' THEN w.source END AS source, w.rules,
           w.project_servers AS "projectServers", w.lineage, w.base, w.head
      FROM session s JOIN workspace w ON w.id = s.workspace_id
     WHERE s.id = ${session.id} AND s.team_id = ${session.teamId}`;
  return found;
}

export interface Authorship {
  /** The session's user. */
  readonly author: string;
  readonly title: string;
  /** When something was last said in it. */
  readonly at: Date;
}

/** Whose work a session is. Undefined where the team has no such session. */
export async function readAuthorship(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
): Promise<Authorship | undefined> {
  const [found] = await db.sql<Authorship & Record<string, unknown>>`
    SELECT u.name AS author, s.title, coalesce(e.created_at, s.created_at) AS at
      FROM session s JOIN "user" u ON u.id = s.user_id
      LEFT JOIN LATERAL (SELECT created_at FROM entry WHERE session_id = s.id ORDER BY position DESC LIMIT 1) e ON true
     WHERE s.id = ${session.id} AND s.team_id = ${session.teamId}`;
  return found;
}
