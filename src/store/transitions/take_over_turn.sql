-- take_over_turn: turn `running` under a lost worker → `queued`, `ready` with a back-off, or `failed` with `crash_loop`. The first
-- time at once; the last when p_backoff_ms runs out. A task with a cancel mark ends `cancelled`.
--
-- Guard: p_attempt holds the turn, and its worker has ended, its lease has expired, or it gives the turn up itself
-- (p_own) after an error of its own. Skips a session, or a tree, that is locked: the lost worker may be writing at this moment, or
-- another sweeper is here.
-- The reservation of a request whose outcome nobody knows is booked as spent.
-- Returns: {outcome: 'taken_over', wake?, rootId, seq} | {outcome: 'skipped'}
-- Races: the lost worker's last write and this wait for the same turn; whichever is second finds the other's outcome. A
-- repeat is 'skipped' unless it started another task's turn: what it made `queued` is found by check_queued.
CREATE FUNCTION take_over_turn(p_turn uuid, p_attempt uuid, p_backoff_ms int[], p_next_turn uuid, p_own boolean)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
  v_events jsonb;
  v_ended jsonb;
  v_delay int;
  v_used record;
BEGIN
  IF NOT try_lock_tree((SELECT root_id FROM turn WHERE id = p_turn)) THEN RETURN jsonb_build_object('outcome', 'skipped'); END IF;
  PERFORM 1 FROM session WHERE id = (SELECT session_id FROM turn WHERE id = p_turn) FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'skipped'); END IF;
  v_turn := lock_turn(p_turn);
  IF v_turn.attempt_id IS DISTINCT FROM p_attempt OR (p_own OR attempt_is_lost(p_attempt)) IS NOT TRUE THEN
    RETURN coalesce('{"outcome": "taken_over"}' || started_by(p_next_turn), '{"outcome": "skipped"}');
  END IF;

  PERFORM end_attempt(p_attempt, 'lost');
  v_used := book_unknown_usage(v_turn, p_attempt, true);
  v_events := turn_event('turn.recovered', v_turn, jsonb_build_object('attemptId', p_attempt, 'takeovers', v_turn.takeovers + 1));
  v_delay := p_backoff_ms[v_turn.takeovers + 1];
  IF (SELECT cancel_requested_at IS NOT NULL FROM task WHERE id = v_turn.task_id) THEN
    v_ended := end_turn_and_task(v_turn, '{"status": "cancelled"}', p_next_turn);
  ELSIF v_delay IS NULL THEN
    v_ended := end_turn_and_task(v_turn, jsonb_build_object('status', 'failed', 'code', 'crash_loop', 'message', format(
      'Turn %s lost its worker %s times in a row without getting further. Look at the workers'' logs, then submit the task again.',
      v_turn.number, v_turn.takeovers + 1)), p_next_turn);
  ELSE
    UPDATE turn
       SET attempt_id = NULL, tokens_reserved = 0, usd_reserved = 0, takeovers = takeovers + 1,
           status = CASE v_delay WHEN 0 THEN 'queued' ELSE 'ready' END,
           wake = CASE v_delay WHEN 0 THEN wake + 1 ELSE wake END,
           checked_at = CASE v_delay WHEN 0 THEN clock_timestamp() END,
           due_at = CASE WHEN v_delay > 0 THEN clock_timestamp() + make_interval(secs => v_delay / 1000.0) END
     WHERE id = p_turn;
  END IF;
  RETURN jsonb_build_object('outcome', 'taken_over', 'rootId', v_turn.root_id,
    'wake', wake_of(coalesce((v_ended->>'next')::uuid, p_turn)),
    'seq', append_events(v_turn.root_id, v_events || coalesce(v_ended->'events', '[]'), v_used.tokens, -v_turn.tokens_reserved,
                         p_usd => v_used.usd, p_usd_reserved => -v_turn.usd_reserved)) || also_of(v_ended);
END $$;

CREATE FUNCTION attempt_is_lost(p_attempt uuid) RETURNS boolean LANGUAGE sql AS $$
  SELECT w.ended_at IS NOT NULL OR w.lease_expires_at < clock_timestamp()
    FROM attempt a JOIN worker w ON w.id = a.worker_id
   WHERE a.id = p_attempt AND a.ended_at IS NULL
$$;
