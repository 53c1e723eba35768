-- record_results: tool calls `requested | started` → closed; the next changing ones `requested` → `started`. As far as there are
-- results. Turn stays `running`. The commit between two calls of which the second may happen only once.
--
-- Guard: the attempt holds the turn. p_results as in apply_results; p_start: [tool call id].
-- Returns: {outcome: 'recorded', seq} | {outcome: 'fenced'}
-- Races: a repeat passes over closed results and started calls and returns the same outcome. Only what was written counts
-- as a step: a turn that keeps losing its worker here still ends as a crash loop.
CREATE FUNCTION record_results(p_turn uuid, p_attempt uuid, p_results jsonb, p_start jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
  v_events jsonb;
BEGIN
  SELECT * INTO v_turn FROM fence(p_turn, p_attempt);
  IF v_turn.id IS NULL THEN RETURN jsonb_build_object('outcome', 'fenced'); END IF;
  v_events := apply_results(v_turn, p_results) || start_calls(v_turn, p_start);
  UPDATE turn SET takeovers = 0 WHERE id = v_turn.id AND takeovers > 0 AND v_events <> '[]';
  RETURN jsonb_build_object('outcome', 'recorded', 'seq', append_events(v_turn.root_id, v_events));
END $$;
