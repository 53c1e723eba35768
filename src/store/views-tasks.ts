/** Tasks as the API shows them. */
import type { UserPart } from '../core/entry.ts';
import type { OnLimit, Profile } from '../core/profile.ts';
import type { Database } from './database.ts';
import { readTaskUsage, type TaskUsageRow } from './usage.ts';
import { cut, type Rows } from './views.ts';

export interface TaskRow {
  readonly id: string;
  readonly sessionId: string;
  readonly status: string;
  readonly waitingOn: string | null;
  readonly cancelRequested: boolean;
  readonly prompt: readonly UserPart[];
  /** Who said the prompt; null: an agent. */
  readonly createdBy: string | null;
  /** What made it; null: a person or an agent did. */
  readonly scheduleId: string | null;
  readonly profile: Profile;
  /** In hexadecimal. */
  readonly profileHash: string;
  readonly turnLimit: number;
  readonly treeTurnLimit: number;
  readonly tokenLimit: number | null;
  /** US dollars, a decimal number. */
  readonly usdLimit: string | null;
  readonly secondsLimit: number | null;
  readonly childLimit: number;
  readonly concurrentLimit: number;
  readonly depthLimit: number;
  readonly onLimit: OnLimit;
  /** Turns that a worker has begun. */
  readonly turns: number;
  /** The answer that ended the task. */
  readonly result: readonly { readonly type: string; readonly text?: string }[] | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly usage: readonly TaskUsageRow[];
  /** Of it and all that it delegated, like its usage. */
  readonly toolCalls: number;
  /** Calls that ended neither well nor by a person's or a rule's no. */
  readonly toolFailures: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
}

export interface TaskFilter {
  readonly teamId: string;
  readonly id?: string | undefined;
  readonly sessionId?: string | undefined;
  /** Only those that it made. */
  readonly scheduleId?: string | undefined;
  readonly status?: string | undefined;
  /** Only those older than this one. */
  readonly before?: string | undefined;
}

export async function readTask(
  db: Database,
  task: { readonly teamId: string; readonly id: string },
): Promise<TaskRow | undefined> {
  const { rows } = await readTasks(db, task, 1);
  return rows[0];
}

/** The newest first; those that were delegated only where their session is named. */
export async function readTasks(db: Database, filter: TaskFilter, limit: number): Promise<Rows<TaskRow>> {
  const { teamId, id = null, sessionId = null, scheduleId = null, status = null, before = null } = filter;
  const rows = await db.sql<Omit<TaskRow, 'usage'> & Record<string, unknown>>`
    SELECT t.id, t.session_id AS "sessionId", CASE WHEN t.paused_at IS NULL THEN t.status ELSE 'paused' END AS status, t.waiting_on AS "waitingOn",
           t.cancel_requested_at IS NOT NULL AS "cancelRequested", m.parts AS prompt, person.name AS "createdBy", t.schedule_id AS "scheduleId", p.body AS profile,
           encode(t.profile_hash, 'hex') AS "profileHash",
           t.turn_limit AS "turnLimit", t.tree_turn_limit AS "treeTurnLimit", t.token_limit::float8 AS "tokenLimit",
           trim_scale(t.usd_limit)::text AS "usdLimit", t.seconds_limit AS "secondsLimit", t.child_limit AS "childLimit", t.concurrent_limit AS "concurrentLimit",
           t.depth_limit AS "depthLimit", t.on_limit AS "onLimit", coalesce(b.number, 0) AS turns, e.parts AS result,
           t.error_code AS "errorCode", t.error_message AS "errorMessage",
           c.calls AS "toolCalls", c.failures AS "toolFailures", t.metadata,
           t.created_at AS "createdAt", t.started_at AS "startedAt", t.ended_at AS "endedAt"
      FROM task t
      JOIN profile p ON p.hash = t.profile_hash
      JOIN LATERAL (SELECT parts, user_id FROM message WHERE task_id = t.id ORDER BY created_at, id LIMIT 1) m ON true
      LEFT JOIN "user" person ON person.id = m.user_id
      LEFT JOIN entry e ON e.session_id = t.session_id AND e.position = t.result_position
      LEFT JOIN LATERAL (
        SELECT number - uncounted AS number FROM turn WHERE task_id = t.id AND EXISTS (SELECT 1 FROM attempt WHERE turn_id = turn.id)
         ORDER BY turn.number DESC LIMIT 1) b ON true
      CROSS JOIN LATERAL (
        SELECT (count(*) FILTER (WHERE c.ended_at IS NOT NULL))::int AS calls,
               (count(*) FILTER (WHERE c.status IN ('failed', 'denied', 'interrupted', 'unknown')))::int AS failures
          FROM (WITH RECURSIVE below AS (
                  SELECT t.id AS id UNION ALL SELECT o.id FROM below b JOIN task o ON o.parent_task_id = b.id)
                SELECT id FROM below) below
          JOIN turn ON turn.task_id = below.id JOIN tool_call c ON c.turn_id = turn.id) c
     WHERE t.team_id = ${teamId} AND (${id}::uuid IS NULL OR t.id = ${id})
       AND (t.session_id = ${sessionId} OR (${sessionId}::uuid IS NULL AND (t.parent_task_id IS NULL OR t.id = ${id})))
       AND (${status}::text IS NULL OR ${status} = CASE WHEN t.paused_at IS NULL THEN t.status ELSE 'paused' END)
       AND (${scheduleId}::uuid IS NULL OR t.schedule_id = ${scheduleId}) AND (${before}::uuid IS NULL OR t.id < ${before})
     ORDER BY t.id DESC LIMIT ${limit + 1}`;
  const usage = await readTaskUsage(
    db,
    rows.map(({ id }) => id),
  );
  const used = rows.map((row) => ({ ...row, usage: usage.get(row.id) ?? [] }));
  return cut(used, limit);
}

/** The task that an idempotency key made, and the hash (hexadecimal) of what was asked. */
export async function findIdempotent(
  db: Database,
  key: { readonly teamId: string; readonly key: string },
): Promise<{ readonly taskId: string | null; readonly requestHash: string } | undefined> {
  const [row] = await db.sql<{ taskId: string | null; requestHash: string }>`
    SELECT task_id AS "taskId", encode(request_hash, 'hex') AS "requestHash"
      FROM idempotency_key
     WHERE team_id = ${key.teamId} AND key = ${key.key} AND created_at >= clock_timestamp() - interval '24 hours'`;
  return row;
}

/** The session's task in hand: the first that has not ended. */
export async function unfinishedTask(db: Database, sessionId: string): Promise<string | undefined> {
  const [row] = await db.sql<{ id: string }>`
    SELECT id FROM task WHERE session_id = ${sessionId} AND ended_at IS NULL ORDER BY ordinal LIMIT 1`;
  return row?.id;
}

export interface EndedTask {
  readonly taskId: string;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly agoSeconds: number;
}

/** The session's last task that has ended, in the order in which they were given. */
export async function readLastEnded(db: Database, sessionId: string): Promise<EndedTask | undefined> {
  const [row] = await db.sql<EndedTask & Record<string, unknown>>`
    SELECT id AS "taskId", status, extract(epoch FROM clock_timestamp() - ended_at)::float8 AS "agoSeconds",
           CASE WHEN error_code IS NOT NULL THEN jsonb_build_object('code', error_code, 'message', error_message) END AS error
      FROM task WHERE session_id = ${sessionId} AND ended_at IS NOT NULL ORDER BY ordinal DESC LIMIT 1`;
  return row;
}

export async function readMessage(
  db: Database,
  message: { readonly sessionId: string; readonly id: string },
): Promise<{ readonly taskId: string; readonly parts: readonly UserPart[] } | undefined> {
  const [row] = await db.sql<{ taskId: string; parts: readonly UserPart[] }>`
    SELECT task_id AS "taskId", parts FROM message WHERE id = ${message.id} AND session_id = ${message.sessionId}`;
  return row;
}
