-- The lock order (PROTOCOL 7): session, task, turn, tool call, approval, and last the tree, in append_events.
-- FOR NO KEY UPDATE only: a foreign key's check (KEY SHARE) must not wait for it.

-- lock_turn: locks a turn with its session and task, top down. Null: no such turn.
CREATE FUNCTION lock_turn(p_turn uuid) RETURNS turn LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
BEGIN
  SELECT * INTO v_turn FROM turn WHERE id = p_turn;
  PERFORM 1 FROM session WHERE id = v_turn.session_id FOR NO KEY UPDATE;
  PERFORM 1 FROM task WHERE id = v_turn.task_id FOR NO KEY UPDATE;
  SELECT * INTO v_turn FROM turn WHERE id = p_turn FOR NO KEY UPDATE;
  RETURN v_turn;
END $$;

-- fence: locks the turn if this attempt still holds it. Null: it does not, and may write nothing.
--
-- The lock is what makes it a fence: whoever takes the turn over waits for this transaction, or this one finds the
-- attempt replaced. A guard that only read could commit after the next attempt has begun.
CREATE FUNCTION fence(p_turn uuid, p_attempt uuid) RETURNS turn LANGUAGE sql AS $$
  SELECT * FROM turn WHERE id = p_turn AND attempt_id = p_attempt AND status = 'running' FOR NO KEY UPDATE
$$;

CREATE FUNCTION next_position(p_session uuid) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT coalesce(max(position), 0) + 1 FROM entry WHERE session_id = p_session
$$;
