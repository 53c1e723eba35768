-- apply_results: tool calls `requested | started` → closed, each with its result as the log's next entry, in the given
-- (the model's) order. Inner step of record_results, park_turn, settle_turn and those that end a task.
--
-- The caller holds the turn. A result for a call that is closed already is passed over, so a repeat writes nothing; so is
-- one for a call that a person has still to allow, whoever claims to have run it.
-- p_results: [{id, status, parts, durationMs?, outputHash?}]. Returns the events.
CREATE FUNCTION apply_results(p_turn turn, p_results jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_result jsonb;
  v_call tool_call;
  v_position int;
  -- An array, since adding to a jsonb writes all of it anew.
  v_events jsonb[] := '{}';
BEGIN
  IF p_results = '[]' THEN RETURN '[]'; END IF;
  v_position := next_position(p_turn.session_id);
  FOR v_result IN SELECT value FROM jsonb_array_elements(p_results) LOOP
    UPDATE tool_call
       SET status = v_result->>'status', result_position = v_position, ended_at = clock_timestamp(),
           started_at = coalesce(started_at, clock_timestamp()), duration_ms = round((v_result->>'durationMs')::numeric),
           output_hash = decode(v_result->>'outputHash', 'hex')
     WHERE id = (v_result->>'id')::uuid AND turn_id = p_turn.id AND status IN ('requested', 'started')
    RETURNING * INTO v_call;
    CONTINUE WHEN NOT FOUND;
    INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts, call_id, status)
    VALUES (p_turn.session_id, v_position, p_turn.task_id, p_turn.id, 'tool_result', v_result->'parts', v_call.call_id, v_call.status);
    v_events := array_append(v_events, turn_event('tool.completed', p_turn, jsonb_build_object(
      'callId', v_call.call_id, 'ordinal', v_call.ordinal, 'name', v_call.name, 'status', v_call.status,
      'position', v_position, 'durationMs', v_call.duration_ms))->0);
    v_position := v_position + 1;
  END LOOP;
  RETURN to_jsonb(v_events);
END $$;

-- start_calls: tool calls `requested` → `started`: the intent, committed before the act (promise 3). Never one that was
-- denied.
CREATE FUNCTION start_calls(p_turn turn, p_calls jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_events jsonb;
BEGIN
  WITH started AS (
    UPDATE tool_call SET status = 'started', started_at = clock_timestamp()
     WHERE turn_id = p_turn.id AND status = 'requested' AND denial IS NULL
       AND id IN (SELECT value::uuid FROM jsonb_array_elements_text(p_calls))
    RETURNING *)
  SELECT jsonb_agg(turn_event('tool.started', p_turn, jsonb_build_object('callId', call_id, 'ordinal', ordinal, 'name', name))->0
                   ORDER BY ordinal)
    INTO v_events FROM started;
  RETURN coalesce(v_events, '[]');
END $$;
