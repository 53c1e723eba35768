-- The lock order (PROTOCOL 7): session, task, turn, tool call, approval, what all sessions know of providers (rate_bucket,
-- model_health), and last the tree, in append_events.
-- FOR NO KEY UPDATE only: a foreign key's check (KEY SHARE) must not wait for it.

-- lock_turn_and_task: locks a turn with its session and task, top down: rows are locked in the order in which OF names them.
-- Nulls: no such turn.
CREATE FUNCTION lock_turn_and_task(p_turn uuid, OUT turn turn, OUT task task) LANGUAGE plpgsql AS $$
DECLARE
  v_found record;
BEGIN
  SELECT u AS turn, t AS task INTO v_found
    FROM turn u JOIN task t ON t.id = u.task_id JOIN session s ON s.id = u.session_id
   WHERE u.id = p_turn FOR NO KEY UPDATE OF s, t, u;
  turn := v_found.turn;
  task := v_found.task;
END $$;

CREATE FUNCTION lock_turn(p_turn uuid) RETURNS turn LANGUAGE plpgsql AS $$
BEGIN
  RETURN (lock_turn_and_task(p_turn)).turn;
END $$;

-- fence: locks the turn if this attempt still holds it. Null: it does not, and may write nothing.
--
-- The lock is what makes it a fence: whoever takes the turn over waits for this transaction, or this one finds the
-- attempt replaced. A guard that only read could commit after the next attempt has begun.
CREATE FUNCTION fence(p_turn uuid, p_attempt uuid) RETURNS turn LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
BEGIN
  SELECT * INTO v_turn FROM turn WHERE id = p_turn AND attempt_id = p_attempt AND status = 'running' FOR NO KEY UPDATE;
  RETURN v_turn;
END $$;
