-- claim_turn: turn `queued` → `running`, under a new attempt; task `queued | waiting` → `running`.
--
-- Guard: the turn is `queued` (any wake number: a job is only a wake-up), the worker's lease is alive, the limits allow
-- one more turn. Takes the task's waiting messages into the log while the turn has no answer. Reserves tokens on the tree
-- for the request to come: what the task's last one used, and p_reserve for the new answer.
-- Returns: {outcome: 'claimed' | 'repeated', turn: {...}, takenIn} | {outcome: 'moved_on' | 'worker_lost'}
--          | {outcome: 'ended', rootId, wake?, seq}: a limit was reached and the task failed.
-- Races: two workers with the same job: the second waits for the turn's lock and finds it running. Its worker's lease
-- expires meanwhile: the attempt is open under an ended worker, which the next sweep finds. A repeat that comes after
-- its attempt was taken over has moved on.
CREATE FUNCTION claim_turn(p_turn uuid, p_attempt uuid, p_worker uuid, p_reserve bigint, p_next_turn uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := lock_turn(p_turn);
  v_before task;
  v_task task;
  v_limit text;
  v_reserve bigint;
  v_events jsonb := '[]';
  v_taken int := 0;
  v_seq bigint;
BEGIN
  IF v_turn.status = 'running' AND v_turn.attempt_id = p_attempt THEN
    RETURN claimed_turn('repeated', v_turn, 0, (SELECT last_seq FROM tree WHERE root_id = v_turn.root_id));
  END IF;
  IF v_turn.id IS NULL OR v_turn.status <> 'queued' OR EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt) THEN
    RETURN coalesce('{"outcome": "ended"}' || started_by(p_next_turn), '{"outcome": "moved_on"}');
  END IF;
  IF NOT EXISTS (SELECT 1 FROM worker WHERE id = p_worker AND ended_at IS NULL AND lease_expires_at > clock_timestamp()) THEN
    RETURN jsonb_build_object('outcome', 'worker_lost');
  END IF;

  SELECT * INTO v_before FROM task WHERE id = v_turn.task_id;
  v_reserve := CASE WHEN v_turn.answer_position IS NULL
    THEN least(p_reserve + last_request(v_turn.task_id), 2147483647) ELSE 0 END;
  v_limit := reserve_turn(v_turn, v_before, v_reserve);
  IF v_limit IS NOT NULL THEN RETURN fail_at_limit(v_turn, v_limit, p_next_turn); END IF;

  INSERT INTO attempt (id, turn_id, worker_id, tokens_reserved) VALUES (p_attempt, p_turn, p_worker, v_reserve);
  IF v_turn.answer_position IS NULL THEN v_taken := take_in_messages(v_turn); END IF;
  UPDATE turn SET status = 'running', attempt_id = p_attempt, checked_at = NULL WHERE id = p_turn RETURNING * INTO v_turn;
  UPDATE task
     SET status = 'running', waiting_on = NULL, started_at = coalesce(started_at, clock_timestamp()),
         deadline_at = coalesce(deadline_at, clock_timestamp() + make_interval(secs => seconds_limit))
   WHERE id = v_turn.task_id
  RETURNING * INTO v_task;

  IF v_before.status = 'queued' THEN v_events := event_of('task.started', v_turn.session_id, v_task.id, NULL); END IF;
  IF v_before.status = 'waiting' THEN v_events := event_of('task.resumed', v_turn.session_id, v_task.id, NULL); END IF;
  v_events := v_events || turn_event('turn.started', v_turn, jsonb_build_object('attemptId', p_attempt))
    || state_event(v_turn.session_id, v_task.id, CASE WHEN v_turn.answer_position IS NULL THEN 'thinking' ELSE 'executing' END);
  v_seq := append_events(v_turn.root_id, v_events);
  RETURN claimed_turn('claimed', v_turn, v_taken, v_seq);
END $$;

-- Books one more turn and its tokens on the tree, or names the limit that forbids it. A turn is counted once, however
-- many attempts it takes.
CREATE FUNCTION reserve_turn(p_turn turn, p_task task, p_reserve bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_tree tree;
  v_first int := CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE turn_id = p_turn.id) THEN 0 ELSE 1 END;
BEGIN
  IF p_task.deadline_at < clock_timestamp() THEN RETURN 'seconds'; END IF;
  IF p_turn.number > p_task.turn_limit THEN RETURN 'turns'; END IF;
  SELECT * INTO v_tree FROM tree WHERE root_id = p_turn.root_id FOR NO KEY UPDATE;
  IF v_tree.turns + v_first > p_task.tree_turn_limit THEN RETURN 'tree_turns'; END IF;
  IF v_tree.tokens_used + v_tree.tokens_reserved + p_reserve > p_task.token_limit THEN RETURN 'tokens'; END IF;
  UPDATE tree SET turns = turns + v_first, tokens_reserved = tokens_reserved + p_reserve WHERE root_id = p_turn.root_id;
  RETURN NULL;
END $$;

-- Tokens of the task's last recorded request: the next one sends all of them again.
CREATE FUNCTION last_request(p_task uuid) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce((SELECT input::bigint + output FROM usage WHERE task_id = p_task AND outcome = 'recorded'
                    ORDER BY created_at DESC LIMIT 1), 0)
$$;

CREATE FUNCTION fail_at_limit(p_turn turn, p_limit text, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_ended jsonb := end_turn_and_task(p_turn, limit_end(p_turn.task_id, p_limit), p_next_turn);
BEGIN
  RETURN jsonb_build_object('outcome', 'ended', 'rootId', p_turn.root_id,
    'seq', append_events(p_turn.root_id, v_ended->'events'), 'wake', wake_of((v_ended->>'next')::uuid));
END $$;

-- How a task ends that reached a limit: {status, code, message}, the same words wherever it is noticed.
CREATE FUNCTION limit_end(p_task uuid, p_limit text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('status', 'failed', 'code', 'limit_' || p_limit, 'message', CASE p_limit
    WHEN 'turns' THEN format('The task used all of its %s turns. Give the next one a higher limit with --limit turns=N.', turn_limit)
    WHEN 'tree_turns' THEN format('The session used all of its %s turns. Give the next task a higher limit with --limit treeTurns=N.', tree_turn_limit)
    WHEN 'tokens' THEN format('The session reached its limit of %s tokens. Give the next task a higher limit with --limit tokens=N.', token_limit)
    ELSE format('The task reached its limit of %s seconds. Give the next one a higher limit with --limit seconds=N.', seconds_limit) END)
  FROM task WHERE id = p_task
$$;

CREATE FUNCTION take_in_messages(p_turn turn) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  v_first int := next_position(p_turn.session_id);
  v_count int;
BEGIN
  WITH waiting AS (
    SELECT id, v_first + row_number() OVER (ORDER BY created_at, id) - 1 AS position
      FROM message WHERE task_id = p_turn.task_id AND taken_position IS NULL
  ), taken AS (
    UPDATE message m SET taken_position = w.position FROM waiting w WHERE m.id = w.id
  )
  INSERT INTO entry (session_id, position, task_id, turn_id, kind, message_id)
  SELECT p_turn.session_id, position, p_turn.task_id, p_turn.id, 'user', id FROM waiting;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;

CREATE FUNCTION claimed_turn(p_outcome text, p_turn turn, p_taken int, p_seq bigint) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('outcome', p_outcome, 'takenIn', p_taken, 'seq', p_seq,
    'turn', jsonb_build_object(
      'id', p_turn.id, 'sessionId', p_turn.session_id, 'taskId', p_turn.task_id, 'rootId', p_turn.root_id,
      'teamId', t.team_id, 'number', p_turn.number, 'attemptId', p_turn.attempt_id, 'answerPosition', p_turn.answer_position,
      'openWaits', p_turn.open_waits, 'retries', p_turn.retries, 'profileHash', encode(t.profile_hash, 'hex'),
      'turnLimit', t.turn_limit, 'cancelRequested', t.cancel_requested_at IS NOT NULL,
      'secondsLeft', extract(epoch FROM t.deadline_at - clock_timestamp()),
      'workspace', jsonb_build_object('id', w.id, 'kind', w.kind, 'path', w.path)))
  FROM task t JOIN session s ON s.id = t.session_id JOIN workspace w ON w.id = s.workspace_id
  WHERE t.id = p_turn.task_id
$$;
