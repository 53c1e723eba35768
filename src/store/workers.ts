/** Leases, and what a sweeper finds and mends. */
import type { Database } from './database.ts';
import type { Also, Held, Wake } from './turns.ts';

/** One incarnation of a worker process. `host` and `pidStartedAt` make `pid` mean one process for ever. */
export interface WorkerIdentity {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly pidStartedAt: string;
  /** Decimal: the advisory lock that its lease connection holds. */
  readonly lockKey: string;
  readonly version: string;
}

export async function registerWorker(db: Database, worker: WorkerIdentity, leaseMs: number): Promise<void> {
  await db.transition('register_worker', worker, leaseMs);
}

export async function endWorker(db: Database, workerId: string): Promise<void> {
  await db.transition('end_worker', workerId);
}

/** The other workers whose death would matter and could be noticed: those with a lease, or with attempts still open. */
export function liveWorkers(db: Database, except: string): Promise<WorkerIdentity[]> {
  return db.sql<WorkerIdentity & Record<string, unknown>>`
    SELECT id, host, pid, pid_started_at AS "pidStartedAt", lock_key::text AS "lockKey", version
      FROM worker w WHERE ended_at IS NULL AND id <> ${except}
       AND (lease_expires_at > clock_timestamp()
            OR EXISTS (SELECT 1 FROM attempt WHERE worker_id = w.id AND ended_at IS NULL))`;
}

export function suspectWorker(
  db: Database,
  workerId: string,
  lease: { readonly leaseMs: number; readonly graceMs: number },
): Promise<boolean> {
  return db.transition('suspect_worker', workerId, lease.leaseMs, lease.graceMs);
}

/** `expired`: whether a lease that ran out counts, not only a worker whose end is recorded. */
export async function lostAttempts(
  db: Database,
  { leaseMs, expired }: { readonly leaseMs: number; readonly expired: boolean },
  limit: number,
): Promise<Held[]> {
  const args = [leaseMs, expired, limit];
  const rows = await db.rows<{ turn_id: string; attempt_id: string }>('lost_attempts', ...args);
  return rows.map((row) => ({ turnId: row.turn_id, attemptId: row.attempt_id }));
}

export type TakeOverOutcome =
  | {
      readonly outcome: 'taken_over';
      readonly wake: Wake | null;
      readonly rootId: string;
      readonly seq: number;
    }
  | { readonly outcome: 'skipped' };

/**
 * `backoffMs[n]` is the pause before the try that follows the n-th loss in a row; when it runs out the task fails.
 * `own`: the holder itself gives the turn up, after an error of Capybara's own.
 */
export function takeOverTurn(
  db: Database,
  held: Held,
  take: { readonly backoffMs: readonly number[]; readonly nextTurnId: string; readonly own: boolean },
): Promise<TakeOverOutcome> {
  const { backoffMs, nextTurnId, own } = take;
  return db.transition(
    'take_over_turn',
    held.turnId,
    held.attemptId,
    `{${backoffMs.join(',')}}`,
    nextTurnId,
    own,
  );
}

/** Whose a turn is, for a line of the log. */
export async function readTurnIds(
  db: Database,
  turnId: string,
): Promise<{ readonly teamId: string; readonly sessionId: string; readonly taskId: string } | undefined> {
  const [row] = await db.sql<{ teamId: string; sessionId: string; taskId: string }>`
    SELECT t.team_id AS "teamId", u.session_id AS "sessionId", u.task_id AS "taskId"
      FROM turn u JOIN task t ON t.id = u.task_id WHERE u.id = ${turnId}`;
  return row;
}

/** Makes turns that are due `queued`. */
export async function admitTurns(db: Database, limit: number): Promise<Wake[]> {
  return (await db.rows<{ turn_id: string; wake: number }>('admit_turns', limit)).map(toWake);
}

/** Queued turns whose jobs nobody has looked for within `ageMs`. */
export async function queuedTurns(db: Database, ageMs: number, limit: number): Promise<Wake[]> {
  return (await db.rows<{ turn_id: string; wake: number }>('check_queued', ageMs, limit)).map(toWake);
}

function toWake(row: { turn_id: string; wake: number }): Wake {
  return { turnId: row.turn_id, wake: row.wake };
}

/** The next wake number of a turn whose job is gone or stuck; null where the turn has moved on. */
export function rewakeTurn(db: Database, wake: Wake): Promise<number | null> {
  return db.transition('rewake_turn', wake.turnId, wake.wake);
}

/** Tasks past their deadline that no worker runs. */
export async function expiredTasks(db: Database, limit: number): Promise<string[]> {
  const rows = await db.sql<{ id: string }>`
    SELECT t.id FROM task t WHERE t.ended_at IS NULL AND t.deadline_at < clock_timestamp() AND (t.on_limit = 'fail' OR t.parent_task_id IS NOT NULL)
       AND t.clock_stopped_at IS NULL AND t.paused_at IS NULL AND EXISTS (SELECT 1 FROM turn WHERE task_id = t.id AND status IN ('ready', 'queued', 'parked')) LIMIT ${limit}`;
  return rows.map((row) => row.id);
}

export type ExpireOutcome =
  | {
      readonly outcome: 'ended';
      readonly wake: Wake | null;
      readonly rootId: string;
      readonly seq: number;
      readonly also?: Also;
    }
  | { readonly outcome: 'skipped' };

export function expireTask(db: Database, taskId: string, nextTurnId: string): Promise<ExpireOutcome> {
  return db.transition('expire_task', taskId, nextTurnId);
}

export interface ExpiredApproval {
  readonly rootId: string;
  readonly seq: number;
  readonly wake: Wake | null;
  readonly also?: Also;
}

/** Denies a call whose question nobody answered in time; undefined where none is due. */
export async function expireApproval(db: Database): Promise<ExpiredApproval | undefined> {
  const [row] = await db.rows<{ closed: ExpiredApproval }>('expire_approval');
  return row?.closed;
}

/** Milliseconds until the next `ready` turn is due, or undefined where none waits. */
export async function nextDueIn(db: Database): Promise<number | undefined> {
  const [row] = await db.sql<{ ms: number | null }>`
    SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 * 1000 AS ms FROM turn WHERE status = 'ready'`;
  return row?.ms ?? undefined;
}

/** Which of these attempts are no longer the worker's, and which belong to a task that someone wants to end. */
export function attemptStates(
  db: Database,
  attemptIds: readonly string[],
): Promise<{ attemptId: string; cancelRequested: boolean; isPaused: boolean; held: boolean }[]> {
  return db.sql`
    SELECT a.id AS "attemptId", t.cancel_requested_at IS NOT NULL AS "cancelRequested", t.paused_at IS NOT NULL AS "isPaused",
           a.ended_at IS NULL AS held
      FROM attempt a JOIN turn u ON u.id = a.turn_id JOIN task t ON t.id = u.task_id
     WHERE a.id = ANY(${`{${attemptIds.join(',')}}`}::uuid[])`;
}

/** Background commands that are this worker's: the ids of their sessions. */
export async function sessionsPinnedTo(db: Database, workerId: string): Promise<string[]> {
  const rows = await db.sql<{ id: string }>`
    SELECT DISTINCT session_id AS id FROM background_process WHERE worker_id = ${workerId} AND ended_at IS NULL`;
  return rows.map(({ id }) => id);
}

/** The processes that lost this turn, so that one on the same host can prove that they are gone. */
export async function readLostProcesses(db: Database, turnId: string): Promise<LostProcess[]> {
  return db.sql<LostProcess & Record<string, unknown>>`
    SELECT w.host, w.pid, w.pid_started_at AS "pidStartedAt" FROM attempt a JOIN worker w ON w.id = a.worker_id
     WHERE a.turn_id = ${turnId} AND a.outcome = 'lost'`;
}

interface LostProcess {
  readonly host: string;
  readonly pid: number;
  readonly pidStartedAt: string;
}
