import { newId } from '../../src/clock.ts';
import type { Database } from '../../src/store/database.ts';

/** A session below another, without a task. Returns its id. */
export async function addChild(db: Database, parentId: string, title: string): Promise<string> {
  const [id, workspaceId] = [newId(), newId()];
  await db.sql`
    INSERT INTO workspace (id, team_id, kind, lineage)
    SELECT ${workspaceId}, team_id, 'empty', root_id FROM session WHERE id = ${parentId}`;
  await db.sql`
    INSERT INTO session (id, root_id, parent_id, team_id, user_id, workspace_id, title, depth)
    SELECT ${id}, root_id, id, team_id, user_id, ${workspaceId}, ${title}, depth + 1 FROM session WHERE id = ${parentId}`;
  return id;
}
