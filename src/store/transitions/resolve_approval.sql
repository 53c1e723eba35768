-- resolve_approval: approval `open` → `allowed` | `denied`; its call `awaiting_approval` → `requested`; the last answer of a parked
-- turn makes it `queued`. Where denied, the call carries what the model is told.
--
-- Guard: the approval is the team's and open. The first writer wins. p_rule, not null: it is allowed always, by a rule of that id,
-- for exactly what the question showed; refused where it showed that this cannot be.
-- Returns: {outcome: 'resolved', wake?, rootId, seq, also?} | {outcome: 'already', status, resolvedBy} | {outcome: 'not_found' | 'only_once'}
-- The same decision with the same words by the same person is a repeat, and is 'resolved' again.
-- Races: cancel closes the approval under the same locks; the turn may still be running and park later, with one wait
-- fewer.
CREATE FUNCTION resolve_approval(p_team uuid, p_approval uuid, p_decision text, p_message text, p_user uuid, p_rule uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_approval approval;
  v_turn turn;
BEGIN
  SELECT a.* INTO v_approval FROM approval a JOIN session s ON s.id = a.session_id WHERE a.id = p_approval AND s.team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  v_turn := lock_turn(v_approval.turn_id);
  v_approval := lock_approval(v_approval);
  IF v_approval.id IS NULL THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_approval.status = p_decision AND v_approval.resolved_by = p_user AND v_approval.message IS NOT DISTINCT FROM p_message
     AND (p_rule IS NOT NULL) = EXISTS (SELECT 1 FROM permission_rule WHERE approval_id = p_approval) THEN
    RETURN jsonb_build_object('outcome', 'resolved', 'rootId', v_turn.root_id, 'wake', wake_of(v_turn.id),
      'seq', (SELECT last_seq FROM tree WHERE root_id = v_turn.root_id));
  END IF;
  IF v_approval.status <> 'open' THEN
    RETURN jsonb_build_object('outcome', 'already', 'status', v_approval.status,
      'resolvedBy', (SELECT name FROM "user" WHERE id = v_approval.resolved_by));
  END IF;
  IF p_rule IS NOT NULL AND v_approval.always IS NULL THEN RETURN jsonb_build_object('outcome', 'only_once'); END IF;

  UPDATE approval SET message = p_message, resolved_by = p_user WHERE id = p_approval;
  IF p_rule IS NOT NULL THEN
    INSERT INTO permission_rule (id, team_id, root_id, path, tool, kind, value, approval_id, created_by)
    SELECT p_rule, p_team, CASE w.kind WHEN 'local' THEN NULL ELSE v_turn.root_id END, CASE w.kind WHEN 'local' THEN w.path END, c.name,
           v_approval.always->>'kind', v_approval.always->>'value', p_approval, p_user
      FROM session s JOIN workspace w ON w.id = s.workspace_id JOIN tool_call c ON c.id = v_approval.tool_call_id
     WHERE s.id = v_turn.session_id;
  END IF;
  RETURN jsonb_build_object('outcome', 'resolved', 'rootId', v_turn.root_id)
    || close_approval(v_approval, v_turn, p_decision, CASE WHEN p_decision = 'denied' THEN coalesce(p_message, '') END);
END $$;

-- expire_approval: approval `open` past its time → `expired`; the rest as `resolve_approval`. Its call carries what the model is told.
--
-- One that is due, the longest so, whose session nobody holds. Returns: {rootId, seq, wake?, also?}; none: none is due. By the database's
-- clock. One at a time: two of one tree would hold the tree's row while they wait for a turn.
-- Races: a person's answer locks the same rows; the first counts. What a repeat finds is the next one.
CREATE FUNCTION expire_approval() RETURNS TABLE (closed jsonb) LANGUAGE plpgsql AS $$
DECLARE
  v_approval approval;
  v_turn turn;
  v_seconds float8;
BEGIN
  FOR v_approval IN SELECT * FROM approval WHERE status = 'open' AND expires_at <= clock_timestamp() ORDER BY expires_at LOOP
    CONTINUE WHEN NOT try_lock_tree(v_approval.root_id);
    PERFORM 1 FROM session WHERE id = v_approval.session_id FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    v_turn := lock_turn(v_approval.turn_id);
    v_approval := lock_approval(v_approval);
    CONTINUE WHEN v_approval.status IS DISTINCT FROM 'open';
    v_seconds := round(extract(epoch FROM v_approval.expires_at - v_approval.created_at));
    closed := jsonb_build_object('rootId', v_turn.root_id)
      || close_approval(v_approval, v_turn, 'expired', format('nobody answered within %s seconds whether this call may run.', v_seconds));
    RETURN NEXT;
    RETURN;
  END LOOP;
END $$;

CREATE FUNCTION lock_approval(p_approval approval) RETURNS approval LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM tool_call WHERE id = p_approval.tool_call_id FOR NO KEY UPDATE;
  SELECT * INTO p_approval FROM approval WHERE id = p_approval.id FOR NO KEY UPDATE;
  RETURN p_approval;
END $$;

-- Closes an open approval: its call may be run, or reported with p_denial; its turn waits for one fewer. The caller holds all of them.
-- Returns {seq, wake?, also?}.
CREATE FUNCTION close_approval(p_approval approval, p_turn turn, p_status text, p_denial text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_around jsonb;
BEGIN
  UPDATE approval SET status = p_status, resolved_at = clock_timestamp() WHERE id = p_approval.id;
  UPDATE tool_call SET status = 'requested', denial = p_denial WHERE id = p_approval.tool_call_id;
  v_around := close_wait(p_turn);
  IF has_children(p_turn.root_id) THEN v_around := joined(v_around, joined(mind_clocks(p_turn.task_id), grant_slots(p_turn.root_id))); END IF;
  RETURN jsonb_build_object('wake', wake_of(p_turn.id), 'seq', append_events(p_turn.root_id,
      turn_event('approval.resolved', p_turn, jsonb_build_object('approvalId', p_approval.id, 'decision', p_status)) || (v_around->'events')))
    || also(jsonb_set(v_around, '{wakes}', jsonb_path_query_array(v_around->'wakes', '$[*] ? (@.turnId != $own)', jsonb_build_object('own', p_turn.id))));
END $$;
