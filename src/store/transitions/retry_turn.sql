-- retry_turn: turn `running` → `ready` with a due time, task `running` → `waiting` on `retry`. The model request failed in
-- a way that may pass. No slot, connection or timer waits: the due time is a row, by the database's clock.
--
-- Guard: the attempt holds the turn. p_retry: {delayMs, failure, spent, retries?, route?, note?}; spent: the provider may have
-- charged for the request, so the reservation is booked as spent; else it is released. retries: what they are now, where that is
-- not one more; route: whom they went to; note: see note_request.
-- Returns: {outcome: 'retrying', seq} | {outcome: 'ended', wake?, seq} where the task was cancelled meanwhile
--          | {outcome: 'repeated', wake?} | {outcome: 'fenced'}
-- Races: cancel locks the session first, as this does: it ends a turn that is `ready`, and leaves a mark on a running one.
CREATE FUNCTION retry_turn(p_turn uuid, p_attempt uuid, p_retry jsonb, p_next_turn uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := lock_turn(p_turn);
  v_failure jsonb := p_retry->'failure';
  v_due timestamptz := clock_timestamp() + make_interval(secs => (p_retry->>'delayMs')::float8 / 1000);
  v_used record;
  v_events jsonb;
  v_ended jsonb;
BEGIN
  IF v_turn.status IS DISTINCT FROM 'running' OR v_turn.attempt_id <> p_attempt THEN
    RETURN jsonb_build_object('outcome', CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt AND outcome = 'retry')
      THEN 'repeated' ELSE 'fenced' END, 'wake', wake_of(p_next_turn));
  END IF;
  PERFORM end_attempt(p_attempt, 'retry', v_failure);
  v_used := book_unknown_usage(v_turn, p_attempt, (p_retry->>'spent')::boolean);
  IF (SELECT cancel_requested_at IS NOT NULL FROM task WHERE id = v_turn.task_id) THEN
    v_ended := end_turn_and_task(v_turn, '{"status": "cancelled"}', p_next_turn);
    v_events := v_ended->'events';
  ELSE
    UPDATE turn
       SET status = 'ready', attempt_id = NULL, tokens_reserved = 0, usd_reserved = 0, due_at = v_due,
           retries = coalesce((p_retry->>'retries')::int, retries + 1), route = coalesce(p_retry->'route', route)
     WHERE id = p_turn;
    UPDATE task SET status = 'waiting', waiting_on = 'retry' WHERE id = v_turn.task_id;
    v_events := turn_event('turn.retried', v_turn, v_failure || jsonb_build_object('dueAt', v_due))
      || event_of('task.waiting', v_turn.session_id, v_turn.task_id, NULL, jsonb_build_object('on', 'retry', 'dueAt', v_due))
      || state_event(v_turn.session_id, v_turn.task_id, 'waiting');
  END IF;
  IF p_retry ? 'note' THEN PERFORM note_request(p_attempt, p_retry->'note'); END IF;
  RETURN jsonb_build_object('outcome', CASE WHEN v_ended IS NULL THEN 'retrying' ELSE 'ended' END,
    'wake', wake_of((v_ended->>'next')::uuid), 'seq', append_events(v_turn.root_id, v_events, v_used.tokens, -v_turn.tokens_reserved,
                                                              p_usd => v_used.usd, p_usd_reserved => -v_turn.usd_reserved)) || also_of(v_ended);
END $$;
