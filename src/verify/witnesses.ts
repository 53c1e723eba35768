/**
 * What holds after every commit (PROTOCOL, last section): each unfinished task has exactly one wake witness, and the
 * counts equal their rows.
 */
import type { Database } from '../store/database.ts';

/** Every invariant that is broken, each in a line: nothing where all is well. */
export async function checkWitnesses(db: Database): Promise<string[]> {
  const { rows } = await db.pool.query<{ broken: string; id: string; found: string }>(
    INVARIANTS.map(
      ([broken, query]) => `SELECT '${broken}' AS broken, q.id::text, q.found::text FROM (${query}) q`,
    ).join('\nUNION ALL\n'),
  );
  return rows.map(({ broken, id, found }) => `${broken}: ${id} (${found})`);
}

const UNFINISHED = `status IN ('ready', 'queued', 'running', 'parked')`;
const OPEN_APPROVALS = `(SELECT count(*) FROM approval a WHERE a.turn_id = u.id AND a.status = 'open')`;

/** One row per task and witness. */
const WITNESS = `
  SELECT t.id AS task_id, 'earlier' AS kind FROM task t
   WHERE t.ended_at IS NULL
     AND EXISTS (SELECT 1 FROM task e WHERE e.session_id = t.session_id AND e.ended_at IS NULL AND e.ordinal < t.ordinal)
  UNION ALL
  SELECT u.task_id, CASE
      WHEN u.status = 'ready' AND u.due_at IS NULL THEN 'admission'
      WHEN u.status = 'ready' THEN 'due'
      WHEN u.status = 'queued' THEN 'queued'
      WHEN u.status = 'running' THEN 'lease'
      ELSE 'calls' END
    FROM turn u
   WHERE u.${UNFINISHED}
     AND (u.status <> 'running' OR EXISTS (SELECT 1 FROM attempt a JOIN worker w ON w.id = a.worker_id
                                            WHERE a.id = u.attempt_id AND a.turn_id = u.id AND a.ended_at IS NULL))
     AND (u.status <> 'parked' OR (u.open_waits > 0 AND u.open_waits = ${OPEN_APPROVALS}))`;

/** What must not be, and a query of `id, found` for where it is. */
const INVARIANTS: readonly (readonly [string, string])[] = [
  [
    'an unfinished task has exactly one wake witness',
    `WITH witness AS MATERIALIZED (${WITNESS})
     SELECT t.id, coalesce(string_agg(w.kind, ' and '), 'none') AS found
       FROM task t LEFT JOIN witness w ON w.task_id = t.id
      WHERE t.ended_at IS NULL GROUP BY t.id HAVING count(w.kind) <> 1`,
  ],
  [
    'a finished task has no unfinished turn',
    `SELECT t.id, u.status AS found FROM task t JOIN turn u ON u.task_id = t.id WHERE t.ended_at IS NOT NULL AND u.${UNFINISHED}`,
  ],
  [
    'a session has at most one unfinished turn',
    `SELECT session_id AS id, count(*) AS found FROM turn WHERE ${UNFINISHED} GROUP BY session_id HAVING count(*) > 1`,
  ],
  [
    'the wait count equals the open approvals',
    `SELECT u.id, u.open_waits AS found FROM turn u WHERE u.open_waits <> ${OPEN_APPROVALS}`,
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
    'the tree has reserved what its open attempts have',
    `SELECT tree.root_id AS id, tree.tokens_reserved AS found FROM tree WHERE tree.tokens_reserved <>
       (SELECT coalesce(sum(a.tokens_reserved), 0) FROM attempt a JOIN turn u ON u.id = a.turn_id WHERE u.root_id = tree.root_id)`,
  ],
  [
    'the tree has used what its usage says',
    `SELECT tree.root_id AS id, tree.tokens_used AS found FROM tree WHERE tree.tokens_used <>
       (SELECT coalesce(sum(input::bigint + output), 0) FROM usage WHERE usage.root_id = tree.root_id)`,
  ],
  [
    'the tree has counted the turns that began',
    `SELECT tree.root_id AS id, tree.turns AS found FROM tree WHERE tree.turns <>
       (SELECT count(DISTINCT u.id) FROM turn u JOIN attempt a ON a.turn_id = u.id WHERE u.root_id = tree.root_id)`,
  ],
  [
    'events have no gap',
    `SELECT tree.root_id AS id, tree.last_seq AS found FROM tree LEFT JOIN event e ON e.root_id = tree.root_id
      GROUP BY tree.root_id, tree.last_seq HAVING count(e.seq) <> tree.last_seq OR max(e.seq) <> tree.last_seq OR min(e.seq) <> 1`,
  ],
  [
    'the log has no gap',
    `SELECT session_id AS id, max(position) AS found FROM entry GROUP BY session_id HAVING count(*) <> max(position) OR min(position) <> 1`,
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
    'a closed call has its result in the log, and an open one has none',
    `SELECT c.id, c.status AS found FROM tool_call c
       LEFT JOIN entry e ON e.session_id = c.session_id AND e.position = c.result_position
      WHERE c.ended_at IS NOT NULL AND (e.call_id IS DISTINCT FROM c.call_id OR e.status IS DISTINCT FROM c.status)`,
  ],
  [
    'as many results as closed calls',
    `SELECT u.id, u.status AS found FROM turn u
      WHERE (SELECT count(*) FROM entry e WHERE e.turn_id = u.id AND e.kind = 'tool_result') <>
            (SELECT count(*) FROM tool_call c WHERE c.turn_id = u.id AND c.ended_at IS NOT NULL)`,
  ],
  [
    'a task runs exactly while a worker holds its turn, or gets it again after a loss',
    `SELECT t.id, t.status || ' with a turn ' || u.status AS found FROM task t JOIN turn u ON u.task_id = t.id
      WHERE (u.status = 'running' AND t.status <> 'running') OR (u.status = 'parked' AND t.status <> 'waiting')`,
  ],
];
