-- admit_turns: turn `ready`, due → `queued` under the next wake number. Sweepers share the work by SKIP LOCKED.
--
-- The rows are chosen in a MATERIALIZED part: a planner that ran the choice once per row would lock and take more than
-- p_limit. A repeat finds others: what the first one made `queued`, check_queued finds.
CREATE FUNCTION admit_turns(p_limit int) RETURNS TABLE (turn_id uuid, wake int) LANGUAGE sql AS $$
  WITH due AS MATERIALIZED (
    SELECT id FROM turn WHERE status = 'ready' AND (due_at IS NULL OR due_at <= clock_timestamp())
     ORDER BY due_at NULLS FIRST LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
  UPDATE turn t SET status = 'queued', due_at = NULL, wake = t.wake + 1, checked_at = clock_timestamp()
    FROM due WHERE t.id = due.id
  RETURNING t.id, t.wake
$$;

-- check_queued: turn `queued` → `queued`, its job looked for now. Where nobody has within p_age_ms.
CREATE FUNCTION check_queued(p_age_ms int, p_limit int) RETURNS TABLE (turn_id uuid, wake int) LANGUAGE sql AS $$
  WITH unseen AS MATERIALIZED (
    SELECT id FROM turn WHERE status = 'queued' AND checked_at < clock_timestamp() - make_interval(secs => p_age_ms / 1000.0)
     ORDER BY checked_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
  UPDATE turn t SET checked_at = clock_timestamp() FROM unseen WHERE t.id = unseen.id
  RETURNING t.id, t.wake
$$;

-- rewake_turn: turn `queued` → `queued` under the next wake number: its job is missing, or active and unclaimed, and that
-- number gives it another. Null: the turn has moved on.
CREATE FUNCTION rewake_turn(p_turn uuid, p_wake int) RETURNS int LANGUAGE sql AS $$
  UPDATE turn SET wake = wake + 1, checked_at = clock_timestamp()
   WHERE id = p_turn AND status = 'queued' AND wake = p_wake
  RETURNING wake
$$;
