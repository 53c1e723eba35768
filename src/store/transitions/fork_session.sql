-- fork_session: nothing → session that goes on from a point of another's log, with its files.
--
-- Guard: the other is the team's, and its log reaches so far. p_fork: {id, title, from, at, workspace: {id, kind, source, rules, projectServers, lineage,
-- base, head}, notice}; from: the session whose own entry stands at that position (log_point); notice: what the model is told first.
-- Its agent's list is the one that the other's log had there.
-- Returns: {outcome: 'forked', sessionId, seq} | {outcome: 'repeated', sessionId}: by the workspace's id | {outcome: 'not_found'}
-- Races: the other's log only grows, so nothing of it is locked but that it is there: who deletes it waits, and sees the fork. A repeat whose first try still runs waits on the new workspace's key.
CREATE FUNCTION fork_session(p_team uuid, p_user uuid, p_fork jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_id uuid := (p_fork->>'id')::uuid;
  v_at int := (p_fork->>'at')::int;
BEGIN
  PERFORM FROM session WHERE id = (p_fork->>'from')::uuid AND team_id = p_team FOR KEY SHARE;
  IF NOT FOUND OR v_at >= next_position((p_fork->>'from')::uuid) THEN
    RETURN jsonb_build_object('outcome', 'not_found');
  END IF;
  INSERT INTO workspace (id, team_id, kind, source, rules, project_servers, lineage, base, head)
  SELECT w.id, p_team, w.kind, w.source, w.rules, w."projectServers", w.lineage, w.base, w.head
    FROM jsonb_to_record(p_fork->'workspace')
      AS w (id uuid, kind text, source jsonb, rules jsonb, "projectServers" jsonb, lineage uuid, base text, head text)
  ON CONFLICT (id) DO NOTHING;
  IF NOT FOUND THEN
    RETURN (SELECT jsonb_build_object('outcome', 'repeated', 'sessionId', id) FROM session WHERE workspace_id = (p_fork#>>'{workspace,id}')::uuid);
  END IF;
  INSERT INTO session (id, root_id, team_id, user_id, workspace_id, title, forked_from, forked_at)
  VALUES (v_id, v_id, p_team, p_user, (p_fork#>>'{workspace,id}')::uuid, p_fork->>'title', (p_fork->>'from')::uuid, v_at);
  INSERT INTO tree (root_id) VALUES (v_id);
  INSERT INTO entry (session_id, position, kind, parts) VALUES (v_id, v_at + 1, 'notice', p_fork->'notice');
  PERFORM put_todos(v_id, todos_at(v_id, v_at));
  RETURN jsonb_build_object('outcome', 'forked', 'sessionId', v_id, 'seq', append_events(v_id,
    event_of('session.created', v_id, NULL, NULL, jsonb_build_object('title', p_fork->>'title', 'forkedFrom', p_fork->>'from', 'forkedAt', v_at))));
END $$;
