-- end_task: any unfinished task → `succeeded` | `failed` | `cancelled`; the session's next task gets its first turn.
--
-- The caller holds session and task (and turn), and has ended the task's turn. Closes the task's open approvals, and its background
-- commands: their worker sees it, and ends them. Tasks that it delegated end with it; the one that delegated it has one wait fewer.
-- Returns: {events, next: turn id or null, also?: see `also`}; the caller appends the events.
CREATE FUNCTION end_task(p_task uuid, p_end jsonb, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_status text := p_end->>'status';
  v_error jsonb := '{}';
  v_events jsonb;
  v_around jsonb;
BEGIN
  UPDATE approval SET status = 'closed', resolved_at = clock_timestamp() WHERE task_id = p_task AND status = 'open';
  UPDATE task
     SET status = v_status, waiting_on = NULL, paused_at = NULL, ended_at = clock_timestamp(),
         error_code = CASE WHEN v_status = 'failed' THEN p_end->>'code' END,
         error_message = CASE WHEN v_status = 'failed' THEN p_end->>'message' END,
         result_position = CASE WHEN v_status = 'succeeded' THEN (p_end->>'resultPosition')::int END
   WHERE id = p_task
  RETURNING * INTO v_task;
  UPDATE background_process SET ended_at = clock_timestamp(), "end" = 'task'
   WHERE session_id = v_task.session_id AND task_id = p_task AND ended_at IS NULL;
  IF v_status = 'failed' THEN
    v_error := jsonb_build_object('code', v_task.error_code, 'message', v_task.error_message);
  END IF;
  v_events := CASE WHEN v_task.error_code LIKE 'limit\_%'
        THEN event_of('limit.reached', v_task.session_id, v_task.id, NULL, v_error) ELSE '[]' END
    || event_of('task.' || v_status, v_task.session_id, v_task.id, NULL, v_error)
    || state_event(v_task.session_id, v_task.id,
         CASE v_status WHEN 'succeeded' THEN 'completed' WHEN 'failed' THEN 'failed' ELSE 'idle' END);
  IF has_children(v_task.root_id) THEN
    v_around := joined(end_children(v_task.id, v_task.root_id), report_end(v_task));
    v_events := v_events || (v_around->'events');
  END IF;
  RETURN jsonb_build_object('events', v_events, 'next', start_turn(v_task.session_id, p_next_turn), 'also', also(v_around)->'also');
END $$;

CREATE FUNCTION state_event(p_session uuid, p_task uuid, p_state text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT event_of('agent.state_changed', p_session, p_task, NULL, jsonb_build_object('state', p_state))
$$;

-- Ends a turn together with its task: what cancel, a limit and a crash loop share.
-- Calls that are open get a result each, so that the log stays one that a model can be shown.
CREATE FUNCTION end_turn_and_task(p_turn turn, p_end jsonb, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_status text := CASE p_end->>'status' WHEN 'cancelled' THEN 'cancelled' ELSE 'failed' END;
  v_events jsonb := interrupt_calls(p_turn);
  v_ended jsonb;
BEGIN
  UPDATE turn SET status = v_status, attempt_id = NULL, tokens_reserved = 0, usd_reserved = 0, at_limit = NULL, for_slot = false, is_paused = false, due_at = NULL, open_waits = 0,
                  ended_at = clock_timestamp()
   WHERE id = p_turn.id;
  v_events := v_events || turn_event('turn.' || v_status, p_turn);
  v_ended := end_task(p_turn.task_id, p_end, p_next_turn);
  RETURN v_ended || jsonb_build_object('events', v_events || (v_ended->'events'));
END $$;

CREATE FUNCTION interrupt_calls(p_turn turn) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_results jsonb;
BEGIN
  UPDATE tool_call SET status = 'requested' WHERE turn_id = p_turn.id AND status = 'awaiting_approval';
  SELECT jsonb_agg(jsonb_build_object(
           'id', id,
           'status', CASE WHEN is_act THEN 'unknown' ELSE 'interrupted' END,
           'parts', jsonb_build_array(jsonb_build_object('type', 'text', 'text',
             CASE WHEN is_act THEN 'Outcome unknown: the task was ended while this call ran. Its effect may or may not have happened.'
               WHEN effect = 'delegate' AND status = 'started' THEN 'Not finished: the task was ended, and the delegated one with it.'
               ELSE 'Not run: the task was ended before this call.' END))) ORDER BY ordinal)
    INTO v_results
    FROM (SELECT *, status = 'started' AND effect IN ('workspace', 'external') AS is_act FROM tool_call
           WHERE turn_id = p_turn.id AND ended_at IS NULL) open;
  RETURN apply_results(p_turn, coalesce(v_results, '[]'));
END $$;
