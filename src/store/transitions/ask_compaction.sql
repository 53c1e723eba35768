-- ask_compaction: session's log → with a person's wish that a summary stands for it from its next answer on.
--
-- Guard: the session is the team's and not archived, no task of it is unfinished; the model has answered since its last summary, or since one
-- was asked for. p_asked: {id, parts: what the model is told}. The next turn that asks the model finds the wish in the log.
-- Returns: {outcome: 'asked' | 'repeated', rootId, position, seq?} | {outcome: 'not_found' | 'archived' | 'shared' | 'nothing'}
-- | {outcome: 'unfinished', taskId}
-- Races: a new task locks the session too: it comes wholly before, and refuses this, or after, and begins with the summary.
CREATE FUNCTION ask_compaction(p_team uuid, p_user uuid, p_session uuid, p_asked jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_refused jsonb := refused_revision(p_team, p_session, (p_asked->>'id')::uuid);
  v_root uuid;
  v_position int;
BEGIN
  IF v_refused IS NOT NULL THEN RETURN v_refused; END IF;
  IF NOT is_answered(p_session) THEN RETURN jsonb_build_object('outcome', 'nothing'); END IF;
  SELECT root_id INTO v_root FROM session WHERE id = p_session;
  v_position := next_position(p_session);
  INSERT INTO entry (session_id, position, kind, parts, noted)
  VALUES (p_session, v_position, 'notice', p_asked->'parts', '{"compacts": true}');
  INSERT INTO revision (id, session_id, user_id, kind, position)
  VALUES ((p_asked->>'id')::uuid, p_session, p_user, 'compact', v_position);
  RETURN jsonb_build_object('outcome', 'asked', 'rootId', v_root, 'position', v_position,
    'seq', append_events(v_root, event_of('session.compaction_asked', p_session, NULL, NULL, jsonb_build_object('position', v_position))));
END $$;

-- Whether the newest thing in a log, of what matters to a summary and was not taken back, is an answer.
CREATE FUNCTION is_answered(p_session uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_upto int := next_position(p_session) - 1;
  v_newest record;
BEGIN
  LOOP
    SELECT e.kind, e.reverts_to INTO v_newest
      FROM log_parts(p_session) p JOIN entry e ON e.session_id = p.session_id AND e.position > p.after AND (p.last IS NULL OR e.position <= p.last)
     WHERE e.position <= v_upto AND (e.kind IN ('assistant', 'compaction', 'revert') OR e.noted ? 'compacts')
     ORDER BY e.position DESC LIMIT 1;
    IF v_newest.kind IS DISTINCT FROM 'revert' THEN RETURN v_newest.kind IS NOT DISTINCT FROM 'assistant'; END IF;
    v_upto := v_newest.reverts_to;
  END LOOP;
END $$;
