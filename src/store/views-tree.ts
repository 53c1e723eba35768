/** A session and everything below it, as it stands at one moment. */
import type { AgentState } from '../core/event.ts';
import { AGENT_STATE, LAST_BEGUN, TASK_IN_HAND } from './agent-state.ts';
import type { Database } from './database.ts';
import { cut, type Rows } from './views.ts';

/** Characters of a call's arguments that are read to say what it is about. */
const ARGUMENTS_READ = 16_384;

export interface TreeRow {
  readonly id: string;
  readonly parentId: string | null;
  readonly title: string;
  /** What follows is of the task in hand, or the last. Null: there is none. */
  readonly agent: string | null;
  readonly state: AgentState;
  readonly taskId: string | null;
  readonly taskStatus: string | null;
  readonly waitingOn: string | null;
  /** Turns that a worker has begun. */
  readonly turns: number;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  /** From its start to its end, or to now by the database's clock. */
  readonly seconds: number | null;
  /** The call that runs, or is the next to, with its arguments as the model wrote them, cut. */
  readonly callName: string | null;
  readonly callId: string | null;
  readonly callArguments: string | null;
  /** Of requests that were answered, of all tasks of this session alone. */
  readonly input: number;
  readonly output: number;
  readonly usd: string | null;
  /** The tree's last event of which this tells what came of it. */
  readonly seq: number;
}

/** Level by level, so that whatever is cut off, the parent of each is there; then in the order in which they were created. */
const TREE = `
WITH RECURSIVE below AS (
  SELECT id, root_id, parent_id, team_id, title, created_at, 0 AS depth FROM session WHERE id = $1 AND team_id = $2
  UNION ALL
  SELECT c.id, c.root_id, c.parent_id, c.team_id, c.title, c.created_at, b.depth + 1
    FROM below b JOIN session c ON c.parent_id = b.id AND c.team_id = b.team_id
), s AS MATERIALIZED (
  SELECT * FROM below LIMIT $3
)
SELECT s.id, s.parent_id AS "parentId", s.title, p.body->>'agent' AS agent, ${AGENT_STATE} AS state,
       t.id AS "taskId", CASE WHEN t.paused_at IS NULL THEN t.status ELSE 'paused' END AS "taskStatus", t.waiting_on AS "waitingOn", coalesce(u.number - u.uncounted, 0) AS turns,
       t.started_at AS "startedAt", t.ended_at AS "endedAt",
       extract(epoch FROM coalesce(t.ended_at, clock_timestamp()) - t.started_at)::float8 AS seconds,
       c.name AS "callName", c.call_id AS "callId", left(e.arguments, ${ARGUMENTS_READ}) AS "callArguments", used.input, used.output, used.usd,
       (SELECT last_seq::float8 FROM tree WHERE root_id = s.root_id) AS seq
  FROM s
  LEFT JOIN ${TASK_IN_HAND} ON true
  LEFT JOIN ${LAST_BEGUN} ON true
  LEFT JOIN profile p ON p.hash = t.profile_hash
  LEFT JOIN LATERAL (
    SELECT name, call_id, ordinal FROM tool_call
     WHERE turn_id = u.id AND u.status = 'running' AND status IN ('requested', 'started') AND denial IS NULL
     ORDER BY status = 'requested', ordinal LIMIT 1) c ON true
  LEFT JOIN LATERAL (
    SELECT part->>'arguments' AS arguments
      FROM entry, jsonb_array_elements(parts) WITH ORDINALITY AS parts(part, place)
     WHERE session_id = s.id AND position = u.answer_position AND c.name IS NOT NULL AND part->>'type' = 'tool'
     ORDER BY place OFFSET c.ordinal LIMIT 1) e ON true
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(input), 0)::float8 AS input, coalesce(sum(output), 0)::float8 AS output, trim_scale(sum(usd))::text AS usd
      FROM usage WHERE task_id IN (SELECT id FROM task WHERE session_id = s.id) AND outcome <> 'unknown') used
 ORDER BY s.depth, s.created_at, s.id`;

/** The session first, where the team has it; none where it has not. `more`: sessions below it were left out. */
export async function readTree(
  db: Database,
  session: { readonly teamId: string; readonly id: string },
  limit: number,
): Promise<Rows<TreeRow>> {
  const rows = await db.read<TreeRow & Record<string, unknown>>(TREE, session.id, session.teamId, limit + 1);
  return cut(rows, limit);
}
