/** What agents have to do, as people see it. */
import type { Todo } from '../core/todos.ts';
import type { Database } from './database.ts';

type TodoRow = Todo & { readonly sessionId: string };

/** The lists of these sessions, by their ids. */
export async function readTodos(
  db: Database,
  sessionIds: readonly string[],
): Promise<ReadonlyMap<string, readonly Todo[]>> {
  const lists = new Map<string, Todo[]>(sessionIds.map((id) => [id, []]));
  const rows = await db.sql<TodoRow & Record<string, unknown>>`
    SELECT session_id AS "sessionId", text, status FROM todo WHERE session_id = ANY(${`{${sessionIds.join(',')}}`}::uuid[]) ORDER BY session_id, position`;
  for (const { sessionId, text, status } of rows) lists.get(sessionId)?.push({ text, status });
  return lists;
}
