-- cancel_task: any unfinished task → `cancelled` at once where no worker runs it; else a mark, which its worker obeys; so all below it.
--
-- Guard: the task is the team's. Returns: {outcome: 'cancelled', rootId, seq, wake?, also?} | {outcome: 'requested', rootId, seq, also?}
-- | {outcome: 'ended', status} | {outcome: 'not_found'}
-- A repeat of one that started another task's turn is 'cancelled' again; of any other, 'ended' with that status, or 'requested'.
-- Races: claim, settle, park, hand-back and takeover lock the session first, as this does, and look at the mark.
CREATE FUNCTION cancel_task(p_team uuid, p_task uuid, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_root uuid := (SELECT root_id FROM task WHERE id = p_task AND team_id = p_team);
  v_stopped jsonb;
BEGIN
  IF v_root IS NULL THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  PERFORM lock_tree(v_root);
  PERFORM 1 FROM session WHERE id = (SELECT session_id FROM task WHERE id = p_task) FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF EXISTS (SELECT 1 FROM turn WHERE id = p_next_turn) THEN RETURN '{"outcome": "cancelled"}' || started_by(p_next_turn); END IF;
  v_stopped := stop_task(p_task, p_next_turn);
  IF v_stopped->>'outcome' = 'ended' THEN RETURN jsonb_build_object('outcome', 'ended', 'status', v_stopped->'status'); END IF;
  RETURN jsonb_build_object('outcome', v_stopped->'outcome', 'rootId', v_root,
    'seq', append_events(v_root, v_stopped->'events'), 'wake', wake_of((v_stopped->>'next')::uuid))
    || also(v_stopped - '{outcome,next,status}'::text[]);
END $$;
