-- admit_turns: turn `ready`, due → `queued` under the next wake number. Sweepers share the work by SKIP LOCKED.
CREATE FUNCTION admit_turns(p_limit int) RETURNS TABLE (turn_id uuid, wake int) LANGUAGE sql AS $$
  UPDATE turn SET status = 'queued', due_at = NULL, wake = wake + 1, checked_at = clock_timestamp()
   WHERE id IN (SELECT id FROM turn WHERE status = 'ready' AND (due_at IS NULL OR due_at <= clock_timestamp())
                ORDER BY due_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING id, wake
$$;

-- check_queued: the turns whose jobs nobody has looked for within p_age_ms, marked as looked for now.
CREATE FUNCTION check_queued(p_age_ms int, p_limit int) RETURNS TABLE (turn_id uuid, wake int) LANGUAGE sql AS $$
  UPDATE turn SET checked_at = clock_timestamp()
   WHERE id IN (SELECT id FROM turn WHERE status = 'queued' AND checked_at < clock_timestamp() - make_interval(secs => p_age_ms / 1000.0)
                ORDER BY checked_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING id, wake
$$;

-- rewake_turn: the job of a `queued` turn is missing, or active and unclaimed: the next wake number gives it another.
-- Null: the turn has moved on.
CREATE FUNCTION rewake_turn(p_turn uuid, p_wake int) RETURNS int LANGUAGE sql AS $$
  UPDATE turn SET wake = wake + 1, checked_at = clock_timestamp()
   WHERE id = p_turn AND status = 'queued' AND wake = p_wake
  RETURNING wake
$$;
