-- park_turn: turn `running` → `parked`, task `running` → `waiting`, while approvals or children are open. The attempt ends; no slot is
-- held.
--
-- Guard: the attempt holds the turn and at least one wait is open. Without one the turn stays `running` and the caller
-- looks again: the answer came while the turn still ran (PROTOCOL 8).
-- Returns: {outcome: 'parked' | 'open', seq?, also?} | {outcome: 'repeated'} | {outcome: 'fenced'}
-- Races: resolve_approval, and a child's end, change the count under the turn's lock, which this holds.
CREATE FUNCTION park_turn(p_turn uuid, p_attempt uuid, p_results jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := lock_turn(p_turn);
  v_events jsonb;
  v_on text;
  v_around jsonb := nothing_around();
BEGIN
  IF v_turn.status IS DISTINCT FROM 'running' OR v_turn.attempt_id <> p_attempt THEN
    RETURN jsonb_build_object('outcome', CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt AND outcome = 'parked')
      THEN 'repeated' ELSE 'fenced' END);
  END IF;
  v_events := apply_results(v_turn, p_results);
  IF v_turn.open_waits = 0 OR (SELECT cancel_requested_at IS NOT NULL FROM task WHERE id = v_turn.task_id) THEN
    RETURN jsonb_build_object('outcome', 'open', 'seq', append_events(v_turn.root_id, v_events));
  END IF;
  PERFORM end_attempt(p_attempt, 'parked');
  UPDATE turn SET status = 'parked', attempt_id = NULL WHERE id = p_turn;
  v_on := CASE WHEN EXISTS (SELECT 1 FROM approval WHERE task_id = v_turn.task_id AND turn_id = p_turn AND status = 'open')
               THEN 'approval' ELSE 'children' END;
  UPDATE task SET status = 'waiting', waiting_on = v_on WHERE id = v_turn.task_id;
  v_events := v_events || turn_event('turn.parked', v_turn, jsonb_build_object('openWaits', v_turn.open_waits))
    || event_of('task.waiting', v_turn.session_id, v_turn.task_id, NULL, jsonb_build_object('on', v_on))
    || state_event(v_turn.session_id, v_turn.task_id, 'waiting');
  IF has_children(v_turn.root_id) THEN v_around := joined(mind_clocks(v_turn.task_id), free_slot(v_turn)); END IF;
  RETURN jsonb_build_object('outcome', 'parked', 'seq', append_events(v_turn.root_id, v_events || (v_around->'events'))) || also(v_around);
END $$;
