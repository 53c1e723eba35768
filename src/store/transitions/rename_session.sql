-- rename_session: session's title → another.
--
-- Guard: the session is the team's. Returns: {outcome: 'renamed', rootId, seq} | {outcome: 'not_found'}. The title that it has is a repeat,
-- which writes nothing.
-- Races: of two, the later one stays.
CREATE FUNCTION rename_session(p_team uuid, p_session uuid, p_title text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_session session;
BEGIN
  SELECT * INTO v_session FROM session WHERE id = p_session AND team_id = p_team FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  UPDATE session SET title = p_title WHERE id = p_session AND title <> p_title;
  RETURN jsonb_build_object('outcome', 'renamed', 'rootId', v_session.root_id, 'seq', append_events(v_session.root_id,
    CASE v_session.title WHEN p_title THEN '[]' ELSE event_of('session.renamed', p_session, NULL, NULL, jsonb_build_object('title', p_title)) END));
END $$;
