-- record_answer: turn `running` → `running` with its answer: the paid answer, its usage and its judged calls become
-- durable, in one commit.
--
-- Guard: the attempt holds the turn and the turn has no answer yet. The turn is not advanced, so a task that was
-- cancelled meanwhile may still record what it paid for.
-- p_answer: {before: [{kind, parts, noted?}], parts, stopReason, usage: {model, input, output, cached, cacheWritten?, reasoning, latencyMs,
--   firstTokenMs, estimated?, prices?: the provider's of now}, calls: [{id, ordinal, callId, name, effect, status: 'requested' | 'started' | 'awaiting_approval',
--   denial?, approvalId?, always?: {kind, value}, approvalSeconds?}], ended?: [{id, end}], note?}; `started` only for calls that change
--   something and run at once; ended: background commands of whose end `before` tells; note: see note_request.
-- Returns: {outcome: 'recorded' | 'repeated', answerPosition, seq} | {outcome: 'fenced'}
-- Races: the connection drops during COMMIT: the repeat finds the answer there and returns the first outcome.
CREATE FUNCTION record_answer(p_turn uuid, p_attempt uuid, p_answer jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := fence(p_turn, p_attempt);
  v_written record;
BEGIN
  IF v_turn.id IS NULL THEN RETURN jsonb_build_object('outcome', 'fenced'); END IF;
  IF v_turn.answer_position IS NOT NULL THEN
    RETURN jsonb_build_object('outcome', 'repeated', 'answerPosition', v_turn.answer_position);
  END IF;
  v_written := write_answer(v_turn, p_attempt, p_answer);
  UPDATE turn
     SET answer_position = v_written.stands_at, takeovers = 0, retries = 0, open_waits = v_written.waits, tokens_reserved = 0, usd_reserved = 0,
         tokens_to_resend = v_written.tokens
   WHERE id = v_turn.id;
  IF p_answer ? 'note' THEN PERFORM note_request(p_attempt, p_answer->'note'); END IF;
  RETURN jsonb_build_object('outcome', 'recorded', 'answerPosition', v_written.stands_at,
    'seq', append_events(v_turn.root_id, v_written.events, v_written.tokens, -v_turn.tokens_reserved,
                         p_usd => v_written.usd, p_usd_reserved => -v_turn.usd_reserved));
END $$;

-- write_answer: everything that an answer leads to but the turn's own row and the tree's, which the caller writes. Returns
-- where it stands in the log, how many of its calls await a person, what it used and cost (0 where nobody knows), and the events.
CREATE FUNCTION write_answer(p_turn turn, p_attempt uuid, p_answer jsonb, OUT stands_at int, OUT waits int, OUT tokens bigint,
                             OUT usd numeric, OUT events jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  v_used record;
  v_calls jsonb := p_answer->'calls';
BEGIN
  IF p_answer->'before' <> '[]' THEN
    INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts, noted)
    SELECT p_turn.session_id, next_position(p_turn.session_id) - 1 + b.ordinal, p_turn.task_id, p_turn.id, b.body->>'kind', b.body->'parts',
           b.body->'noted'
      FROM jsonb_array_elements(p_answer->'before') WITH ORDINALITY AS b(body, ordinal);
    IF p_answer ? 'ended' THEN PERFORM end_processes(p_turn, p_answer->'ended'); END IF;
  END IF;
  INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts, stop_reason, noted)
  VALUES (p_turn.session_id, next_position(p_turn.session_id), p_turn.task_id, p_turn.id, 'assistant', p_answer->'parts', p_answer->>'stopReason',
          jsonb_build_object('input', p_answer->'usage'->'input'))
  RETURNING position INTO stands_at;
  waits := CASE WHEN v_calls = '[]' THEN 0 ELSE open_calls(p_turn, v_calls) END;
  v_used := write_usage(p_turn, p_attempt, p_answer->'usage');
  tokens := v_used.tokens;
  usd := v_used.usd;
  events := turn_event('message.completed', p_turn, jsonb_build_object('position', stands_at))
    || v_used.event || call_events(p_turn, v_calls);
END $$;

-- Writes what a request that was answered has used. Returns its tokens, what it cost (0 where nobody knows), and the event.
CREATE FUNCTION write_usage(p_turn turn, p_attempt uuid, p_usage jsonb, OUT tokens bigint, OUT usd numeric, OUT event jsonb)
LANGUAGE plpgsql AS $$
DECLARE
  v_prices jsonb := nullif(p_usage->'prices', 'null');
  v_cost numeric := cost_of(v_prices, p_usage);
BEGIN
  tokens := (p_usage->>'input')::bigint + (p_usage->>'output')::bigint;
  usd := coalesce(v_cost, 0);
  event := turn_event('usage.recorded', p_turn, (p_usage - 'prices') || jsonb_build_object('usd', trim_scale(v_cost)::text));
  INSERT INTO usage (attempt_id, team_id, user_id, root_id, session_id, task_id, turn_id, outcome, model, input, output, cached, cache_written,
                     reasoning, usd, prices, latency_ms, first_token_ms)
  SELECT p_attempt, team_id, user_id, p_turn.root_id, p_turn.session_id, p_turn.task_id, p_turn.id,
         CASE WHEN (p_usage->>'estimated')::boolean THEN 'estimated' ELSE 'recorded' END, p_usage->>'model',
         (p_usage->>'input')::int, (p_usage->>'output')::int, (p_usage->>'cached')::int, coalesce((p_usage->>'cacheWritten')::int, 0),
         (p_usage->>'reasoning')::int, v_cost, v_prices, round((p_usage->>'latencyMs')::numeric), round((p_usage->>'firstTokenMs')::numeric)
    FROM task WHERE id = p_turn.task_id;
END $$;

-- Writes the calls of an answer, with an approval for each that awaits one. Returns how many do.
CREATE FUNCTION open_calls(p_turn turn, p_calls jsonb) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  v_waits int;
BEGIN
  INSERT INTO tool_call (id, session_id, task_id, turn_id, ordinal, call_id, name, effect, status, denial, started_at)
  SELECT c.id, p_turn.session_id, p_turn.task_id, p_turn.id, c.ordinal, c."callId", c.name, c.effect, c.status, c.denial,
         CASE c.status WHEN 'started' THEN clock_timestamp() END
    FROM jsonb_to_recordset(p_calls)
      AS c(id uuid, ordinal int, "callId" text, name text, effect text, status text, denial text);
  IF NOT p_calls @> '[{"status": "awaiting_approval"}]' THEN RETURN 0; END IF;
  INSERT INTO approval (id, root_id, session_id, task_id, turn_id, tool_call_id, status, always, expires_at)
  SELECT c."approvalId", p_turn.root_id, p_turn.session_id, p_turn.task_id, p_turn.id, c.id, 'open', c.always,
         clock_timestamp() + make_interval(secs => c."approvalSeconds")
    FROM jsonb_to_recordset(p_calls) AS c(id uuid, status text, "approvalId" uuid, always jsonb, "approvalSeconds" float8)
   WHERE c.status = 'awaiting_approval';
  GET DIAGNOSTICS v_waits = ROW_COUNT;
  RETURN v_waits;
END $$;

-- What is to be told of an answer's calls: first what was asked for, then what becomes of it at once.
CREATE FUNCTION call_events(p_turn turn, p_calls jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_call jsonb;
  v_data jsonb;
  -- Arrays, since adding to a jsonb writes all of it anew.
  v_requested jsonb[] := '{}';
  v_next jsonb[] := '{}';
BEGIN
  IF p_calls = '[]' THEN RETURN '[]'; END IF;
  FOR v_call IN SELECT value FROM jsonb_array_elements(p_calls) LOOP
    v_data := jsonb_build_object('callId', v_call->>'callId', 'ordinal', (v_call->>'ordinal')::int, 'name', v_call->>'name');
    v_requested := array_append(v_requested, turn_event('tool.requested', p_turn, v_data)->0);
    IF v_call->>'status' = 'started' THEN
      v_next := array_append(v_next, turn_event('tool.started', p_turn, v_data)->0);
    ELSIF v_call->>'status' = 'awaiting_approval' THEN
      v_next := array_append(v_next, turn_event('approval.requested', p_turn,
        v_data || jsonb_build_object('approvalId', v_call->>'approvalId', 'tool', v_call->>'name'))->0);
    END IF;
  END LOOP;
  RETURN to_jsonb(v_requested || v_next) || state_event(p_turn.session_id, p_turn.task_id, 'executing');
END $$;
