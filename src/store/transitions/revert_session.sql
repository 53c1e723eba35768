-- revert_session: session's log and files → those of an earlier point of it. An entry leaves out what came between.
-- So does the list of its agent.
--
-- Guard: the session is the team's and not archived, no task of it is unfinished. p_revert: {id, to, snapshot, left, parts}; snapshot: the files
-- as they were there, null where nothing was recorded of them; left: they stay as they are instead; parts: what the model is told.
-- Returns: {outcome: 'reverted' | 'repeated', rootId, position, to, seq?} | {outcome: 'not_found' | 'archived' | 'shared'} | {outcome: 'unfinished', taskId}
-- Races: a new task locks the session too: it comes wholly before, and refuses this, or after. A log only grows: what stands at p_to stays.
CREATE FUNCTION revert_session(p_team uuid, p_user uuid, p_session uuid, p_revert jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_refused jsonb := refused_revision(p_team, p_session, (p_revert->>'id')::uuid);
  v_root uuid;
  v_position int;
  v_snapshot text;
BEGIN
  IF v_refused IS NOT NULL THEN RETURN v_refused; END IF;
  SELECT s.root_id, CASE WHEN (p_revert->>'left')::boolean THEN w.head ELSE p_revert->>'snapshot' END INTO v_root, v_snapshot
    FROM session s LEFT JOIN workspace w ON w.id = s.workspace_id WHERE s.id = p_session;
  v_position := next_position(p_session);
  INSERT INTO entry (session_id, position, kind, parts, reverts_to)
  VALUES (p_session, v_position, 'revert', p_revert->'parts', (p_revert->>'to')::int);
  INSERT INTO revision (id, session_id, user_id, kind, position, snapshot)
  VALUES ((p_revert->>'id')::uuid, p_session, p_user, 'revert', v_position, v_snapshot);
  PERFORM put_todos(p_session, todos_at(p_session, v_position));
  RETURN jsonb_build_object('outcome', 'reverted', 'rootId', v_root, 'position', v_position, 'to', (p_revert->>'to')::int,
    'seq', append_events(v_root,
      event_of('session.reverted', p_session, NULL, NULL, jsonb_build_object('to', (p_revert->>'to')::int, 'position', v_position))
      || CASE WHEN (p_revert->>'left')::boolean THEN '[]' ELSE put_files(p_session, v_snapshot) END));
END $$;

-- Locks a session that a person is about to take back, or to take another's work into. Null: they may. Else the outcome.
CREATE FUNCTION refused_revision(p_team uuid, p_session uuid, p_revision uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_session session;
  v_task uuid;
BEGIN
  SELECT * INTO v_session FROM session WHERE id = p_session AND team_id = p_team FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF EXISTS (SELECT 1 FROM revision WHERE id = p_revision) THEN
    RETURN (SELECT jsonb_build_object('outcome', 'repeated', 'rootId', v_session.root_id, 'position', r.position, 'to', e.reverts_to,
                     'snapshot', r.snapshot, 'conflicts', r.conflicts, 'from', r.from_session_id)
              FROM revision r JOIN entry e ON e.session_id = r.session_id AND e.position = r.position WHERE r.id = p_revision);
  END IF;
  IF v_session.archived_at IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'archived'); END IF;
  IF shares_files(v_session) THEN RETURN jsonb_build_object('outcome', 'shared'); END IF;
  SELECT id INTO v_task FROM task WHERE session_id = p_session AND ended_at IS NULL ORDER BY ordinal LIMIT 1;
  IF FOUND THEN RETURN jsonb_build_object('outcome', 'unfinished', 'taskId', v_task); END IF;
  RETURN NULL;
END $$;

-- The workspace's files are these from now on; null: nothing was recorded of them. Returns the events.
CREATE FUNCTION put_files(p_session uuid, p_snapshot text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF p_snapshot IS NULL THEN RETURN '[]'; END IF;
  UPDATE workspace w SET head = p_snapshot FROM session s WHERE s.id = p_session AND w.id = s.workspace_id;
  RETURN event_of('workspace.snapshotted', p_session, NULL, NULL, jsonb_build_object('snapshot', p_snapshot));
END $$;
