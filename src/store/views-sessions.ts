/** Sessions, their logs and their tool calls as the API shows them. */
import type { Part, Pruned, Replaced, ResultPart } from '../core/entry.ts';
import type { AgentState } from '../core/event.ts';
import type { Source, WorkspaceKind } from '../core/workspace.ts';
import { AGENT_STATE, LAST_BEGUN, TASK_IN_HAND } from './agent-state.ts';
import type { Database } from './database.ts';
import { type LogPart, readLogParts } from './session-log.ts';
import { cut, type Rows } from './views.ts';

export interface SessionRow {
  readonly id: string;
  readonly rootId: string;
  readonly parentId: string | null;
  readonly title: string;
  readonly state: AgentState;
  readonly workspaceKind: WorkspaceKind;
  /** Of an `upload` workspace: where its client says that it was sent from. */
  readonly workspacePath: string | null;
  readonly workspaceSource: Source | null;
  readonly createdAt: Date;
  readonly archivedAt: Date | null;
  /** Of a fork: the session that its log begins with, up to position `forkedAt`. */
  readonly forkedFrom: string | null;
  readonly forkedAt: number | null;
}

export interface SessionFilter {
  readonly teamId: string;
  readonly id?: string | undefined;
  /** Only those older than this one. */
  readonly before?: string | undefined;
  /** Archived ones are left out, but where asked for or named. */
  readonly withArchived?: boolean | undefined;
}

/** Only what leads to a session's rows: `undefined` where the team has no such session. */
export async function findSession(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
): Promise<{ readonly id: string; readonly rootId: string } | undefined> {
  const [found] = await db.sql<{ id: string; rootId: string }>`
    SELECT id, root_id AS "rootId" FROM session WHERE id = ${session.id} AND team_id = ${session.teamId}`;
  return found;
}

export async function readSession(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
): Promise<SessionRow | undefined> {
  const { rows } = await readSessions(db, session, 1);
  return rows[0];
}

/** Of a session `s`, with what SESSION_JOINS joins to it. */
export const SESSION_COLUMNS = `
         s.id, s.root_id AS "rootId", s.parent_id AS "parentId", s.title, w.kind AS "workspaceKind",
         coalesce(w.path, CASE w.kind WHEN 'upload' THEN w.source->>'directory' END) AS "workspacePath",
         CASE WHEN w.kind <> 'upload' THEN w.source END AS "workspaceSource", s.created_at AS "createdAt", s.archived_at AS "archivedAt",
         s.forked_from AS "forkedFrom", s.forked_at AS "forkedAt", ${AGENT_STATE} AS state`;

export const SESSION_JOINS = `
    JOIN workspace w ON w.id = s.workspace_id
    LEFT JOIN ${TASK_IN_HAND} ON true
    LEFT JOIN ${LAST_BEGUN} ON true`;

/** Of team $1: $2 alone, or those older than $3, with archived ones where $4 says so, and $5 at most; $2 and $3 may be null. */
const SESSIONS = `
  SELECT ${SESSION_COLUMNS}
    FROM session s ${SESSION_JOINS}
   WHERE s.team_id = $1 AND ($3::uuid IS NULL OR s.id < $3)
     AND (s.id = $2 OR ($2::uuid IS NULL AND s.parent_id IS NULL AND ($4 OR s.archived_at IS NULL)))
   ORDER BY s.id DESC LIMIT $5`;

/** The newest first, but for those that were delegated to. The state is that of the task in hand, or of the last one. */
export async function readSessions(
  db: Database,
  filter: SessionFilter,
  limit: number,
): Promise<Rows<SessionRow>> {
  const { teamId, id = null, before = null, withArchived = false } = filter;
  const values = [teamId, id, before, withArchived, limit + 1];
  return cut(await db.read<SessionRow & Record<string, unknown>>(SESSIONS, ...values), limit);
}

export interface EntryRow {
  readonly position: number;
  readonly kind: string;
  /** Null of what no turn wrote. */
  readonly taskId: string | null;
  readonly turn: number | null;
  readonly parts: readonly (Part | ResultPart)[];
  readonly stopReason: string | null;
  readonly callId: string | null;
  /** Of a result: the row of the call that returned it. */
  readonly toolCallId: string | null;
  readonly status: string | null;
  readonly revertsTo: number | null;
  readonly replaces: Pruned | Replaced | null;
  /** Who said it, where a person did. */
  readonly by: string | null;
  readonly at: Date;
}

/** Entries behind `position`, in order. A fork's begin with its source's. */
export async function readEntryPage(
  db: Database,
  after: { readonly sessionId: string; readonly position: number },
  limit: number,
): Promise<Rows<EntryRow>> {
  const rows: EntryRow[] = [];
  for (const part of await readLogParts(db, after.sessionId)) {
    if (part.last !== null && part.last <= after.position) continue;
    rows.push(...(await readPart(db, { ...part, after: Math.max(part.after, after.position) }, limit)));
    if (rows.length > limit) break;
  }
  return cut(rows, limit);
}

function readPart(db: Database, { sessionId, after, last }: LogPart, limit: number): Promise<EntryRow[]> {
  return db.sql<EntryRow & Record<string, unknown>>`
    SELECT e.position, e.kind, e.task_id AS "taskId", u.number AS turn, coalesce(e.parts, m.parts) AS parts,
           e.stop_reason AS "stopReason", e.call_id AS "callId", e.status, e.reverts_to AS "revertsTo", e.replaces, e.created_at AS at,
           c.id AS "toolCallId", person.name AS by
      FROM entry e LEFT JOIN turn u ON u.id = e.turn_id LEFT JOIN message m ON m.id = e.message_id
      LEFT JOIN "user" person ON person.id = m.user_id
      LEFT JOIN tool_call c ON c.turn_id = e.turn_id AND c.result_position = e.position
     WHERE e.session_id = ${sessionId} AND e.position > ${after} AND (${last}::int IS NULL OR e.position <= ${last})
     ORDER BY e.position LIMIT ${limit + 1}`;
}

/** Where a tool call stands in its session: the order of the execution log. */
export interface CallPlace {
  readonly task: number;
  readonly turn: number;
  readonly ordinal: number;
}

export interface ToolCallRow {
  readonly id: string;
  readonly sessionId: string;
  readonly taskId: string;
  readonly taskOrdinal: number;
  readonly turn: number;
  readonly ordinal: number;
  readonly callId: string;
  readonly name: string;
  readonly arguments: string | null;
  readonly effect: string;
  readonly status: string;
  readonly durationMs: number | null;
  readonly resultPosition: number | null;
  readonly hasOutput: boolean;
  readonly endedAt: Date | null;
}

/** Tool calls behind `place`, in the order in which the model asked for them. */
export async function readToolCalls(
  db: Database,
  after: { readonly sessionId: string; readonly place: CallPlace },
  limit: number,
): Promise<Rows<ToolCallRow>> {
  const { task, turn, ordinal } = after.place;
  const rows = await db.sql<ToolCallRow & Record<string, unknown>>`
    SELECT c.id, c.session_id AS "sessionId", c.task_id AS "taskId", t.ordinal AS "taskOrdinal", u.number AS turn,
           c.ordinal, c.call_id AS "callId", c.name, c.effect, c.status, c.duration_ms AS "durationMs",
           c.result_position AS "resultPosition", c.output_hash IS NOT NULL AS "hasOutput", c.ended_at AS "endedAt",
           (SELECT part->>'arguments' FROM jsonb_array_elements(e.parts) WITH ORDINALITY AS parts(part, place)
             WHERE part->>'type' = 'tool' ORDER BY place OFFSET c.ordinal LIMIT 1) AS arguments
      FROM tool_call c JOIN turn u ON u.id = c.turn_id JOIN task t ON t.id = c.task_id
      LEFT JOIN entry e ON e.session_id = c.session_id AND e.position = u.answer_position
     WHERE c.session_id = ${after.sessionId} AND (t.ordinal, u.number, c.ordinal) > (${task}::int, ${turn}::int, ${ordinal}::int)
     ORDER BY t.ordinal, u.number, c.ordinal LIMIT ${limit + 1}`;
  return cut(rows, limit);
}
