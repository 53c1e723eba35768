-- resolve_approval: approval `open` → `allowed` | `denied`; its call `awaiting_approval` → `requested` (with what the model
-- is told, where denied); the last answer of a parked turn makes it `queued`.
--
-- Guard: the approval is the team's and open. The first writer wins.
-- Returns: {outcome: 'resolved', wake?, rootId, seq} | {outcome: 'already', status, resolvedBy} | {outcome: 'not_found'}
-- The same decision with the same words by the same person is a repeat, and is 'resolved' again.
-- Races: cancel closes the approval under the same locks; the turn may still be running and park later, with one wait
-- fewer.
CREATE FUNCTION resolve_approval(p_team uuid, p_approval uuid, p_decision text, p_message text, p_user uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_approval approval;
  v_turn turn;
BEGIN
  SELECT a.* INTO v_approval FROM approval a JOIN session s ON s.id = a.session_id WHERE a.id = p_approval AND s.team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  v_turn := lock_turn(v_approval.turn_id);
  PERFORM 1 FROM tool_call WHERE id = v_approval.tool_call_id FOR NO KEY UPDATE;
  SELECT * INTO v_approval FROM approval WHERE id = p_approval FOR NO KEY UPDATE;
  IF v_approval.status = p_decision AND v_approval.resolved_by = p_user AND v_approval.message IS NOT DISTINCT FROM p_message THEN
    RETURN jsonb_build_object('outcome', 'resolved', 'rootId', v_turn.root_id, 'wake', wake_of(v_turn.id),
      'seq', (SELECT last_seq FROM tree WHERE root_id = v_turn.root_id));
  END IF;
  IF v_approval.status <> 'open' THEN
    RETURN jsonb_build_object('outcome', 'already', 'status', v_approval.status,
      'resolvedBy', (SELECT name FROM "user" WHERE id = v_approval.resolved_by));
  END IF;

  UPDATE approval SET status = p_decision, message = p_message, resolved_by = p_user, resolved_at = clock_timestamp()
   WHERE id = p_approval;
  UPDATE tool_call SET status = 'requested', denial = CASE WHEN p_decision = 'denied' THEN coalesce(p_message, '') END
   WHERE id = v_approval.tool_call_id;
  UPDATE turn
     SET open_waits = open_waits - 1,
         status = CASE WHEN status = 'parked' AND open_waits = 1 THEN 'queued' ELSE status END,
         wake = CASE WHEN status = 'parked' AND open_waits = 1 THEN wake + 1 ELSE wake END,
         checked_at = CASE WHEN status = 'parked' AND open_waits = 1 THEN clock_timestamp() ELSE checked_at END
   WHERE id = v_turn.id;
  RETURN jsonb_build_object('outcome', 'resolved', 'rootId', v_turn.root_id, 'wake', wake_of(v_turn.id),
    'seq', append_events(v_turn.root_id, turn_event('approval.resolved', v_turn,
      jsonb_build_object('approvalId', p_approval, 'decision', p_decision))));
END $$;
