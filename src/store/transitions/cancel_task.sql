-- cancel_task: any unfinished task → `cancelled` at once where no worker runs it; else a mark, which its worker obeys.
--
-- Guard: the task is the team's. Returns: {outcome: 'cancelled', rootId, seq, wake?} | {outcome: 'requested', rootId}
-- | {outcome: 'ended', status} | {outcome: 'not_found'}
-- A repeat of one that started another task's turn is 'cancelled' again; of any other, 'ended' with that status.
-- Races: claim, settle, park, hand-back and takeover lock the session first, as this does, and look at the mark.
CREATE FUNCTION cancel_task(p_team uuid, p_task uuid, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_turn turn;
  v_ended jsonb;
BEGIN
  SELECT * INTO v_task FROM task WHERE id = p_task AND team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  PERFORM 1 FROM session WHERE id = v_task.session_id FOR NO KEY UPDATE;
  SELECT * INTO v_task FROM task WHERE id = p_task FOR NO KEY UPDATE;
  IF EXISTS (SELECT 1 FROM turn WHERE id = p_next_turn) THEN RETURN '{"outcome": "cancelled"}' || started_by(p_next_turn); END IF;
  IF v_task.ended_at IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'ended', 'status', v_task.status); END IF;

  UPDATE task SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) WHERE id = p_task;
  SELECT * INTO v_turn FROM turn
   WHERE task_id = p_task AND status IN ('ready', 'queued', 'running', 'parked') FOR NO KEY UPDATE;
  IF v_turn.status = 'running' THEN
    RETURN jsonb_build_object('outcome', 'requested', 'rootId', v_task.root_id);
  ELSIF v_turn.id IS NOT NULL THEN
    v_ended := end_turn_and_task(v_turn, '{"status": "cancelled"}', p_next_turn);
  ELSE
    v_ended := end_task(p_task, '{"status": "cancelled"}', p_next_turn);
  END IF;
  RETURN jsonb_build_object('outcome', 'cancelled', 'rootId', v_task.root_id,
    'seq', append_events(v_task.root_id, v_ended->'events'), 'wake', wake_of((v_ended->>'next')::uuid));
END $$;
