-- apply_results: tool calls `requested | started` → closed, each with its result as the log's next entry, in the given
-- (the model's) order. Inner step of record_results, park_turn, settle_turn and those that end a task.
--
-- The caller holds the turn. A result for a call that is closed already is passed over, so a repeat writes nothing; so is
-- one for a call that a person has still to allow, whoever claims to have run it. One statement, so that the time it takes
-- grows no faster than the results do.
-- p_results: [{id, status, parts, noted?, durationMs?, outputHash?, snapshot?, merged?, processes?}]; of two for one call the first counts.
-- noted: what its entry keeps beside what the model sees; the newest todos in it become the session's list. snapshot: the workspace's
-- files after a call that changed them; the newest becomes the workspace's head. merged: calls that delegated, and whose tasks' changes
-- it holds. processes: as note_processes takes them. Returns the events.
CREATE FUNCTION apply_results(p_turn turn, p_results jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_events jsonb;
  v_todos jsonb;
BEGIN
  IF p_results = '[]' THEN RETURN '[]'; END IF;
  WITH given AS (
    SELECT c.id, c.call_id, c.ordinal, c.name, r.body->>'status' AS status, r.body->'parts' AS parts,
           r.body->'noted' AS noted,
           next_position(p_turn.session_id) - 1 + row_number() OVER (ORDER BY r.ordinal) AS position,
           round((r.body->>'durationMs')::numeric)::int AS duration_ms, decode(r.body->>'outputHash', 'hex') AS output_hash,
           r.body->>'snapshot' AS snapshot
      FROM (SELECT DISTINCT ON (body->>'id') body, ordinal
              FROM jsonb_array_elements(p_results) WITH ORDINALITY AS a(body, ordinal) ORDER BY body->>'id', ordinal) r
      JOIN tool_call c ON c.id = (r.body->>'id')::uuid
     WHERE c.turn_id = p_turn.id AND c.status IN ('requested', 'started')
  ), closed AS (
    UPDATE tool_call c
       SET status = g.status, result_position = g.position, ended_at = clock_timestamp(),
           started_at = coalesce(c.started_at, clock_timestamp()), duration_ms = g.duration_ms, output_hash = g.output_hash,
           snapshot = g.snapshot
      FROM given g WHERE c.id = g.id
  ), logged AS (
    INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts, noted, call_id, status)
    SELECT p_turn.session_id, position, p_turn.task_id, p_turn.id, 'tool_result', parts, noted, call_id, status FROM given
  ), moved AS (
    UPDATE workspace w SET head = newest.snapshot
      FROM (SELECT snapshot FROM given WHERE snapshot IS NOT NULL ORDER BY position DESC LIMIT 1) newest, session s
     WHERE s.id = p_turn.session_id AND w.id = s.workspace_id
  )
  SELECT jsonb_agg(turn_event('tool.completed', p_turn, jsonb_build_object(
           'callId', call_id, 'ordinal', ordinal, 'name', name, 'status', status, 'position', position,
           'durationMs', duration_ms) || files_in(parts))->0 ORDER BY position)
         || coalesce(jsonb_agg(turn_event('workspace.snapshotted', p_turn, jsonb_build_object(
           'callId', call_id, 'snapshot', snapshot))->0 ORDER BY position) FILTER (WHERE snapshot IS NOT NULL), '[]'),
         (array_agg(noted->'todos' ORDER BY position DESC) FILTER (WHERE noted ? 'todos'))[1]
    INTO v_events, v_todos FROM given;
  IF v_todos IS NOT NULL THEN PERFORM put_todos(p_turn.session_id, v_todos); END IF;
  IF jsonb_path_exists(p_results, '$[*].merged') THEN
    UPDATE delegation SET is_merged = true
     WHERE tool_call_id IN (SELECT id::uuid FROM jsonb_array_elements(p_results) r(body) CROSS JOIN LATERAL jsonb_array_elements_text(r.body->'merged') m(id));
  END IF;
  IF jsonb_path_exists(p_results, '$[*].processes') THEN PERFORM note_processes(p_turn, p_results); END IF;
  RETURN coalesce(v_events, '[]');
END $$;

-- files_in: what an event says of the files in a result: how many, and nothing where there are none.
CREATE FUNCTION files_in(p_parts jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_parts @> '[{"type": "file"}]'
              THEN jsonb_build_object('files', jsonb_array_length(jsonb_path_query_array(p_parts, '$[*] ? (@.type == "file")')))
              ELSE '{}' END
$$;

-- note_processes: commands that calls have begun to run in the background, which are their worker's from now on; and those whose
-- end a result tells. A repeat writes nothing.
-- p_results: [{id, processes?: {started?: [{id, number, command}], ended?: [{id, end}]}}]
CREATE FUNCTION note_processes(p_turn turn, p_results jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO background_process (id, session_id, task_id, tool_call_id, worker_id, number, command)
  SELECT (p.body->>'id')::uuid, p_turn.session_id, p_turn.task_id, c.id, a.worker_id, (p.body->>'number')::int, p.body->>'command'
    FROM jsonb_array_elements(p_results) r(body)
   CROSS JOIN LATERAL jsonb_array_elements(r.body#>'{processes,started}') p(body)
    JOIN tool_call c ON c.id = (r.body->>'id')::uuid AND c.turn_id = p_turn.id
    JOIN attempt a ON a.id = p_turn.attempt_id
  ON CONFLICT DO NOTHING;
  PERFORM end_processes(p_turn, coalesce(
    (SELECT jsonb_agg(e.body) FROM jsonb_array_elements(p_results) r(body)
      CROSS JOIN LATERAL jsonb_array_elements(r.body#>'{processes,ended}') e(body)), '[]'));
END $$;

-- end_processes: background commands of the turn's session whose end the model was told: they hold the session to no worker any
-- more. p_ended: [{id, end}].
CREATE FUNCTION end_processes(p_turn turn, p_ended jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE background_process b SET ended_at = clock_timestamp(), "end" = e."end"
    FROM jsonb_to_recordset(p_ended) AS e(id uuid, "end" text)
   WHERE b.id = e.id AND b.session_id = p_turn.session_id AND b.ended_at IS NULL;
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
