/**
 * What holds after every commit, besides what Postgres itself enforces: each unfinished task has exactly one wake witness
 * (PROTOCOL, last section), and each delivery and schedule its time, counts and accounts equal their rows, sequences have no gap. Looks at all rows: for tests, and for
 * operators who want to know.
 */
import type { Database } from './database.ts';
import { witnessQuery } from './witnesses.ts';

/** How long a lease may be over before somebody must have taken over what was held under it. */
const TAKEOVER_MS = 5_000;
/** How long a schedule may be due before some API must have seen to it. */
const SCHEDULED_MS = 60_000;

export interface BrokenInvariant {
  readonly invariant: string;
  /** The UUID of the row where it is broken. */
  readonly id: string;
  readonly found: string;
}

export interface InvariantOptions {
  /**
   * Workers' leases, in milliseconds: where given, leases count as well. Holds only where workers are alive, since it is they
   * who take over, and where an API is: it hands in what is due.
   */
  readonly leaseMs?: number;
}

/** Every invariant that is broken, with where: nothing where all is well. */
export async function findBrokenInvariants(
  db: Database,
  { leaseMs }: InvariantOptions = {},
): Promise<BrokenInvariant[]> {
  return db.read<BrokenInvariant & Record<string, unknown>>(EVERY_INVARIANT, null, leaseMs ?? null);
}

const OPEN_TURN = `status IN ('ready', 'queued', 'running', 'parked')`;

/** By tree, what its turns have reserved for the requests that they are about to make. */
const RESERVED = `
  SELECT u.root_id, sum(u.tokens_reserved) AS tokens, sum(u.usd_reserved) AS usd FROM turn u WHERE u.status = 'running' GROUP BY u.root_id`;

/** By tree, how many of its turns a worker has begun, but for those that made the log shorter. */
const BEGUN = `
  SELECT u.root_id, count(*) AS turns FROM turn u
   WHERE u.kind = 'answer' AND EXISTS (SELECT 1 FROM attempt a WHERE a.turn_id = u.id) GROUP BY u.root_id`;

/** What must hold, and a query of `id, found` for where it does not. $1 is null: all trees. $2: `leaseMs`. */
export const INVARIANTS: readonly (readonly [string, string])[] = [
  [
    'an unfinished task has exactly one wake witness',
    `SELECT "taskId" AS id, CASE evidence->>'fault' WHEN 'several' THEN translate(evidence->>'found', '[]"', '')
                                 ELSE evidence->>'fault' END AS found
       FROM (${witnessQuery()}) w WHERE kind = 'broken'`,
  ],
  [
    'no lease has been over for more than 5 s',
    `SELECT a.id, w.id AS found FROM attempt a JOIN worker w ON w.id = a.worker_id
      WHERE a.ended_at IS NULL AND least(w.lease_expires_at, w.ended_at) < clock_timestamp() - interval '${TAKEOVER_MS} ms'
        AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => ($2::int + ${TAKEOVER_MS}) / 1000.0)`,
  ],
  [
    'a finished task has no unfinished turn',
    `SELECT t.id, u.status AS found FROM task t JOIN turn u ON u.task_id = t.id WHERE t.ended_at IS NOT NULL AND u.${OPEN_TURN}`,
  ],
  [
    'a session has at most one unfinished turn',
    `SELECT session_id AS id, count(*) AS found FROM turn WHERE ${OPEN_TURN} GROUP BY session_id HAVING count(*) > 1`,
  ],
  [
    'the wait count equals the open approvals and children',
    `SELECT u.id, u.open_waits AS found FROM turn u
       LEFT JOIN (SELECT turn_id, count(*) AS waits FROM approval WHERE status = 'open' GROUP BY turn_id) open ON open.turn_id = u.id
       LEFT JOIN (SELECT turn_id, count(*) AS waits FROM delegation WHERE status = 'open' GROUP BY turn_id) child ON child.turn_id = u.id
      WHERE u.open_waits <> coalesce(open.waits, 0) + coalesce(child.waits, 0)`,
  ],
  [
    'a delegation is open exactly while its task is unfinished and its call is at work',
    `SELECT d.tool_call_id AS id, d.status || ', task ' || t.status || ', call ' || c.status AS found
       FROM delegation d JOIN task t ON t.id = d.child_task_id JOIN tool_call c ON c.id = d.tool_call_id
      WHERE (d.status = 'open' AND (t.ended_at IS NOT NULL OR c.status <> 'started'))
         OR (d.status = 'ended' AND t.ended_at IS NULL)
         OR (d.status = 'abandoned' AND t.ended_at IS NULL AND t.cancel_requested_at IS NULL)`,
  ],
  [
    'no more delegated tasks are at work at once than may be, and none waits while a slot is free',
    `SELECT t.id, d.at_work || ' of ' || t.concurrent_limit || ', ' || d.waiting || ' waiting' AS found
       FROM (SELECT d.root_task_id, count(*) FILTER (WHERE d.has_slot) AS at_work, count(*) FILTER (WHERE u.for_slot) AS waiting
               FROM delegation d LEFT JOIN turn u ON u.task_id = d.child_task_id AND u.${OPEN_TURN}
              WHERE d.status = 'open' GROUP BY d.root_task_id) d
       JOIN task t ON t.id = d.root_task_id
      WHERE d.at_work > t.concurrent_limit OR (d.waiting > 0 AND d.at_work < t.concurrent_limit)`,
  ],
  [
    'a delegated task that is at work has a slot, unless it waits for its own',
    `SELECT d.tool_call_id AS id, u.status || CASE WHEN d.has_slot THEN ' with' ELSE ' without' END || ' a slot' AS found
       FROM delegation d JOIN turn u ON u.task_id = d.child_task_id AND u.${OPEN_TURN}
      WHERE d.status = 'open' AND d.has_slot = (u.for_slot OR (u.status = 'parked' AND NOT u.is_paused
              AND EXISTS (SELECT 1 FROM delegation own WHERE own.turn_id = u.id AND own.status = 'open')))`,
  ],
  [
    'no more is delegated than may be',
    `SELECT t.id, d.children || ' of ' || t.child_limit AS found
       FROM (SELECT root_task_id, count(*) AS children FROM delegation WHERE NOT is_continued GROUP BY root_task_id) d
       JOIN task t ON t.id = d.root_task_id WHERE d.children > t.child_limit`,
  ],
  [
    'the tree has counted the sessions that were delegated to',
    `SELECT tree.root_id AS id, tree.children AS found FROM tree
       LEFT JOIN (SELECT root_id, count(*) AS children FROM session WHERE parent_id IS NOT NULL GROUP BY root_id) own ON own.root_id = tree.root_id
      WHERE tree.children <> coalesce(own.children, 0)`,
  ],
  [
    'an approval is open exactly while its call awaits it',
    `SELECT a.id, c.status AS found FROM approval a JOIN tool_call c ON c.id = a.tool_call_id
      WHERE (a.status = 'open') <> (c.status = 'awaiting_approval')`,
  ],
  [
    'an open attempt is the one its running turn names',
    `SELECT a.id, u.status AS found FROM attempt a JOIN turn u ON u.id = a.turn_id
      WHERE (a.ended_at IS NULL) <> (u.attempt_id IS NOT DISTINCT FROM a.id)`,
  ],
  [
    'the tree has reserved what its turns have',
    `SELECT tree.root_id AS id, tree.tokens_reserved AS found FROM tree LEFT JOIN (${RESERVED}) own ON own.root_id = tree.root_id
      WHERE tree.tokens_reserved <> coalesce(own.tokens, 0)`,
  ],
  [
    'the tree has reserved the money that its turns have',
    `SELECT tree.root_id AS id, tree.usd_reserved AS found FROM tree LEFT JOIN (${RESERVED}) own ON own.root_id = tree.root_id
      WHERE tree.usd_reserved <> coalesce(own.usd, 0)`,
  ],
  [
    'the tree has spent what its usage says',
    `SELECT tree.root_id AS id, tree.usd_used AS found FROM tree
       LEFT JOIN (SELECT root_id, sum(usd) AS usd FROM usage GROUP BY root_id) own ON own.root_id = tree.root_id
      WHERE tree.usd_used <> coalesce(own.usd, 0)`,
  ],
  [
    'the tree has used what its usage says',
    `SELECT tree.root_id AS id, tree.tokens_used AS found FROM tree
       LEFT JOIN (SELECT root_id, sum(input::bigint + output) AS tokens FROM usage GROUP BY root_id) own ON own.root_id = tree.root_id
      WHERE tree.tokens_used <> coalesce(own.tokens, 0)`,
  ],
  [
    'the tree has counted the turns that began',
    `SELECT tree.root_id AS id, tree.turns AS found FROM tree LEFT JOIN (${BEGUN}) own ON own.root_id = tree.root_id
      WHERE tree.turns <> coalesce(own.turns, 0)`,
  ],
  [
    'events have no gap',
    `SELECT tree.root_id AS id, tree.last_seq AS found FROM tree LEFT JOIN event e ON e.root_id = tree.root_id
      GROUP BY tree.root_id, tree.last_seq HAVING count(e.seq) <> tree.last_seq OR max(e.seq) <> tree.last_seq OR min(e.seq) <> 1`,
  ],
  [
    'the log has no gap',
    `SELECT s.id, max(e.position) AS found FROM entry e JOIN session s ON s.id = e.session_id
      GROUP BY s.id HAVING count(*) <> max(e.position) - coalesce(s.forked_at, 0) OR min(e.position) <> coalesce(s.forked_at, 0) + 1`,
  ],
  [
    'what made the log shorter is an entry of its turn',
    `SELECT u.id, count(e.position) AS found FROM turn u LEFT JOIN entry e ON e.turn_id = u.id AND e.kind IN ('pruning', 'compaction')
      WHERE u.status = 'done' GROUP BY u.id, u.kind HAVING count(e.position) <> CASE u.kind WHEN 'compaction' THEN 1 ELSE 0 END`,
  ],
  [
    'a fork begins within what it was forked from',
    `SELECT s.id, s.forked_at AS found FROM session s JOIN session f ON f.id = s.forked_from
      WHERE s.forked_at < coalesce(f.forked_at, 0)
         OR s.forked_at > coalesce((SELECT max(position) FROM entry WHERE session_id = f.id), f.forked_at, 0)`,
  ],
  [
    'an image that the log names is stored',
    `SELECT e.session_id AS id, part->>'hash' AS found FROM entry e LEFT JOIN message m ON m.id = e.message_id, jsonb_array_elements(coalesce(e.parts, m.parts)) part
      WHERE part->>'type' = 'file' AND NOT EXISTS (SELECT 1 FROM output o WHERE o.hash = decode(part->>'hash', 'hex'))`,
  ],
  [
    'an output that a call names is used by its session',
    `SELECT c.id, encode(c.output_hash, 'hex') AS found FROM tool_call c
      WHERE c.output_hash IS NOT NULL AND NOT EXISTS (SELECT 1 FROM output_use u WHERE u.output_hash = c.output_hash AND u.session_id = c.session_id)`,
  ],
  [
    'a revision has its entry in the log',
    `SELECT r.id, e.kind AS found FROM revision r LEFT JOIN entry e ON e.session_id = r.session_id AND e.position = r.position
      WHERE e.kind IS DISTINCT FROM CASE r.kind WHEN 'revert' THEN 'revert' ELSE 'notice' END OR e.turn_id IS NOT NULL`,
  ],
  [
    'the list of an agent has no gap',
    `SELECT session_id AS id, max(position) AS found FROM todo GROUP BY session_id HAVING count(*) <> max(position)`,
  ],
  [
    'the list of an agent is the newest one of its log, where nothing of that was taken back',
    `SELECT session_id AS id, coalesce(own.n, 0) || ' of ' || jsonb_array_length(newest.todos) AS found
       FROM (SELECT DISTINCT ON (session_id) session_id, noted->'todos' AS todos FROM entry WHERE noted ? 'todos'
              ORDER BY session_id, position DESC) newest
       LEFT JOIN (SELECT session_id, count(*) AS n, jsonb_agg(jsonb_build_object('text', text, 'status', status) ORDER BY position) AS todos
                    FROM todo GROUP BY session_id) own USING (session_id)
      WHERE coalesce(own.todos, '[]') <> newest.todos
        AND NOT EXISTS (SELECT 1 FROM entry e WHERE e.session_id = newest.session_id AND e.kind = 'revert')`,
  ],
  [
    'a message is taken in exactly where it says',
    `SELECT m.id, m.taken_position AS found FROM message m LEFT JOIN entry e ON e.message_id = m.id
      WHERE m.taken_position IS DISTINCT FROM e.position`,
  ],
  [
    'a task that succeeded left no message out',
    `SELECT m.id, t.status AS found FROM message m JOIN task t ON t.id = m.task_id
      WHERE t.status = 'succeeded' AND m.taken_position IS NULL`,
  ],
  [
    'an ended turn has no open call',
    `SELECT c.id, c.status AS found FROM tool_call c JOIN turn u ON u.id = c.turn_id WHERE u.ended_at IS NOT NULL AND c.ended_at IS NULL`,
  ],
  [
    'a closed call has its result in the log',
    `SELECT c.id, c.status AS found FROM tool_call c
       LEFT JOIN entry e ON e.session_id = c.session_id AND e.position = c.result_position
      WHERE c.ended_at IS NOT NULL AND (e.call_id IS DISTINCT FROM c.call_id OR e.status IS DISTINCT FROM c.status)`,
  ],
  [
    'a turn has as many results as closed calls',
    `SELECT turn_id AS id, coalesce(result.n, 0) || ' results of ' || coalesce(closed.n, 0) AS found
       FROM (SELECT turn_id, count(*) AS n FROM entry WHERE kind = 'tool_result' GROUP BY turn_id) result
       FULL JOIN (SELECT turn_id, count(*) AS n FROM tool_call WHERE ended_at IS NOT NULL GROUP BY turn_id) closed USING (turn_id)
      WHERE result.n IS DISTINCT FROM closed.n`,
  ],
  [
    'the open background commands of a session are on one worker, and of the task that is at work',
    `SELECT b.session_id AS id, count(DISTINCT worker_id) || ' workers, ' || count(t.ended_at) || ' of ended tasks' AS found
       FROM background_process b JOIN task t ON t.id = b.task_id WHERE b.ended_at IS NULL
      GROUP BY b.session_id HAVING count(DISTINCT worker_id) > 1 OR count(t.ended_at) > 0`,
  ],
  [
    'a delivery that is on its way has a due time, and its event',
    `SELECT d.id, d.type AS found FROM webhook_delivery d LEFT JOIN event e ON e.root_id = d.root_id AND e.seq = d.seq
      WHERE d.status = 'pending' AND (d.due_at IS NULL OR (d.seq IS NOT NULL AND e.seq IS NULL))`,
  ],
  [
    'a schedule that is on has a due time, and is seen to within a minute',
    `SELECT id, coalesce(due_at::text, 'none') AS found FROM schedule
      WHERE removed_at IS NULL AND disabled_at IS NULL AND (due_at IS NULL
         OR ($2::int IS NOT NULL AND greatest(due_at, pg_postmaster_start_time()) < clock_timestamp() - interval '${SCHEDULED_MS} ms'))`,
  ],
  [
    'a task runs exactly while a worker holds its turn, or gets it again after a loss',
    `SELECT t.id, t.status || ' with a turn ' || u.status AS found FROM task t JOIN turn u ON u.task_id = t.id
      WHERE (u.status = 'running' AND t.status <> 'running') OR (u.status = 'parked' AND t.status <> 'waiting' AND NOT u.is_paused)`,
  ],
];

const EVERY_INVARIANT = INVARIANTS.map(
  ([invariant, query]) => `SELECT '${invariant}' AS invariant, q.id::text, q.found::text FROM (${query}) q`,
).join('\nUNION ALL\n');
