/**
 * Wake witnesses (PROTOCOL, last section): an unfinished task has exactly one thing that will wake it. Where that is the end
 * of other tasks (`via`), each of those has one as well, and so on to one that waits for no task. One query names them, of
 * one session tree or of all; a task of which this does not hold is `broken`, and that is a bug.
 */
import type { WitnessFault, WitnessKind } from '../core/witness.ts';
import type { Database } from './database.ts';
import { cut, type Rows } from './views.ts';

const seconds = (interval: string): string => `round(extract(epoch FROM ${interval})::numeric, 1)`;

/** `via` of a witness that waits for no task's end. */
const NO_TASK = `'{}'::uuid[]`;

/** The turn's latest attempt that has ended. */
const LAST_ATTEMPT = `LATERAL (
    SELECT outcome, failure FROM attempt WHERE turn_id = u.id AND ended_at IS NOT NULL
     ORDER BY started_at DESC, id DESC LIMIT 1)`;

/** Since when nothing but a worker is missing. A pause between the last attempt and this one counts too: no row keeps it. */
const WAITING_SINCE = `LATERAL (
    SELECT greatest(u.created_at, last.ended_at, answer.resolved_at) AS since
      FROM (SELECT max(ended_at) AS ended_at FROM attempt WHERE turn_id = u.id) last,
           (SELECT max(a.resolved_at) AS resolved_at FROM tool_call c JOIN approval a ON a.tool_call_id = c.id
             WHERE c.turn_id = u.id) answer)`;

/** The live worker that runs background commands of the session `u.session_id`: its turns are for that one alone. */
const PINNED_TO = `LATERAL (
    SELECT w.id AS worker_id FROM background_process b JOIN worker w ON w.id = b.worker_id
     WHERE b.session_id = u.session_id AND b.ended_at IS NULL AND w.ended_at IS NULL AND w.lease_expires_at > clock_timestamp() LIMIT 1)`;

/** What the model gave the call `c` of the turn `u`. */
const ARGUMENTS = `(
    SELECT part->>'arguments' FROM entry e, jsonb_array_elements(e.parts) WITH ORDINALITY AS parts(part, place)
     WHERE e.session_id = u.session_id AND e.position = u.answer_position AND part->>'type' = 'tool'
     ORDER BY place OFFSET c.ordinal LIMIT 1)`;

/** Of the limit that a turn is parked at, what is used of it, and how far it goes: numbers, money as text. */
const USED = `CASE u.at_limit
    WHEN 'turns' THEN to_jsonb(u.number - 1) WHEN 'tree_turns' THEN to_jsonb(tree.turns) WHEN 'tokens' THEN to_jsonb(tree.tokens_used)
    WHEN 'usd' THEN to_jsonb(trim_scale(tree.usd_used)::text) ELSE to_jsonb(${seconds('clock_timestamp() - t.started_at')}) END`;
const ALLOWED = `CASE u.at_limit
    WHEN 'turns' THEN to_jsonb(t.turn_limit) WHEN 'tree_turns' THEN to_jsonb(t.tree_turn_limit) WHEN 'tokens' THEN to_jsonb(t.token_limit)
    WHEN 'usd' THEN to_jsonb(trim_scale(t.usd_limit)::text) ELSE to_jsonb(t.seconds_limit) END`;

/**
 * Each kind, as a query of `task_id, via, evidence` with a row per witness, over `unfinished` (tasks) and `open_turn` (their
 * unfinished turns). `via`: the tasks whose end is waited for.
 */
export const WITNESSES: Readonly<Record<WitnessKind, string>> = {
  // Via the first of the line, which all others wait for: a chain of one step, however long the line is.
  earlier: `
    SELECT id AS task_id, ARRAY[first_id] AS via, jsonb_build_object('ahead', ahead) AS evidence
      FROM unfinished WHERE ahead > 0 AND paused_at IS NULL`,
  admission: `
    SELECT u.task_id, ${NO_TASK}, jsonb_build_object('turn', u.number, 'liveWorkers', u.live_workers)
      FROM open_turn u WHERE u.status = 'ready' AND u.due_at IS NULL`,
  due: `
    SELECT u.task_id, ${NO_TASK}, jsonb_build_object(
             'turn', u.number, 'dueAt', u.due_at, 'dueInSeconds', ${seconds('u.due_at - clock_timestamp()')},
             'after', last.outcome, 'failure', last.failure, 'losses', u.takeovers, 'liveWorkers', u.live_workers)
      FROM open_turn u LEFT JOIN ${LAST_ATTEMPT} last ON true WHERE u.status = 'ready' AND u.due_at IS NOT NULL`,
  queued: `
    SELECT u.task_id, ${NO_TASK}, jsonb_build_object(
             'turn', u.number, 'since', waiting.since, 'waitedSeconds', ${seconds('clock_timestamp() - waiting.since')},
             'liveWorkers', u.live_workers, 'pinnedTo', pin.worker_id)
      FROM open_turn u CROSS JOIN ${WAITING_SINCE} waiting LEFT JOIN ${PINNED_TO} pin ON true WHERE u.status = 'queued'`,
  // A lease that is over is a witness too: it is what a sweeper looks for.
  lease: `
    SELECT u.task_id, ${NO_TASK}, jsonb_build_object(
             'turn', u.number, 'attemptId', a.id, 'startedAt', a.started_at, 'workerId', w.id,
             'leaseSecondsLeft', ${seconds('least(w.lease_expires_at, w.ended_at) - clock_timestamp()')},
             'cancelRequested', u.cancel_requested, 'liveWorkers', u.live_workers)
      FROM open_turn u JOIN attempt a ON a.id = u.attempt_id AND a.turn_id = u.id AND a.ended_at IS NULL
      JOIN worker w ON w.id = a.worker_id WHERE u.status = 'running'`,
  calls: `
    SELECT u.task_id, child.via, jsonb_build_object('turn', u.number, 'approvals', coalesce(open.approvals, '[]'), 'children', child.waits)
      FROM open_turn u CROSS JOIN LATERAL (
        SELECT count(*) AS waits, coalesce(array_agg(child_task_id), ${NO_TASK}) AS via FROM delegation
         WHERE turn_id = u.id AND status = 'open') child
     CROSS JOIN LATERAL (
        SELECT count(*) AS waits, jsonb_agg(jsonb_build_object(
                 'id', a.id, 'tool', c.name, 'arguments', ${ARGUMENTS}, 'askedAt', a.created_at,
                 'expiresAt', a.expires_at, 'expiresInSeconds', ${seconds('a.expires_at - clock_timestamp()')}) ORDER BY c.ordinal) AS approvals
          FROM approval a LEFT JOIN tool_call c ON c.id = a.tool_call_id
         WHERE a.task_id = u.task_id AND a.turn_id = u.id AND a.status = 'open') open
     WHERE u.status = 'parked' AND u.at_limit IS NULL AND u.open_waits > 0 AND u.open_waits = open.waits + child.waits`,
  // Via one of those that have a slot: any of them may end first.
  slot: `
    SELECT u.task_id, ARRAY[holder.task_id], jsonb_build_object('turn', u.number, 'atWork', holder.at_work, 'ahead', line.ahead)
      FROM open_turn u JOIN delegation own ON own.child_task_id = u.task_id CROSS JOIN LATERAL (
        SELECT min(child_task_id::text)::uuid AS task_id, count(*) AS at_work FROM delegation
         WHERE root_task_id = own.root_task_id AND status = 'open' AND has_slot HAVING count(*) > 0) holder
     CROSS JOIN LATERAL (
        SELECT count(*) AS ahead FROM delegation d JOIN turn w ON w.task_id = d.child_task_id AND w.for_slot
         WHERE d.root_task_id = own.root_task_id AND d.status = 'open' AND NOT d.has_slot
           AND (d.created_at, d.tool_call_id) < (own.created_at, own.tool_call_id)) line
     WHERE u.status = 'parked' AND u.for_slot`,
  paused: `
    SELECT id, ${NO_TASK}, jsonb_build_object('since', paused_at) FROM unfinished WHERE paused_at IS NOT NULL`,
  budget: `
    SELECT u.task_id, ${NO_TASK}, jsonb_build_object('turn', u.number, 'limit', u.at_limit, 'used', ${USED}, 'allowed', ${ALLOWED})
      FROM open_turn u JOIN task t ON t.id = u.task_id JOIN tree ON tree.root_id = u.root_id
     WHERE u.status = 'parked' AND u.at_limit IS NOT NULL`,
};

/**
 * Every unfinished task of the tree $1, or of all where that is null: `taskId, sessionId, ordinal, status, kind, evidence, via`.
 * One statement, so that nothing changes between a task and what it waits for.
 */
export function witnessQuery(kinds: Readonly<Record<string, string>> = WITNESSES): string {
  const witnesses = Object.entries(kinds).map(
    ([kind, query]) =>
      `SELECT '${kind}', q.task_id, q.via, q.evidence FROM (${query}) q (task_id, via, evidence)`,
  );
  return `
WITH RECURSIVE unfinished AS MATERIALIZED (
  SELECT id, session_id, ordinal, status, cancel_requested_at, paused_at,
         first_value(id) OVER line AS first_id, row_number() OVER line - 1 AS ahead
    FROM task WHERE ended_at IS NULL AND ($1::uuid IS NULL OR root_id = $1)
  WINDOW line AS (PARTITION BY session_id ORDER BY ordinal)
), live AS MATERIALIZED (
  SELECT count(*) AS workers FROM worker WHERE ended_at IS NULL AND lease_expires_at > clock_timestamp()
), open_turn AS MATERIALIZED (
  SELECT u.*, t.cancel_requested_at IS NOT NULL AS cancel_requested, live.workers AS live_workers
    FROM unfinished t JOIN turn u ON u.session_id = t.session_id AND u.task_id = t.id CROSS JOIN live
   WHERE u.status IN ('ready', 'queued', 'running', 'parked') AND t.paused_at IS NULL
), witness (kind, task_id, via, evidence) AS MATERIALIZED (
  ${witnesses.join('\n  UNION ALL ')}
), chain (task_id, step, at) AS (
  SELECT task_id, 1, at FROM witness, unnest(via) at
  UNION ALL
  SELECT c.task_id, c.step + 1, next.at FROM chain c JOIN witness w ON w.task_id = c.at, unnest(w.via) next(at)
) CYCLE at SET is_cycle USING path, chains AS (
  SELECT c.task_id, bool_or(c.is_cycle) AS is_cycle, bool_or(w.kind IS NULL) AS is_loose,
         jsonb_agg(jsonb_build_object('taskId', c.at, 'kind', w.kind) ORDER BY c.step, c.at) AS via
    FROM chain c LEFT JOIN witness w ON w.task_id = c.at GROUP BY c.task_id
), judged AS (
  SELECT t.id, array_agg(w.kind ORDER BY w.kind) FILTER (WHERE w.kind IS NOT NULL) AS kinds,
         jsonb_agg(w.evidence)->0 AS evidence,
         CASE WHEN count(w.kind) = 0 THEN 'none' WHEN count(w.kind) > 1 THEN 'several'
              WHEN bool_or(c.is_cycle) THEN 'cycle' WHEN bool_or(c.is_loose) THEN 'nowhere' END AS fault
    FROM unfinished t LEFT JOIN witness w ON w.task_id = t.id LEFT JOIN chains c ON c.task_id = t.id GROUP BY t.id
)
SELECT t.id AS "taskId", t.session_id AS "sessionId", t.ordinal, t.status, coalesce(c.via, '[]') AS via,
       CASE WHEN j.fault IS NULL THEN j.kinds[1] ELSE 'broken' END AS kind,
       CASE WHEN j.fault IS NULL THEN j.evidence
            ELSE jsonb_build_object('fault', j.fault, 'found', coalesce(j.kinds, '{}')) END AS evidence
  FROM unfinished t JOIN judged j ON j.id = t.id LEFT JOIN chains c ON c.task_id = t.id`;
}

/** An unfinished task, and the tasks that it waits for, the nearest first. A `kind` of null: nothing will wake that one. */
interface Unfinished {
  readonly taskId: string;
  readonly sessionId: string;
  readonly status: string;
  readonly via: readonly { readonly taskId: string; readonly kind: WitnessKind | null }[];
}

interface OfTurn {
  readonly turn: number;
  /** Workers with a lease: without any, nothing begins. */
  readonly liveWorkers: number;
}

/** Times are as JSON has them, RFC 3339; seconds are by the database's clock, and negative behind their time. */
export type WaitingTask = Unfinished &
  (
    | { readonly kind: 'earlier'; readonly evidence: { readonly ahead: number } }
    | { readonly kind: 'admission'; readonly evidence: OfTurn }
    | { readonly kind: 'due'; readonly evidence: DueEvidence }
    | {
        readonly kind: 'queued';
        readonly evidence: OfTurn & {
          readonly since: string;
          readonly waitedSeconds: number;
          /** The worker that runs background commands of the session, and alone may take the turn; null: any may. */
          readonly pinnedTo: string | null;
        };
      }
    | { readonly kind: 'lease'; readonly evidence: LeaseEvidence }
    | { readonly kind: 'calls'; readonly evidence: CallsEvidence }
    | { readonly kind: 'slot'; readonly evidence: SlotEvidence }
    | { readonly kind: 'paused'; readonly evidence: { readonly since: string } }
    | { readonly kind: 'budget'; readonly evidence: BudgetEvidence }
    | {
        readonly kind: 'broken';
        readonly evidence: { readonly fault: WitnessFault; readonly found: readonly WitnessKind[] };
      }
  );

interface DueEvidence extends OfTurn {
  readonly dueAt: string;
  readonly dueInSeconds: number;
  /** How the last attempt ended: `retry` with the failure of its request, or `lost`, the last of `losses` in a row. */
  readonly after: string | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
  readonly losses: number;
}

interface LeaseEvidence extends OfTurn {
  readonly attemptId: string;
  readonly startedAt: string;
  readonly workerId: string;
  readonly leaseSecondsLeft: number;
  readonly cancelRequested: boolean;
}

interface BudgetEvidence {
  readonly turn: number;
  readonly limit: 'turns' | 'tree_turns' | 'tokens' | 'usd' | 'seconds';
  /** A decimal number as text where it is money. */
  readonly used: number | string;
  readonly allowed: number | string;
}

interface SlotEvidence {
  readonly turn: number;
  /** Delegated tasks of the tree that have a slot, and those that waited before this one. */
  readonly atWork: number;
  readonly ahead: number;
}

interface CallsEvidence {
  readonly turn: number;
  /** Delegated tasks that have not ended. */
  readonly children: number;
  readonly approvals: readonly {
    readonly id: string;
    readonly tool: string;
    /** As the model wrote them. */
    readonly arguments: string | null;
    readonly askedAt: string;
    /** When it is denied by itself; null: never. */
    readonly expiresAt: string | null;
    readonly expiresInSeconds: number | null;
  }[];
}

const OF_TREE = `SELECT * FROM (${witnessQuery()}) w ORDER BY kind <> 'broken', "sessionId", ordinal LIMIT $2`;

/** The unfinished tasks of a session tree: the broken ones first, then each session's in their order. */
export async function readWaitingTasks(
  db: Database,
  rootId: string,
  limit: number,
): Promise<Rows<WaitingTask>> {
  return cut(await db.read<WaitingTask & Record<string, unknown>>(OF_TREE, rootId, limit + 1), limit);
}
