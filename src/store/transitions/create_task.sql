-- create_task: nothing → task `queued`, with its first turn `queued` where the session is free.
--
-- Guard: the session exists, is the team's and is not archived. Creates the session, its workspace and tree where
-- `p_session` carries a workspace.
-- Returns: {outcome: 'created' | 'repeated', taskId, sessionId, rootId, wake?: {turnId, wake}, seq?}
--          | {outcome: 'idempotency_conflict' | 'task_deleted' | 'session_not_found' | 'session_archived' | 'session_shared'}
-- Races: a second request with the same idempotency key waits for the first one's commit, then repeats its answer; so
-- does a repeat whose first try still runs in Postgres, on the new workspace's key or on the session. A turn that
-- settles locks the same session row: either it sees this task and starts it, or this one finds it gone.
CREATE FUNCTION create_task(p_team uuid, p_user uuid, p_session jsonb, p_task jsonb, p_idempotency jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN add_task(p_team, p_user, p_session, p_task, p_idempotency);
END $$;

-- The same, for the transitions that make a task beside something else, under their own search_path.
CREATE FUNCTION add_task(p_team uuid, p_user uuid, p_session jsonb, p_task jsonb, p_idempotency jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_session session;
  v_task task;
  v_key idempotency_key;
  v_events jsonb := '[]';
  v_seq bigint;
  v_turn uuid;
  v_repeat jsonb := repeated_task((p_task->>'id')::uuid);
BEGIN
  IF v_repeat IS NOT NULL THEN RETURN v_repeat; END IF;

  IF p_idempotency IS NOT NULL THEN
    INSERT INTO idempotency_key AS k (team_id, key, request_hash, task_id)
    VALUES (p_team, p_idempotency->>'key', decode(p_idempotency->>'requestHash', 'hex'), (p_task->>'id')::uuid)
    ON CONFLICT (team_id, key) DO UPDATE SET request_hash = excluded.request_hash, task_id = excluded.task_id, created_at = clock_timestamp()
     WHERE k.created_at < clock_timestamp() - idempotency_time();
    IF NOT FOUND THEN
      SELECT * INTO v_key FROM idempotency_key WHERE team_id = p_team AND key = p_idempotency->>'key';
      IF v_key.request_hash <> decode(p_idempotency->>'requestHash', 'hex') THEN
        RETURN jsonb_build_object('outcome', 'idempotency_conflict');
      END IF;
      RETURN coalesce(repeated_task(v_key.task_id), '{"outcome": "task_deleted"}');
    END IF;
  END IF;

  IF p_session ? 'workspace' THEN
    INSERT INTO workspace (id, team_id, kind, path, source, project_servers, lineage, base, head)
    SELECT w.id, p_team, w.kind, w.path, w.source, w."projectServers", coalesce(w.lineage, (p_session->>'id')::uuid), w.base, w.base
      FROM jsonb_to_record(p_session->'workspace')
        AS w (id uuid, kind text, path text, source jsonb, "projectServers" jsonb, lineage uuid, base text)
    ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN RETURN repeated_task((p_task->>'id')::uuid); END IF;
    INSERT INTO session (id, root_id, team_id, user_id, workspace_id, title)
    VALUES ((p_session->>'id')::uuid, (p_session->>'id')::uuid, p_team, p_user, (p_session#>>'{workspace,id}')::uuid,
            p_session->>'title')
    RETURNING * INTO v_session;
    INSERT INTO tree (root_id) VALUES (v_session.root_id);
    v_events := event_of('session.created', v_session.id, NULL, NULL, jsonb_build_object('title', v_session.title));
  ELSE
    SELECT * INTO v_session FROM session
     WHERE id = (p_session->>'id')::uuid AND team_id = p_team FOR NO KEY UPDATE;
    IF NOT FOUND OR v_session.archived_at IS NOT NULL OR shares_files(v_session) THEN
      DELETE FROM idempotency_key WHERE team_id = p_team AND key = p_idempotency->>'key';
      RETURN jsonb_build_object('outcome', CASE WHEN v_session.id IS NULL THEN 'session_not_found'
        WHEN v_session.archived_at IS NOT NULL THEN 'session_archived' ELSE 'session_shared' END);
    END IF;
    v_repeat := repeated_task((p_task->>'id')::uuid);
    IF v_repeat IS NOT NULL THEN RETURN v_repeat; END IF;
  END IF;

  INSERT INTO profile (hash, body)
  SELECT decode(p.hash, 'hex'), p.body
    FROM jsonb_to_recordset(coalesce(nullif(p_task->'delegates', 'null'), '[]') || jsonb_build_object('hash', p_task->'profileHash', 'body', p_task->'profile'))
      AS p(hash text, body jsonb)
  ON CONFLICT DO NOTHING;
  INSERT INTO task (id, session_id, root_id, team_id, user_id, ordinal, status, profile_hash, turn_limit, tree_turn_limit,
                    token_limit, usd_limit, seconds_limit, on_limit, answer_tokens, prices, child_limit, concurrent_limit, depth_limit, metadata, webhook_url,
                    traceparent, schedule_id)
  VALUES ((p_task->>'id')::uuid, v_session.id, v_session.root_id, p_team, p_user,
          (SELECT coalesce(max(ordinal), 0) + 1 FROM task WHERE session_id = v_session.id), 'queued',
          decode(p_task->>'profileHash', 'hex'), (p_task#>>'{limits,turns}')::int, (p_task#>>'{limits,treeTurns}')::int,
          (p_task#>>'{limits,tokens}')::bigint, (p_task#>>'{limits,usd}')::numeric, (p_task#>>'{limits,seconds}')::int,
          coalesce(p_task#>>'{limits,onLimit}', 'fail'), (p_task#>>'{reserve,answer}')::int, nullif(p_task#>'{reserve,prices}', 'null'),
          coalesce((p_task#>>'{limits,children}')::int, 0), coalesce((p_task#>>'{limits,concurrentChildren}')::int, 0),
          coalesce((p_task#>>'{limits,depth}')::int, 0), p_task->'metadata', p_task->>'webhookUrl', p_task->>'traceparent',
          (p_task->>'scheduleId')::uuid)
  RETURNING * INTO v_task;
  INSERT INTO message (id, session_id, task_id, user_id, parts)
  VALUES ((p_task->>'messageId')::uuid, v_session.id, v_task.id, p_user, p_task->'parts');

  v_turn := start_turn(v_session.id, (p_task->>'turnId')::uuid);
  v_events := v_events || event_of('task.created', v_session.id, v_task.id, NULL, jsonb_build_object('ordinal', v_task.ordinal));
  v_seq := append_events(v_session.root_id, v_events);
  RETURN created_task('created', v_task) || jsonb_build_object('seq', v_seq, 'wake', wake_of(v_turn));
END $$;

-- Whether a session's files are those of the one that delegated to it: nobody may change them here, since that one may be at work on them.
CREATE FUNCTION shares_files(p_session session) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN p_session.parent_id IS NOT NULL AND p_session.workspace_id = (SELECT workspace_id FROM session WHERE id = p_session.parent_id);
END $$;

-- The first answer again, with the wake-up of the task's turn where that still waits. Null: there is no such task.
CREATE FUNCTION repeated_task(p_task uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT created_task('repeated', t) || jsonb_build_object('wake',
                   (SELECT wake_of(id) FROM turn WHERE task_id = t.id AND status = 'queued'))
            FROM task t WHERE t.id = p_task);
END $$;

CREATE FUNCTION created_task(p_outcome text, p_task task) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('outcome', p_outcome, 'taskId', p_task.id, 'sessionId', p_task.session_id, 'rootId', p_task.root_id)
$$;

-- How long an idempotency key stands for what it was first sent with.
CREATE FUNCTION idempotency_time() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '24 hours' $$;
