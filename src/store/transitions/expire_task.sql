-- expire_task: a task past its deadline that no worker runs → `failed`, `limit_seconds`. A running one is stopped by its
-- worker, or found by the next claim; so is one that waits at its limits. The clock of a delegated one stands still while a person is waited for.
--
-- Returns: {outcome: 'ended', rootId, seq, wake?} | {outcome: 'skipped'}
CREATE FUNCTION expire_task(p_task uuid, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_turn turn;
BEGIN
  SELECT * INTO v_task FROM task WHERE id = p_task;
  IF NOT try_lock_tree(v_task.root_id) THEN RETURN jsonb_build_object('outcome', 'skipped'); END IF;
  PERFORM 1 FROM session WHERE id = v_task.session_id FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'skipped'); END IF;
  SELECT * INTO v_task FROM task WHERE id = p_task FOR NO KEY UPDATE;
  SELECT * INTO v_turn FROM turn WHERE task_id = p_task AND status IN ('ready', 'queued', 'parked') FOR NO KEY UPDATE;
  IF v_turn.id IS NULL OR v_task.ended_at IS NOT NULL OR v_task.deadline_at IS NULL OR v_task.deadline_at > clock_timestamp() OR waits_at(v_task, 'seconds')
     OR v_task.clock_stopped_at IS NOT NULL OR v_task.paused_at IS NOT NULL THEN
    RETURN coalesce('{"outcome": "ended"}' || started_by(p_next_turn), '{"outcome": "skipped"}');
  END IF;
  RETURN stop_at_limit(v_turn, v_task, 'seconds', p_next_turn);
END $$;
