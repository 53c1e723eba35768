/** What Postgres says happened, read to be judged; and what it does for the harness itself. Nothing here changes Capybara's rows. */
import type { Database } from '../store/database.ts';
import type { AttemptFact, CallFact, TaskFact, TurnFact } from './verdict.ts';

/** In a task's metadata: the Idempotency-Key it was submitted with. */
export const KEY_IN_METADATA = 'verify';

export function readTaskFacts(db: Database): Promise<TaskFact[]> {
  return db.sql<TaskFact & Record<string, unknown>>`
    SELECT t.id, t.metadata->>${KEY_IN_METADATA} AS key, t.status, t.error_code AS "errorCode",
           CASE WHEN t.ended_at IS NULL THEN concat_ws(', ', t.status, 'on ' || t.waiting_on,
             CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancel requested' END,
             coalesce('turn ' || u.number || ' ' || u.status || ' wake ' || u.wake || ' waits ' || u.open_waits
               || coalesce(' due ' || u.due_at, ''), 'no turn of its own'),
             'attempt of pid ' || w.pid || ' lease ' || w.lease_expires_at || coalesce(' ended ' || w.ended_at, '')) ELSE '' END AS waits
      FROM task t
      LEFT JOIN turn u ON u.task_id = t.id AND u.ended_at IS NULL
      LEFT JOIN attempt a ON a.id = u.attempt_id LEFT JOIN worker w ON w.id = a.worker_id ORDER BY t.id`;
}

export function readTurnFacts(db: Database): Promise<TurnFact[]> {
  return db.sql<TurnFact & Record<string, unknown>>`
    SELECT u.id, u.task_id AS "taskId", u.number, count(e.position)::int AS answers,
           extract(epoch FROM min(e.created_at))::float8 * 1000 AS "answeredAt"
      FROM turn u LEFT JOIN entry e ON e.turn_id = u.id AND e.kind = 'assistant' GROUP BY u.id`;
}

export function readCallFacts(db: Database): Promise<CallFact[]> {
  return db.sql<CallFact & Record<string, unknown>>`
    SELECT c.call_id AS "callId", c.turn_id AS "turnId", c.name, c.status, count(e.position)::int AS results,
           coalesce(bool_or(e.parts->0->>'text' LIKE 'Not run:%'), false) AS "saidNotRun"
      FROM tool_call c LEFT JOIN entry e ON e.turn_id = c.turn_id AND e.kind = 'tool_result' AND e.call_id = c.call_id
     GROUP BY c.id`;
}

export function readAttemptFacts(db: Database): Promise<AttemptFact[]> {
  return db.sql<AttemptFact & Record<string, unknown>>`
    SELECT a.turn_id AS "turnId", w.pid, extract(epoch FROM a.started_at)::float8 * 1000 AS "startedAt",
           extract(epoch FROM a.ended_at)::float8 * 1000 AS "endedAt", a.outcome
      FROM attempt a JOIN worker w ON w.id = a.worker_id`;
}

/** UUIDs of tasks that have not ended. */
export async function unfinishedTasks(db: Database): Promise<Set<string>> {
  const rows = await db.sql<{ id: string }>`SELECT id FROM task WHERE ended_at IS NULL`;
  return new Set(rows.map((row) => row.id));
}

export function unfinishedTurns(db: Database, limit: number): Promise<{ turnId: string; wake: number }[]> {
  return db.sql`SELECT id AS "turnId", wake FROM turn WHERE ended_at IS NULL ORDER BY random() LIMIT ${limit}`;
}

export async function readDeadlocks(db: Database): Promise<number> {
  const [row] = await db.sql<{ deadlocks: number }>`
    SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
  return row?.deadlocks ?? 0;
}

/** What FLUSHALL is to Redis: BullMQ on Postgres has no job any more. */
export async function loseJobs(db: Database): Promise<void> {
  await db.sql`DELETE FROM bullmq.job`;
}

/** How far the events of each tree go, by its root's UUID. */
export async function readLastSequences(db: Database): Promise<Map<string, number>> {
  const rows = await db.sql<{
    id: string;
    seq: number;
  }>`SELECT root_id AS id, last_seq::float8 AS seq FROM tree`;
  return new Map(rows.map((row) => [row.id, row.seq]));
}
