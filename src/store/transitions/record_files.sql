-- record_files: workspace → with this head, and with this base where it has none.
--
-- What its files were before a call that changes them, where that is not recorded yet; or what they are to begin with. An `empty`
-- one begins with nothing: it gets no base. Guard: the attempt holds the turn.
-- p_found: null; or, of a `git` workspace that was cloned, {commit, rules, servers?}, of a `roots` one that was put together, {commits, rules}, which its
-- source keeps: a step, after which the tries count from none again.
-- Returns: {outcome: 'recorded', seq} | {outcome: 'fenced'}
-- Races: a repeat finds the head that it has written, and writes nothing.
CREATE FUNCTION record_files(p_turn uuid, p_attempt uuid, p_snapshot text, p_found jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
  v_events jsonb := '[]';
BEGIN
  SELECT * INTO v_turn FROM fence(p_turn, p_attempt);
  IF v_turn.id IS NULL THEN RETURN jsonb_build_object('outcome', 'fenced'); END IF;
  UPDATE workspace w SET base = CASE WHEN w.kind IN ('local', 'git', 'roots') THEN coalesce(w.base, p_snapshot) ELSE w.base END, head = p_snapshot,
         source = CASE WHEN p_found IS NULL THEN w.source ELSE w.source || jsonb_build_object('found', p_found) END
    FROM session s WHERE s.id = v_turn.session_id AND w.id = s.workspace_id AND w.head IS DISTINCT FROM p_snapshot;
  IF FOUND THEN v_events := turn_event('workspace.snapshotted', v_turn, jsonb_build_object('snapshot', p_snapshot)); END IF;
  UPDATE turn SET takeovers = 0, retries = 0 WHERE id = v_turn.id AND p_found IS NOT NULL AND v_events <> '[]';
  RETURN jsonb_build_object('outcome', 'recorded', 'seq', append_events(v_turn.root_id, v_events));
END $$;
