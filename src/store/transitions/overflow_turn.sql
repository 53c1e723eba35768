-- overflow_turn: turn `running` → `failed`; the next one, a compaction, `queued`. Its request was too long for the model.
--
-- Guard: the attempt holds the turn, which has no answer. The task's turn limit does not count it. p_failure: {code, message, spent, note?}; spent:
-- the provider may have charged for the request, so the reservation is booked as spent; else it is released; note: see note_request.
-- Returns: {outcome: 'overflowed', wake, seq} | {outcome: 'ended', wake?, seq} where the task was cancelled meanwhile
--          | {outcome: 'repeated', wake?} | {outcome: 'fenced'}
-- Races: cancel locks the session first, as this does: it leaves a mark on the running turn, or ends the next one.
CREATE FUNCTION overflow_turn(p_turn uuid, p_attempt uuid, p_failure jsonb, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := lock_turn(p_turn);
  v_failure jsonb := p_failure - '{spent,note}'::text[];
  v_used record;
  v_events jsonb;
  v_ended jsonb;
  v_wake jsonb;
BEGIN
  IF v_turn.status IS DISTINCT FROM 'running' OR v_turn.attempt_id <> p_attempt THEN
    RETURN jsonb_build_object('outcome', CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt AND outcome = 'failed')
      THEN 'repeated' ELSE 'fenced' END, 'wake', wake_of(p_next_turn));
  END IF;
  IF v_turn.answer_position IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'fenced'); END IF;

  PERFORM end_attempt(p_attempt, 'failed', v_failure);
  v_used := book_unknown_usage(v_turn, p_attempt, (p_failure->>'spent')::boolean);
  IF (SELECT cancel_requested_at IS NOT NULL FROM task WHERE id = v_turn.task_id) THEN
    v_ended := end_turn_and_task(v_turn, '{"status": "cancelled"}', p_next_turn);
    v_events := v_ended->'events';
    v_wake := wake_of((v_ended->>'next')::uuid);
  ELSE
    v_turn.uncounted := v_turn.uncounted + 1;
    UPDATE turn SET status = 'failed', uncounted = v_turn.uncounted, attempt_id = NULL, tokens_reserved = 0, usd_reserved = 0, ended_at = clock_timestamp()
     WHERE id = p_turn;
    v_events := turn_event('turn.failed', v_turn, v_failure);
    v_wake := continue_task(v_turn, p_next_turn, 'compaction', v_turn.overflows + 1);
  END IF;
  IF p_failure ? 'note' THEN PERFORM note_request(p_attempt, p_failure->'note'); END IF;
  RETURN jsonb_build_object('outcome', CASE WHEN v_ended IS NULL THEN 'overflowed' ELSE 'ended' END, 'wake', v_wake,
    'seq', append_events(v_turn.root_id, v_events, v_used.tokens, -v_turn.tokens_reserved,
                         p_usd => v_used.usd, p_usd_reserved => -v_turn.usd_reserved)) || also_of(v_ended);
END $$;
