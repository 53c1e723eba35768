-- settle_turn: turn `running` → `done`; then the task's next turn `queued`, or the task's end and the session's next task.
-- With p_answer, as record_answer takes it, also the turn's answer, where nothing took time between the two.
--
-- Guard: the attempt holds the turn; it has its answer and every call is closed, or the task does not go on.
-- p_end: {kind: 'continue', added?} | {kind: 'finish', status, code?, message?, resultPosition?, spent?, note?}. The task's cancel mark overrides
-- both; untaken messages turn a success into one more turn; the turn limit turns one more turn into a failure. Where the task waits at limits,
-- instead of ending at its turns the next turn is `parked`, and at its deadline this one, as it is. added: tokens that the turn's results
-- will take in the next request. A request that
-- was broken off, by cancel or deadline, or that failed and may have been charged for (spent), is booked as spent: nobody
-- knows what it cost.
-- Returns: {outcome: 'settled', taskStatus, wake?, seq, also?} | {outcome: 'repeated', taskStatus, wake?} | {outcome: 'fenced'}
-- Races: cancel, a new message and a new task lock the session first, as this does: each comes wholly before or after.
CREATE FUNCTION settle_turn(p_turn uuid, p_attempt uuid, p_results jsonb, p_end jsonb, p_next_turn uuid, p_answer jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_locked record := lock_turn_and_task(p_turn);
  v_turn turn := v_locked.turn;
  v_task task := v_locked.task;
  v_events jsonb;
  v_ended jsonb;
  v_wake jsonb;
  v_open boolean;
  v_park text;
  v_given jsonb := p_end;
  v_spent boolean := coalesce((p_end->>'spent')::boolean, false);
  v_used bigint := 0;
  v_note jsonb := p_end->'note';
  v_usd numeric := 0;
  v_tokens_reserved bigint := v_turn.tokens_reserved;
  v_usd_reserved numeric := v_turn.usd_reserved;
  v_is_new boolean := p_answer IS NOT NULL AND v_turn.answer_position IS NULL;
  v_written record;
BEGIN
  IF v_turn.attempt_id IS DISTINCT FROM p_attempt THEN
    IF EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt AND outcome IN ('settled', 'cancelled', 'failed', 'parked')) THEN
      RETURN jsonb_build_object('outcome', 'repeated', 'taskStatus', v_task.status, 'wake', wake_of(p_next_turn));
    END IF;
    RETURN jsonb_build_object('outcome', 'fenced');
  END IF;

  IF v_is_new THEN
    v_written := write_answer(v_turn, p_attempt, p_answer);
    v_note := p_answer->'note';
    v_turn.answer_position := v_written.stands_at;
    v_turn.tokens_to_resend := v_written.tokens;
    v_turn.takeovers := 0;
    v_turn.retries := 0;
    v_used := v_written.tokens;
    v_usd := v_written.usd;
    v_events := v_written.events;
  END IF;
  v_events := coalesce(v_events, '[]') || apply_results(v_turn, p_results);
  v_open := v_turn.answer_position IS NULL OR EXISTS (SELECT 1 FROM tool_call WHERE turn_id = p_turn AND ended_at IS NULL);
  p_end := settled_end(v_task, p_end, v_turn, v_open);
  v_park := limit_to_wait_at(v_task, p_end, v_open);
  PERFORM end_attempt(p_attempt, CASE WHEN v_park = 'seconds' THEN 'parked' WHEN v_park = 'turns' THEN 'settled'
    WHEN p_end->>'status' IN ('cancelled', 'failed') THEN p_end->>'status' ELSE 'settled' END);
  IF v_turn.answer_position IS NULL AND (v_spent OR p_end->>'status' = 'cancelled' OR p_end->>'code' = 'limit_seconds') THEN
    SELECT * INTO v_used, v_usd FROM book_unknown_usage(v_turn, p_attempt, true);
  END IF;
  IF v_open OR v_park = 'seconds' THEN
    UPDATE turn
       SET answer_position = v_turn.answer_position, tokens_reserved = 0, usd_reserved = 0, tokens_to_resend = v_turn.tokens_to_resend
     WHERE id = p_turn AND v_is_new;
    IF v_park IS NULL THEN v_ended := end_turn_and_task(v_turn, p_end, p_next_turn);
    ELSE v_events := v_events || park_at_limit(v_turn, v_task, v_park); END IF;
  ELSE
    UPDATE turn
       SET status = 'done', attempt_id = NULL, ended_at = clock_timestamp(), answer_position = v_turn.answer_position,
           takeovers = v_turn.takeovers, retries = v_turn.retries, tokens_reserved = 0, usd_reserved = 0,
           tokens_to_resend = v_turn.tokens_to_resend
     WHERE id = p_turn;
    v_events := v_events || turn_event('turn.completed', v_turn);
    v_turn.tokens_to_resend := v_turn.tokens_to_resend + coalesce((v_given->>'added')::bigint, 0);
    IF v_park IS NOT NULL THEN v_events := v_events || park_at_limit(next_turn_of(v_turn, p_next_turn), v_task, v_park);
    ELSIF p_end->>'kind' = 'finish' THEN v_ended := end_task(v_task.id, p_end, p_next_turn);
    ELSE v_wake := continue_task(v_turn, p_next_turn); END IF;
  END IF;
  IF v_ended IS NOT NULL THEN
    v_events := v_events || (v_ended->'events');
    v_wake := wake_of((v_ended->>'next')::uuid);
  END IF;
  IF v_note IS NOT NULL THEN PERFORM note_request(p_attempt, v_note); END IF;
  RETURN jsonb_build_object('outcome', 'settled', 'wake', v_wake,
    'taskStatus', CASE WHEN v_park IS NOT NULL THEN 'waiting' ELSE coalesce(p_end->>'status', v_task.status) END,
    'seq', append_events(v_turn.root_id, v_events, v_used, -v_tokens_reserved, p_usd => v_usd, p_usd_reserved => -v_usd_reserved)) || also_of(v_ended);
END $$;

-- What a settling turn leads to, once what happened meanwhile is taken into account. p_open: it lacks its answer or a result.
CREATE FUNCTION settled_end(p_task task, p_end jsonb, p_turn turn, p_open boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF p_task.cancel_requested_at IS NOT NULL THEN RETURN jsonb_build_object('kind', 'finish', 'status', 'cancelled'); END IF;
  IF p_end->>'status' = 'succeeded' AND EXISTS (SELECT 1 FROM message WHERE task_id = p_task.id AND taken_position IS NULL) THEN
    p_end := jsonb_build_object('kind', 'continue');
  END IF;
  IF p_open AND p_end->>'status' IS DISTINCT FROM 'failed' AND p_end->>'status' IS DISTINCT FROM 'cancelled' THEN
    RAISE EXCEPTION 'turn % cannot settle: it has open calls or no answer', p_turn.id;
  END IF;
  IF p_end->>'kind' = 'continue' AND p_turn.number - p_turn.uncounted >= p_task.turn_limit THEN
    RETURN jsonb_build_object('kind', 'finish') || limit_end(p_task.id, 'turns');
  END IF;
  RETURN p_end;
END $$;

-- The limit at which a task waits instead of ending there; null: it does not wait, or its end is another. More turns it wants once this one is complete.
CREATE FUNCTION limit_to_wait_at(p_task task, p_end jsonb, p_open boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF p_task.on_limit <> 'park' OR p_task.parent_task_id IS NOT NULL THEN RETURN NULL; END IF;
  RETURN CASE p_end->>'code' WHEN 'limit_seconds' THEN 'seconds' WHEN 'limit_turns' THEN CASE WHEN NOT p_open THEN 'turns' END END;
END $$;

-- end_attempt: attempt open → ended.
CREATE FUNCTION end_attempt(p_attempt uuid, p_outcome text, p_failure jsonb DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE attempt SET outcome = p_outcome, failure = p_failure, ended_at = clock_timestamp() WHERE id = p_attempt AND ended_at IS NULL;
END $$;
