-- archive_session: session → archived, or no more so, with all that was delegated below it. It takes no task and is left out of lists; it can be
-- read, forked, and merged from.
--
-- Guard: the session is the team's, nobody delegated to it, and of it and those below no task is unfinished.
-- Returns: {outcome: 'done', rootId, seq} | {outcome: 'not_found'} | {outcome: 'child', rootId} | {outcome: 'unfinished', taskId, sessionId}
-- Races: a new task locks its session too: it comes wholly before, and refuses this, or finds it archived. A repeat writes nothing.
CREATE FUNCTION archive_session(p_team uuid, p_session uuid, p_archived boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_refused jsonb := refused_tree(p_team, p_session, lock_root(p_team, p_session, false));
  v_events jsonb;
BEGIN
  IF v_refused IS NOT NULL THEN RETURN v_refused; END IF;
  WITH changed AS (
    UPDATE session SET archived_at = CASE WHEN p_archived THEN clock_timestamp() END
     WHERE root_id = p_session AND (archived_at IS NOT NULL) <> p_archived
    RETURNING id, depth)
  SELECT jsonb_agg(event_of(CASE WHEN p_archived THEN 'session.archived' ELSE 'session.unarchived' END, id, NULL, NULL)->0 ORDER BY depth, id)
    INTO v_events FROM changed;
  RETURN jsonb_build_object('outcome', 'done', 'rootId', p_session, 'seq', append_events(p_session, coalesce(v_events, '[]')));
END $$;

-- Locks a whole session tree, for a transition of all of it: the tree's lock, also where nothing was delegated yet, so that nothing is from now
-- on; then each session, parents first. p_for_good: so that nothing begins to refer to one either, a fork or a row of search. Returns the
-- sessions; none: it is no tree of the team.
CREATE FUNCTION lock_root(p_team uuid, p_root uuid, p_for_good boolean) RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM session WHERE id = p_root AND team_id = p_team AND parent_id IS NULL) THEN RETURN '{}'; END IF;
  PERFORM pg_advisory_xact_lock(7, hashtext(p_root::text));
  IF p_for_good THEN
    RETURN ARRAY(SELECT id FROM session WHERE root_id = p_root ORDER BY depth, id FOR UPDATE);
  END IF;
  RETURN ARRAY(SELECT id FROM session WHERE root_id = p_root ORDER BY depth, id FOR NO KEY UPDATE);
END $$;

-- Why nothing may be done to a whole tree, of which lock_root returned p_locked. Null: it may.
CREATE FUNCTION refused_tree(p_team uuid, p_session uuid, p_locked uuid[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_refused jsonb;
BEGIN
  IF cardinality(p_locked) > 0 THEN
    SELECT jsonb_build_object('outcome', 'unfinished', 'taskId', id, 'sessionId', session_id) INTO v_refused
      FROM task WHERE root_id = p_session AND ended_at IS NULL ORDER BY session_id <> p_session, id LIMIT 1;
    RETURN v_refused;
  END IF;
  SELECT jsonb_build_object('outcome', 'child', 'rootId', root_id) INTO v_refused
    FROM session WHERE id = p_session AND team_id = p_team AND parent_id IS NOT NULL;
  RETURN coalesce(v_refused, '{"outcome": "not_found"}');
END $$;
