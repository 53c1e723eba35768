-- claim_turn: turn `queued` → `running`, under a new attempt; task `queued | waiting` → `running`.
--
-- Guard: the turn is `queued` (any wake number: a job is only a wake-up), the limits allow one more turn, the worker's
-- lease is alive. Takes the task's waiting messages into the log while the turn has no answer. Reserves tokens and money on the
-- tree for the request to come: what the turn before made of it, and for the answer as many as its task says, else p_reserve.
-- Pinned: another worker that is alive runs commands of the session in the background, and the turn is for that one. Of a worker
-- that is not, they are lost with it: they are nobody's from now on, and this one tells the model.
-- p_lease_ms: a lease; nobody's has run out before Postgres has been up for so long.
-- p_known: the worker knows the session's log up to this position. entries: what it does not know, where that is not much.
-- Returns: {outcome: 'claimed' | 'repeated', turn: {...}, takenIn, seq, entries: [...] | null}
--          | {outcome: 'moved_on' | 'worker_lost'} | {outcome: 'pinned', workerId, rootId}
--          | {outcome: 'ended' | 'parked', rootId, wake?, seq}: a limit was reached, and the task failed, or waits on `budget`; or it is paused.
-- Races: two workers with the same job: the second waits for the turn's lock and finds it running. Its worker's lease
-- expires meanwhile: the attempt is open under an ended worker, which the next sweep finds. A repeat that comes after
-- its attempt was taken over has moved on.
CREATE FUNCTION claim_turn(p_turn uuid, p_attempt uuid, p_worker uuid, p_reserve bigint, p_next_turn uuid, p_known int, p_lease_ms int)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_locked record := lock_turn_and_task(p_turn);
  v_turn turn := v_locked.turn;
  v_task task := v_locked.task;
  v_limit text;
  v_answer bigint;
  v_reserve bigint := 0;
  v_usd numeric := 0;
  v_first int;
  v_taken int := 0;
  v_pinned uuid;
  v_has_processes boolean;
  v_events jsonb := '[]';
BEGIN
  IF v_turn.status = 'running' AND v_turn.attempt_id = p_attempt THEN
    RETURN claimed_turn('repeated', v_turn, v_task, p_known)
      || jsonb_build_object('takenIn', 0, 'seq', (SELECT last_seq FROM tree WHERE root_id = v_turn.root_id));
  END IF;
  IF v_turn.status IS DISTINCT FROM 'queued' THEN
    RETURN coalesce('{"outcome": "ended"}' || started_by(p_next_turn), '{"outcome": "moved_on"}');
  END IF;

  IF v_task.paused_at IS NOT NULL THEN RETURN park_paused(v_turn); END IF;

  v_has_processes := EXISTS (SELECT 1 FROM background_process WHERE session_id = v_turn.session_id AND ended_at IS NULL);
  IF v_has_processes THEN v_pinned := pinned_to(v_turn.session_id, p_worker, p_lease_ms); END IF;
  IF v_pinned IS NOT NULL THEN
    RETURN jsonb_build_object('outcome', 'pinned', 'workerId', v_pinned, 'rootId', v_turn.root_id);
  END IF;

  IF v_turn.answer_position IS NULL THEN
    v_answer := coalesce(v_task.answer_tokens, p_reserve);
    v_reserve := least(v_answer + v_turn.tokens_to_resend, 2147483647);
    v_usd := coalesce(most_it_costs(v_task.prices, v_turn.tokens_to_resend, v_answer), 0);
  END IF;
  v_limit := limit_reached(v_turn, v_task, v_reserve, v_usd);
  IF v_limit IS NOT NULL THEN RETURN stop_at_limit(v_turn, v_task, v_limit, p_next_turn); END IF;
  INSERT INTO attempt (id, turn_id, worker_id)
  SELECT p_attempt, p_turn, id FROM worker WHERE id = p_worker AND ended_at IS NULL AND lease_expires_at > clock_timestamp()
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN jsonb_build_object('outcome',
      CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt) THEN 'moved_on' ELSE 'worker_lost' END);
  END IF;

  IF v_has_processes THEN
    UPDATE background_process SET worker_id = NULL
     WHERE session_id = v_turn.session_id AND ended_at IS NULL AND worker_id <> p_worker;
  END IF;
  IF v_turn.answer_position IS NULL THEN v_taken := take_in_messages(v_turn); END IF;
  v_first := CASE WHEN v_turn.started_at IS NULL AND v_turn.kind = 'answer' THEN 1 ELSE 0 END;
  UPDATE turn
     SET status = 'running', attempt_id = p_attempt, tokens_reserved = v_reserve, usd_reserved = v_usd, checked_at = NULL,
         started_at = coalesce(started_at, clock_timestamp())
   WHERE id = p_turn
  RETURNING * INTO v_turn;
  IF v_task.status <> 'running' THEN
    v_events := event_of(CASE WHEN v_task.started_at IS NULL THEN 'task.started' ELSE 'task.resumed' END, v_turn.session_id, v_task.id, NULL);
    UPDATE task
       SET status = 'running', waiting_on = NULL, started_at = coalesce(started_at, clock_timestamp()),
           deadline_at = coalesce(deadline_at, clock_timestamp() + make_interval(secs => seconds_limit))
     WHERE id = v_task.id
    RETURNING * INTO v_task;
  END IF;
  v_events := v_events || turn_event('turn.started', v_turn, jsonb_build_object(
      'attemptId', p_attempt, 'profile', encode(v_task.profile_hash, 'hex')))
    || state_event(v_turn.session_id, v_task.id, CASE WHEN v_turn.answer_position IS NULL THEN 'thinking' ELSE 'executing' END);
  RETURN claimed_turn('claimed', v_turn, v_task, p_known) || jsonb_build_object('takenIn', v_taken,
    'seq', append_events(v_turn.root_id, v_events, 0, v_reserve, v_first,
                         CASE v_first WHEN 1 THEN v_task.tree_turn_limit END,
                         CASE WHEN v_turn.answer_position IS NULL THEN v_task.token_limit END, 0, v_usd,
                         CASE WHEN v_turn.answer_position IS NULL THEN v_task.usd_limit END));
END $$;

-- The worker, other than p_worker, that is alive and runs background commands of the session; null: nobody.
CREATE FUNCTION pinned_to(p_session uuid, p_worker uuid, p_lease_ms int) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT w.id FROM background_process b JOIN worker w ON w.id = b.worker_id
   WHERE b.session_id = p_session AND b.ended_at IS NULL AND w.id <> p_worker AND w.ended_at IS NULL
     AND (w.lease_expires_at > clock_timestamp()
          OR pg_postmaster_start_time() + make_interval(secs => p_lease_ms / 1000.0) > clock_timestamp())
   LIMIT 1
$$;

CREATE FUNCTION take_in_messages(p_turn turn) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  v_first int;
  v_count int;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM message WHERE task_id = p_turn.task_id AND taken_position IS NULL) THEN RETURN 0; END IF;
  v_first := next_position(p_turn.session_id);
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

-- lastProcess: the highest number that a background command of the session has had; processes: those that are open. Null: none.
-- entries: the session's log behind p_known, in order, up to 64 of them. Null: there are more, or the worker knows less than a fork
-- shares with its source; to be read in a statement of their own (read_log).
CREATE FUNCTION claimed_turn(p_outcome text, p_turn turn, p_task task, p_known int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object('outcome', p_outcome, 'entries', CASE WHEN s.forked_at > p_known THEN NULL ELSE e.entries END,
      'turn', jsonb_build_object(
        'id', p_turn.id, 'sessionId', p_turn.session_id, 'taskId', p_turn.task_id, 'rootId', p_turn.root_id,
        'teamId', p_task.team_id, 'number', p_turn.number, 'attemptId', p_turn.attempt_id,
        'answerPosition', p_turn.answer_position, 'openWaits', p_turn.open_waits, 'retries', p_turn.retries, 'takeovers', p_turn.takeovers,
        'route', p_turn.route, 'troubles', provider_troubles(),
        'kind', p_turn.kind, 'uncounted', p_turn.uncounted, 'overflows', p_turn.overflows,
        'profileHash', encode(p_task.profile_hash, 'hex'), 'turnLimit', p_task.turn_limit,
        'cancelRequested', p_task.cancel_requested_at IS NOT NULL, 'traceparent', p_task.traceparent,
        'delegation', jsonb_build_object('isDelegated', p_task.parent_task_id IS NOT NULL, 'depth', s.depth, 'depthLimit', p_task.depth_limit,
          'resultSchema', p_task.result_schema),
        'lastProcess', (SELECT max(number) FROM background_process WHERE session_id = p_turn.session_id),
        'processes', (SELECT jsonb_agg(jsonb_build_object('id', id, 'number', number, 'command', command,
                                                          'isHere', worker_id IS NOT NULL) ORDER BY number)
                        FROM background_process WHERE session_id = p_turn.session_id AND ended_at IS NULL),
        'reserved', jsonb_build_object('isLimited', p_task.token_limit IS NOT NULL OR p_task.usd_limit IS NOT NULL,
          'tokens', p_turn.tokens_reserved, 'resent', p_turn.tokens_to_resend, 'answer', p_task.answer_tokens, 'prices', p_task.prices),
        'secondsLeft', CASE WHEN p_task.clock_stopped_at IS NULL THEN extract(epoch FROM p_task.deadline_at - clock_timestamp()) END,
        'workspace', jsonb_build_object('id', w.id, 'kind', w.kind, 'path', w.path, 'source', CASE WHEN w.kind <> 'upload' THEN w.source END,
          'projectServers', w.project_servers, 'lineage', w.lineage, 'base', w.base, 'head', w.head)))
      FROM session s JOIN workspace w ON w.id = s.workspace_id,
           (SELECT CASE WHEN count(*) <= 64 THEN coalesce(jsonb_agg(entry ORDER BY position), '[]') END AS entries
              FROM (SELECT position, entry FROM own_entries(p_turn.session_id, p_known, NULL) LIMIT 65) new) e
     WHERE s.id = p_turn.session_id);
END $$;
