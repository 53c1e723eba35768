-- hand_back_turn: turn `running` → `queued` under the next wake number. Its worker stops politely; what it has finished is
-- kept, and the stop does not count as a takeover.
--
-- Guard: the attempt holds the turn. Calls that were started and have no result stay `started`: the next attempt tells
-- the model what is unknown, and which background commands ended with their worker. p_spent: a request was sent and broken off, so the reservation is booked as spent (nobody knows
-- what it cost); else it is released.
-- Returns: {outcome: 'handed_back', wake, seq} | {outcome: 'repeated', wake?} | {outcome: 'fenced'}
-- Races: a task that was cancelled meanwhile ends here instead, since nobody else would settle it: outcome 'handed_back'
-- with the next task's wake, if there is one.
CREATE FUNCTION hand_back_turn(p_turn uuid, p_attempt uuid, p_results jsonb, p_spent boolean, p_next_turn uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := lock_turn(p_turn);
  v_events jsonb;
  v_ended jsonb;
  v_used record;
BEGIN
  IF v_turn.status IS DISTINCT FROM 'running' OR v_turn.attempt_id <> p_attempt THEN
    IF EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt AND outcome IN ('drained', 'cancelled')) THEN
      RETURN jsonb_build_object('outcome', 'repeated', 'wake', coalesce(wake_of(p_turn), wake_of(p_next_turn)));
    END IF;
    RETURN jsonb_build_object('outcome', 'fenced');
  END IF;
  v_events := apply_results(v_turn, p_results);
  IF (SELECT cancel_requested_at IS NOT NULL FROM task WHERE id = v_turn.task_id) THEN
    PERFORM end_attempt(p_attempt, 'cancelled');
    v_ended := end_turn_and_task(v_turn, '{"status": "cancelled"}', p_next_turn);
    v_events := v_events || (v_ended->'events');
  ELSE
    PERFORM end_attempt(p_attempt, 'drained');
    UPDATE turn SET status = 'queued', attempt_id = NULL, tokens_reserved = 0, usd_reserved = 0, wake = wake + 1, checked_at = clock_timestamp() WHERE id = p_turn;
    UPDATE background_process SET worker_id = NULL WHERE session_id = v_turn.session_id AND ended_at IS NULL;
  END IF;
  v_used := book_unknown_usage(v_turn, p_attempt, p_spent);
  RETURN jsonb_build_object('outcome', 'handed_back', 'rootId', v_turn.root_id,
    'wake', wake_of(coalesce((v_ended->>'next')::uuid, p_turn)),
    'seq', append_events(v_turn.root_id, v_events, v_used.tokens, -v_turn.tokens_reserved,
                         p_usd => v_used.usd, p_usd_reserved => -v_turn.usd_reserved)) || also_of(v_ended);
END $$;
