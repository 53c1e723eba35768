-- delete_session: session without an unfinished task → nothing, and nothing of all that was delegated below it: log, calls, events, deliveries.
--
-- Stays: what was used, with who used it; the audit trail; rules of a person's directory; profiles, which tasks share; what another session that
-- merged its files says of that. Snapshots and directories that nothing names any more are the pruner's.
-- Guard: the session is the team's, nobody delegated to it, of it and those below no task is unfinished, and no log of another begins with one of theirs.
-- Returns: {outcome: 'deleted', rootId} | {outcome: 'not_found'} | {outcome: 'child', rootId} | {outcome: 'unfinished', taskId, sessionId}
-- | {outcome: 'forked', sessionId: one whose log begins so}. A repeat is 'not_found': what it would be known by is gone.
-- Races: whoever changes anything of a session, or gives it a task, locks it first, and then finds it gone. The attempt of a turn, which does not, ended
-- with its task. A fork and a row of search refer to a session under a lock that this one waits for: it sees them. Its idempotency keys stand,
-- for nothing, until their day is over: a request that comes again makes no new task of what was deleted.
CREATE FUNCTION delete_session(p_team uuid, p_session uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_sessions uuid[] := lock_root(p_team, p_session, true);
  v_refused jsonb := refused_tree(p_team, p_session, v_sessions);
  v_workspaces uuid[];
BEGIN
  IF v_refused IS NOT NULL THEN RETURN v_refused; END IF;
  SELECT jsonb_build_object('outcome', 'forked', 'sessionId', id) INTO v_refused FROM session WHERE forked_from = ANY (v_sessions) ORDER BY id LIMIT 1;
  IF FOUND THEN RETURN v_refused; END IF;

  PERFORM delete_tasks(v_sessions);
  DELETE FROM passage WHERE session_id = ANY (v_sessions);
  UPDATE idempotency_key SET answer = NULL WHERE session_id = ANY (v_sessions);
  DELETE FROM todo WHERE session_id = ANY (v_sessions);
  DELETE FROM revision WHERE session_id = ANY (v_sessions);
  DELETE FROM permission_rule WHERE root_id = p_session AND team_id = p_team;
  SELECT array_agg(workspace_id) INTO v_workspaces FROM session WHERE id = ANY (v_sessions);
  DELETE FROM session WHERE id = ANY (v_sessions);
  DELETE FROM workspace WHERE id = ANY (v_workspaces);
  PERFORM drop_outputs_of(v_sessions);
  DELETE FROM webhook_delivery WHERE root_id = p_session;
  DELETE FROM event WHERE root_id = p_session;
  DELETE FROM tree WHERE root_id = p_session;
  RETURN jsonb_build_object('outcome', 'deleted', 'rootId', p_session);
END $$;

-- The log and the tasks of these sessions, with all that turns and calls led to.
CREATE FUNCTION delete_tasks(p_sessions uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_calls uuid[] := ARRAY(SELECT id FROM tool_call WHERE session_id = ANY (p_sessions));
  v_turns uuid[] := ARRAY(SELECT id FROM turn WHERE session_id = ANY (p_sessions));
  v_tasks uuid[] := ARRAY(SELECT id FROM task WHERE session_id = ANY (p_sessions));
BEGIN
  PERFORM empty_keys(v_tasks);
  DELETE FROM background_process WHERE session_id = ANY (p_sessions);
  DELETE FROM approval WHERE tool_call_id = ANY (v_calls);
  DELETE FROM delegation WHERE tool_call_id = ANY (v_calls);
  DELETE FROM tool_call WHERE id = ANY (v_calls);
  DELETE FROM entry WHERE session_id = ANY (p_sessions);
  DELETE FROM message WHERE session_id = ANY (p_sessions);
  DELETE FROM rate_line WHERE turn_id = ANY (v_turns);
  DELETE FROM attempt WHERE turn_id = ANY (v_turns);
  DELETE FROM turn WHERE id = ANY (v_turns);
  DELETE FROM task WHERE id = ANY (v_tasks);
END $$;

-- A key whose day is over may be locked by a new task of one of these sessions that waits for this: it writes its own over it.
CREATE FUNCTION empty_keys(p_tasks uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM idempotency_key WHERE (team_id, key) IN (
    SELECT team_id, key FROM idempotency_key
     WHERE task_id = ANY (p_tasks) AND created_at < clock_timestamp() - idempotency_time() FOR UPDATE SKIP LOCKED);
  UPDATE idempotency_key SET task_id = NULL WHERE task_id = ANY (p_tasks) AND created_at >= clock_timestamp() - idempotency_time();
END $$;

CREATE FUNCTION drop_outputs_of(p_sessions uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_hashes bytea[];
BEGIN
  WITH gone AS (DELETE FROM output_use WHERE session_id = ANY (p_sessions) RETURNING output_hash)
  SELECT array_agg(output_hash) INTO v_hashes FROM gone;
  PERFORM drop_outputs(v_hashes);
END $$;
