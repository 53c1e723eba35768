-- spawn_children: tool calls `requested` → `started`, each with a session, task and turn of its own. The turn is `queued`, or `parked` for a slot.
--
-- What a paused task delegates is paused with it.
-- Guard: the attempt holds the turn, the task has no cancel mark, and the limits of the person's task allow one child more: those that they
-- refuse stay `requested`, for the caller to close.
-- p_children: [{call: id of the tool call, isolation: 'fork' | 'shared', continues?: session id, session: {id, title, workspaceId, rules?}, task: {id, turnId,
--   messageId, parts, profile, profileHash, limits: {turns, seconds?, tokens?, usd?}, reserve: {answer?, prices?}, resultSchema?, traceparent?}}]
-- Returns: {outcome: 'spawned', calls: [{id, childSessionId, childTaskId} | {id, refused: 'limit_children' | 'limit_depth' | 'child_not_found' |
--   'child_unfinished' | 'child_isolation', allowed?}], openWaits, wakes, seq} | {outcome: 'cancelled'} | {outcome: 'fenced'}
-- Races: every child of a tree begins and ends under the tree's lock, so none overshoots. A repeat finds its delegations, and writes nothing.
CREATE FUNCTION spawn_children(p_turn uuid, p_attempt uuid, p_children jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_root uuid := (SELECT root_id FROM turn WHERE id = p_turn);
  v_turn turn;
  v_task task;
  v_locked record;
  v_given jsonb;
  v_one jsonb;
  v_calls jsonb := '[]';
  v_around jsonb := nothing_around();
  v_new int := 0;
  v_opened int := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(7, hashtext(v_root::text));
  v_locked := lock_turn_and_task(p_turn);
  v_turn := v_locked.turn;
  v_task := v_locked.task;
  IF v_turn.status IS DISTINCT FROM 'running' OR v_turn.attempt_id <> p_attempt THEN RETURN '{"outcome": "fenced"}'; END IF;
  IF v_task.cancel_requested_at IS NOT NULL THEN RETURN '{"outcome": "cancelled"}'; END IF;

  FOR v_given IN SELECT value FROM jsonb_array_elements(p_children) LOOP
    v_one := spawn_child(v_turn, v_task, v_given);
    v_calls := v_calls || jsonb_build_array(v_one->'call');
    v_around := joined(v_around, v_one);
    v_new := v_new + (v_one->>'new')::int;
    v_opened := v_opened + (v_one->>'opened')::int;
  END LOOP;
  UPDATE turn SET open_waits = open_waits + v_opened, takeovers = 0 WHERE id = p_turn AND v_opened > 0;
  UPDATE tree SET children = children + v_new WHERE root_id = v_root AND v_new > 0;
  RETURN jsonb_build_object('outcome', 'spawned', 'calls', v_calls, 'openWaits', v_turn.open_waits + v_opened,
    'wakes', v_around->'wakes', 'seq', append_events(v_root, v_around->'events'));
END $$;

-- One of them: {call: as above, new: 1 | 0, opened: 1 | 0, events, wakes, stopped}.
CREATE FUNCTION spawn_child(p_turn turn, p_task task, p_given jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_call tool_call;
  v_session session;
  v_parent session;
  v_task task;
  v_known delegation;
  v_root_task uuid := root_task_of(p_task);
  v_refused text;
  v_has_slot boolean;
  v_files workspace;
  v_turn_id uuid := (p_given#>>'{task,turnId}')::uuid;
  v_events jsonb;
  v_base text;
BEGIN
  SELECT * INTO v_known FROM delegation WHERE tool_call_id = (p_given->>'call')::uuid;
  IF FOUND THEN
    RETURN nothing_around() || jsonb_build_object('call', spawned_call(v_known), 'new', 0, 'opened', 0);
  END IF;
  SELECT * INTO v_call FROM tool_call WHERE id = (p_given->>'call')::uuid AND turn_id = p_turn.id AND status = 'requested' AND denial IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'turn % cannot delegate by call %', p_turn.id, p_given->>'call'; END IF;
  SELECT * INTO v_parent FROM session WHERE id = p_turn.session_id;
  v_refused := refused_child(v_parent, p_task, v_root_task, p_given);
  IF v_refused IS NOT NULL THEN
    RETURN nothing_around() || jsonb_build_object('new', 0, 'opened', 0, 'call', jsonb_build_object('id', v_call.id, 'refused', v_refused,
      'allowed', CASE v_refused WHEN 'limit_children' THEN p_task.child_limit WHEN 'limit_depth' THEN p_task.depth_limit END));
  END IF;

  SELECT w.* INTO v_files FROM workspace w WHERE w.id = v_parent.workspace_id;
  IF p_given ? 'continues' THEN
    SELECT * INTO v_session FROM session WHERE id = (p_given->>'continues')::uuid FOR NO KEY UPDATE;
    v_base := continued_base(v_session, v_files);
  ELSE
    v_session := child_session(v_parent, v_files, p_given);
  END IF;
  INSERT INTO profile (hash, body) VALUES (decode(p_given#>>'{task,profileHash}', 'hex'), p_given#>'{task,profile}') ON CONFLICT DO NOTHING;
  v_has_slot := free_slots(v_root_task) > 0;
  v_task := child_task(v_session, p_task, p_given->'task', v_has_slot);
  INSERT INTO turn (id, session_id, task_id, root_id, number, status, for_slot, wake, checked_at)
  VALUES (v_turn_id, v_session.id, v_task.id, v_task.root_id, 1, CASE WHEN v_has_slot THEN 'queued' ELSE 'parked' END, NOT v_has_slot,
          CASE WHEN v_has_slot THEN 1 ELSE 0 END, CASE WHEN v_has_slot THEN clock_timestamp() END);
  INSERT INTO delegation (tool_call_id, root_id, root_task_id, turn_id, child_session_id, child_task_id, isolation, has_slot, is_continued, base)
  VALUES (v_call.id, p_turn.root_id, v_root_task, p_turn.id, v_session.id, v_task.id, p_given->>'isolation', v_has_slot, p_given ? 'continues',
          CASE p_given->>'isolation' WHEN 'fork' THEN CASE WHEN p_given ? 'continues' THEN v_base ELSE v_files.head END END)
  RETURNING * INTO v_known;
  UPDATE tool_call SET status = 'started', started_at = clock_timestamp() WHERE id = v_call.id;

  v_events := turn_event('tool.started', p_turn, jsonb_build_object('callId', v_call.call_id, 'ordinal', v_call.ordinal, 'name', v_call.name))
    || turn_event('child.started', p_turn, jsonb_build_object('callId', v_call.call_id, 'childSessionId', v_session.id, 'childTaskId', v_task.id,
         'title', v_session.title))
    || CASE WHEN p_given ? 'continues' THEN '[]'
            ELSE event_of('session.created', v_session.id, NULL, NULL, jsonb_build_object('title', v_session.title, 'parentId', p_turn.session_id)) END
    || event_of('task.created', v_session.id, v_task.id, NULL, jsonb_build_object('ordinal', v_task.ordinal))
    || CASE WHEN v_has_slot THEN '[]' ELSE event_of('task.waiting', v_session.id, v_task.id, NULL, '{"on": "slot"}')
         || state_event(v_session.id, v_task.id, 'waiting') END
    || CASE WHEN v_task.paused_at IS NULL THEN '[]' ELSE event_of('task.paused', v_session.id, v_task.id, NULL) END;
  RETURN nothing_around() || jsonb_build_object('call', spawned_call(v_known), 'new', CASE WHEN v_known.is_continued THEN 0 ELSE 1 END, 'opened', 1,
    'events', v_events, 'wakes', CASE WHEN v_has_slot THEN jsonb_build_array(wake_of(v_turn_id)) ELSE '[]' END);
END $$;

CREATE FUNCTION spawned_call(p_known delegation) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN jsonb_build_object('id', p_known.tool_call_id, 'childSessionId', p_known.child_session_id, 'childTaskId', p_known.child_task_id);
END $$;

-- Why no child may begin; null: one may. A session that is delegated to again counts no more.
CREATE FUNCTION refused_child(p_parent session, p_task task, p_root_task uuid, p_given jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_session session;
BEGIN
  IF p_given ? 'continues' THEN
    SELECT * INTO v_session FROM session WHERE id = (p_given->>'continues')::uuid AND parent_id = p_parent.id FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN 'child_not_found'; END IF;
    -- Read anew, under the lock that whoever gives it a task takes too.
    IF EXISTS (SELECT 1 FROM task WHERE session_id = v_session.id AND ended_at IS NULL) THEN RETURN 'child_unfinished'; END IF;
    -- An agent that works on the parent's own files may only read, whatever it did before.
    RETURN CASE WHEN (v_session.workspace_id = p_parent.workspace_id) <> (p_given->>'isolation' = 'shared') THEN 'child_isolation' END;
  END IF;
  IF p_parent.depth >= p_task.depth_limit THEN RETURN 'limit_depth'; END IF;
  IF (SELECT count(*) FROM delegation WHERE root_task_id = p_root_task AND NOT is_continued) >= p_task.child_limit THEN RETURN 'limit_children'; END IF;
  RETURN NULL;
END $$;

-- The person's task above a task, or itself.
CREATE FUNCTION root_task_of(p_task task) RETURNS uuid LANGUAGE sql STABLE AS $$
  WITH RECURSIVE above AS (
    SELECT p_task.id AS id, p_task.parent_task_id AS parent
    UNION ALL
    SELECT t.id, t.parent_task_id FROM above a JOIN task t ON t.id = a.parent)
  SELECT id FROM above WHERE parent IS NULL
$$;

-- What a child that goes on is merged from. Where its parent has all that it changed, it gets the parent's files of now; what was not taken over,
-- a person's work in its session too, it keeps.
CREATE FUNCTION continued_base(p_session session, p_files workspace) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_last delegation;
  v_taken text;
BEGIN
  SELECT * INTO v_last FROM delegation WHERE child_session_id = p_session.id ORDER BY created_at DESC LIMIT 1;
  v_taken := CASE WHEN v_last.is_merged THEN v_last.head ELSE v_last.base END;
  IF v_last.isolation = 'shared' OR v_taken IS DISTINCT FROM (SELECT head FROM workspace WHERE id = p_session.workspace_id) THEN RETURN v_taken; END IF;
  UPDATE workspace SET base = p_files.head, head = p_files.head WHERE id = p_session.workspace_id;
  RETURN p_files.head;
END $$;

-- Its files: the parent's own, or a copy of what is recorded of them. What was a person's own directory is no more in the copy.
CREATE FUNCTION child_session(p_parent session, p_files workspace, p_given jsonb) RETURNS session LANGUAGE plpgsql AS $$
DECLARE
  v_session session;
  v_workspace uuid := p_files.id;
  v_is_local boolean := p_files.kind = 'local';
BEGIN
  IF p_given->>'isolation' = 'fork' THEN
    v_workspace := (p_given#>>'{session,workspaceId}')::uuid;
    INSERT INTO workspace (id, team_id, kind, source, rules, project_servers, lineage, base, head)
    VALUES (v_workspace, p_files.team_id, CASE WHEN v_is_local THEN 'empty' ELSE p_files.kind END, CASE WHEN NOT v_is_local THEN p_files.source END,
            CASE WHEN v_is_local THEN nullif(p_given#>'{session,rules}', 'null') ELSE p_files.rules END, p_files.project_servers,
            p_files.lineage, p_files.head, p_files.head);
  END IF;
  INSERT INTO session (id, root_id, parent_id, depth, team_id, user_id, workspace_id, title)
  VALUES ((p_given#>>'{session,id}')::uuid, p_parent.root_id, p_parent.id, p_parent.depth + 1, p_parent.team_id, p_parent.user_id, v_workspace,
          p_given#>>'{session,title}')
  RETURNING * INTO v_session;
  RETURN v_session;
END $$;

-- At the account of the person's task; its own limits lie within.
CREATE FUNCTION child_task(p_session session, p_parent task, p_given jsonb, p_has_slot boolean) RETURNS task LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
BEGIN
  INSERT INTO task (id, session_id, root_id, team_id, user_id, ordinal, status, waiting_on, profile_hash, turn_limit, tree_turn_limit, token_limit,
                    usd_limit, seconds_limit, on_limit, answer_tokens, prices, child_limit, concurrent_limit, depth_limit, parent_task_id,
                    own_token_limit, own_usd_limit, result_schema, traceparent, paused_at)
  VALUES ((p_given->>'id')::uuid, p_session.id, p_session.root_id, p_session.team_id, p_session.user_id,
          (SELECT coalesce(max(ordinal), 0) + 1 FROM task WHERE session_id = p_session.id), CASE WHEN p_has_slot THEN 'queued' ELSE 'waiting' END,
          CASE WHEN NOT p_has_slot THEN 'slot' END, decode(p_given->>'profileHash', 'hex'), (p_given#>>'{limits,turns}')::int,
          p_parent.tree_turn_limit, p_parent.token_limit, p_parent.usd_limit, (p_given#>>'{limits,seconds}')::int, p_parent.on_limit,
          (p_given#>>'{reserve,answer}')::int, coalesce(nullif(p_given#>'{reserve,prices}', 'null'), p_parent.prices),
          p_parent.child_limit, p_parent.concurrent_limit, p_parent.depth_limit, p_parent.id, (p_given#>>'{limits,tokens}')::bigint,
          (p_given#>>'{limits,usd}')::numeric, nullif(p_given->'resultSchema', 'null'),
          coalesce(p_given->>'traceparent', p_parent.traceparent),
          CASE WHEN p_parent.paused_at IS NOT NULL THEN clock_timestamp() END)
  RETURNING * INTO v_task;
  INSERT INTO message (id, session_id, task_id, parts) VALUES ((p_given->>'messageId')::uuid, p_session.id, v_task.id, p_given->'parts');
  RETURN v_task;
END $$;
