/** What a person sees an agent do, told by its rows: the same as the last `agent.state_changed` that its transitions emitted. */

/** The task in hand of session `s`, or its last: `t`. */
export const TASK_IN_HAND = `LATERAL (
  SELECT * FROM task WHERE session_id = s.id
   ORDER BY ended_at IS NOT NULL, CASE WHEN ended_at IS NULL THEN ordinal ELSE -ordinal END LIMIT 1) t`;

/**
 * The turn of `t` that a worker began last: `u`. Between it and the next, which waits for a worker, nothing changes in what a
 * person sees.
 */
export const LAST_BEGUN = `LATERAL (
  SELECT * FROM turn WHERE task_id = t.id AND started_at IS NOT NULL ORDER BY number DESC LIMIT 1) u`;

/** Of `t` and `u`. One whose task waits for a worker for the first time is idle. */
export const AGENT_STATE = `
  CASE WHEN t.paused_at IS NOT NULL THEN 'waiting'
       WHEN t.status = 'running' AND EXISTS (SELECT 1 FROM tool_call WHERE turn_id = u.id) THEN 'executing'
       WHEN t.status = 'running' THEN 'thinking'
       WHEN t.status = 'waiting' THEN 'waiting'
       WHEN t.status = 'succeeded' THEN 'completed'
       WHEN t.status = 'failed' THEN 'failed' ELSE 'idle' END`;
