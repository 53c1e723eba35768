-- record_answer: turn `running` → `running` with its answer: the paid answer, its usage and its judged calls become
-- durable, in one commit.
--
-- Guard: the attempt holds the turn and the turn has no answer yet. The turn is not advanced, so a task that was
-- cancelled meanwhile may still record what it paid for.
-- p_answer: {before: [{kind, parts}], parts, stopReason, usage: {model, input, output, cached, reasoning, latencyMs,
--   firstTokenMs}, calls: [{id, ordinal, callId, name, effect, status: 'requested' | 'started' | 'awaiting_approval',
--   denial?, approvalId?}]}; `started` only for calls that change something and run at once.
-- Returns: {outcome: 'recorded' | 'repeated', answerPosition, seq} | {outcome: 'fenced'}
-- Races: the connection drops during COMMIT: the repeat finds the answer there and returns the first outcome.
CREATE FUNCTION record_answer(p_turn uuid, p_attempt uuid, p_answer jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
  v_position int;
  v_reserved bigint;
  v_events jsonb;
  v_usage jsonb := p_answer->'usage';
BEGIN
  SELECT * INTO v_turn FROM fence(p_turn, p_attempt);
  IF v_turn.id IS NULL THEN RETURN jsonb_build_object('outcome', 'fenced'); END IF;
  IF v_turn.answer_position IS NOT NULL THEN
    RETURN jsonb_build_object('outcome', 'repeated', 'answerPosition', v_turn.answer_position);
  END IF;

  v_position := next_position(v_turn.session_id) + jsonb_array_length(p_answer->'before');
  INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts)
  SELECT v_turn.session_id, v_position - jsonb_array_length(p_answer->'before') + b.ordinal - 1, v_turn.task_id, v_turn.id,
         b.body->>'kind', b.body->'parts'
    FROM jsonb_array_elements(p_answer->'before') WITH ORDINALITY AS b(body, ordinal);
  INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts, stop_reason)
  VALUES (v_turn.session_id, v_position, v_turn.task_id, v_turn.id, 'assistant', p_answer->'parts', p_answer->>'stopReason');

  v_events := turn_event('message.completed', v_turn, jsonb_build_object('position', v_position))
    || turn_event('usage.recorded', v_turn, v_usage) || open_calls(v_turn, p_answer->'calls');
  UPDATE turn
     SET answer_position = v_position, takeovers = 0, retries = 0,
         open_waits = (SELECT count(*) FROM approval WHERE turn_id = v_turn.id AND status = 'open')
   WHERE id = v_turn.id;
  UPDATE attempt a SET tokens_reserved = 0 FROM attempt old WHERE a.id = p_attempt AND old.id = a.id
  RETURNING old.tokens_reserved INTO v_reserved;
  INSERT INTO usage (attempt_id, root_id, session_id, task_id, turn_id, outcome, model, input, output, cached, reasoning,
                     latency_ms, first_token_ms)
  VALUES (p_attempt, v_turn.root_id, v_turn.session_id, v_turn.task_id, v_turn.id, 'recorded', v_usage->>'model',
          (v_usage->>'input')::int, (v_usage->>'output')::int, (v_usage->>'cached')::int, (v_usage->>'reasoning')::int,
          round((v_usage->>'latencyMs')::numeric), round((v_usage->>'firstTokenMs')::numeric));
  RETURN jsonb_build_object('outcome', 'recorded', 'answerPosition', v_position, 'seq',
    append_events(v_turn.root_id, v_events, (v_usage->>'input')::bigint + (v_usage->>'output')::bigint, -v_reserved));
END $$;

CREATE FUNCTION open_calls(p_turn turn, p_calls jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_call jsonb;
  v_data jsonb;
  v_events jsonb := '[]';
  v_started jsonb := '[]';
BEGIN
  FOR v_call IN SELECT value FROM jsonb_array_elements(p_calls) LOOP
    INSERT INTO tool_call (id, session_id, task_id, turn_id, ordinal, call_id, name, effect, status, denial, started_at)
    VALUES ((v_call->>'id')::uuid, p_turn.session_id, p_turn.task_id, p_turn.id, (v_call->>'ordinal')::int, v_call->>'callId',
            v_call->>'name', v_call->>'effect', v_call->>'status', v_call->>'denial',
            CASE WHEN v_call->>'status' = 'started' THEN clock_timestamp() END);
    v_data := jsonb_build_object('callId', v_call->>'callId', 'ordinal', (v_call->>'ordinal')::int, 'name', v_call->>'name');
    v_events := v_events || turn_event('tool.requested', p_turn, v_data);
    IF v_call->>'status' = 'started' THEN
      v_started := v_started || turn_event('tool.started', p_turn, v_data);
    ELSIF v_call->>'status' = 'awaiting_approval' THEN
      INSERT INTO approval (id, root_id, session_id, task_id, turn_id, tool_call_id, status)
      VALUES ((v_call->>'approvalId')::uuid, p_turn.root_id, p_turn.session_id, p_turn.task_id, p_turn.id,
              (v_call->>'id')::uuid, 'open');
      v_started := v_started || turn_event('approval.requested', p_turn,
        v_data || jsonb_build_object('approvalId', v_call->>'approvalId', 'tool', v_call->>'name'));
    END IF;
  END LOOP;
  IF jsonb_array_length(p_calls) > 0 THEN
    v_started := v_started || state_event(p_turn.session_id, p_turn.task_id, 'executing');
  END IF;
  RETURN v_events || v_started;
END $$;
