-- start_turn: nothing → turn `queued`, for the session's first unfinished task, where no turn is unfinished.
--
-- The caller holds the session's lock. Returns the new turn's id, or null where there is nothing to start. The wake
-- number is committed before any job is added: a job that is lost can then be found missing.
CREATE FUNCTION start_turn(p_session uuid, p_turn uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
BEGIN
  IF EXISTS (SELECT 1 FROM turn WHERE session_id = p_session AND status IN ('ready', 'queued', 'running', 'parked')) THEN
    RETURN NULL;
  END IF;
  SELECT * INTO v_task FROM task WHERE session_id = p_session AND ended_at IS NULL ORDER BY ordinal LIMIT 1;
  IF NOT FOUND THEN RETURN NULL; END IF;
  INSERT INTO turn (id, session_id, task_id, root_id, number, status, wake, checked_at)
  VALUES (p_turn, p_session, v_task.id, v_task.root_id,
          (SELECT coalesce(max(number), 0) + 1 FROM turn WHERE task_id = v_task.id), 'queued', 1, clock_timestamp());
  RETURN p_turn;
END $$;

-- continue_task: nothing → turn `queued`, the next one of the task whose turn has just ended: being at work, that task is
-- the session's first unfinished one. The caller holds the session's lock. p_overflows: requests in a row that were too long.
-- Returns the new turn's wake-up.
CREATE FUNCTION continue_task(p_turn turn, p_next_turn uuid, p_kind text DEFAULT 'answer', p_overflows int DEFAULT 0)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM next_turn_of(p_turn, p_next_turn, p_kind, p_overflows);
  RETURN jsonb_build_object('turnId', p_next_turn, 'wake', 1);
END $$;

CREATE FUNCTION next_turn_of(p_turn turn, p_next_turn uuid, p_kind text DEFAULT 'answer', p_overflows int DEFAULT 0)
RETURNS turn LANGUAGE plpgsql AS $$
DECLARE
  v_next turn;
BEGIN
  INSERT INTO turn (id, session_id, task_id, root_id, number, status, wake, checked_at, tokens_to_resend, kind, uncounted, overflows)
  VALUES (p_next_turn, p_turn.session_id, p_turn.task_id, p_turn.root_id, p_turn.number + 1, 'queued', 1, clock_timestamp(),
          p_turn.tokens_to_resend, p_kind, p_turn.uncounted + CASE p_kind WHEN 'compaction' THEN 1 ELSE 0 END, p_overflows)
  RETURNING * INTO v_next;
  RETURN v_next;
END $$;

-- The wake-up that a turn's job carries: {turnId, wake} while the turn is `queued`, else null.
CREATE FUNCTION wake_of(p_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT jsonb_build_object('turnId', id, 'wake', wake) FROM turn WHERE id = p_turn AND status = 'queued');
END $$;

-- What a transition that ended a task returned, told by the turn it started next, whose id was minted for that call
-- alone: {rootId, seq, wake}. Null: this call has not happened, or started nothing.
CREATE FUNCTION started_by(p_next_turn uuid) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('rootId', t.root_id, 'seq', tree.last_seq, 'wake', wake_of(t.id))
    FROM turn t JOIN tree ON tree.root_id = t.root_id WHERE t.id = p_next_turn
$$;
