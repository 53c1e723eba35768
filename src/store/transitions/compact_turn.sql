-- compact_turn: turn `running` → `done`, the log shorter; the next one `queued`. Or the task's end, and the session's next task.
--
-- Guard: the attempt holds the turn, which has no answer. Neither the task's turn limit nor the tree's counts it.
-- p_compaction: {kind: 'pruning' | 'compaction', parts, replaces, before, after, usage?, note?}; before, after: tokens of a request; usage: as
-- record_answer takes it, where a model wrote the summary; note: see note_request.
-- Returns: {outcome: 'compacted', taskStatus, wake?, seq} | {outcome: 'repeated', taskStatus, wake?} | {outcome: 'fenced'}
-- Races: cancel, a new message and a new task lock the session first, as this does: each comes wholly before or after.
CREATE FUNCTION compact_turn(p_turn uuid, p_attempt uuid, p_compaction jsonb, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_locked record := lock_turn_and_task(p_turn);
  v_turn turn := v_locked.turn;
  v_task task := v_locked.task;
  v_usage jsonb := p_compaction->'usage';
  v_used record;
  v_counted int := CASE v_turn.kind WHEN 'answer' THEN 1 ELSE 0 END;
  v_position int;
  v_end jsonb;
  v_ended jsonb;
  v_wake jsonb;
  v_events jsonb;
BEGIN
  IF v_turn.attempt_id IS DISTINCT FROM p_attempt THEN
    IF EXISTS (SELECT 1 FROM attempt WHERE id = p_attempt AND outcome IN ('settled', 'cancelled', 'failed')) THEN
      RETURN jsonb_build_object('outcome', 'repeated', 'taskStatus', v_task.status, 'wake', wake_of(p_next_turn));
    END IF;
    RETURN jsonb_build_object('outcome', 'fenced');
  END IF;
  IF v_turn.answer_position IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'fenced'); END IF;

  INSERT INTO entry (session_id, position, task_id, turn_id, kind, parts, replaces)
  VALUES (v_turn.session_id, next_position(v_turn.session_id), v_turn.task_id, p_turn, p_compaction->>'kind', p_compaction->'parts',
          p_compaction->'replaces')
  RETURNING position INTO v_position;
  IF v_usage IS NULL THEN SELECT 0::bigint AS tokens, 0::numeric AS usd, '[]'::jsonb AS event INTO v_used;
  ELSE v_used := write_usage(v_turn, p_attempt, v_usage); END IF;
  v_events := turn_event('context.compacted', v_turn, jsonb_build_object('kind', p_compaction->>'kind', 'position', v_position,
      'before', (p_compaction->>'before')::int, 'after', (p_compaction->>'after')::int))
    || v_used.event || turn_event('turn.completed', v_turn);
  v_turn.uncounted := v_turn.uncounted + v_counted;
  v_turn.tokens_to_resend := (p_compaction->>'after')::bigint;
  v_end := settled_end(v_task, '{"kind": "continue"}', v_turn, false);
  PERFORM end_attempt(p_attempt, CASE v_end->>'status' WHEN 'cancelled' THEN 'cancelled' WHEN 'failed' THEN 'failed' ELSE 'settled' END);
  UPDATE turn
     SET status = 'done', kind = 'compaction', uncounted = v_turn.uncounted, attempt_id = NULL, ended_at = clock_timestamp(), takeovers = 0,
         retries = 0, tokens_reserved = 0, usd_reserved = 0, tokens_to_resend = v_turn.tokens_to_resend
   WHERE id = p_turn;
  IF v_end->>'kind' = 'finish' THEN
    v_ended := end_task(v_task.id, v_end, p_next_turn);
    v_events := v_events || (v_ended->'events');
    v_wake := wake_of((v_ended->>'next')::uuid);
  ELSE
    v_wake := continue_task(v_turn, p_next_turn, 'answer', v_turn.overflows);
  END IF;
  IF p_compaction ? 'note' THEN PERFORM note_request(p_attempt, p_compaction->'note'); END IF;
  RETURN jsonb_build_object('outcome', 'compacted', 'taskStatus', coalesce(v_end->>'status', v_task.status), 'wake', v_wake,
    'seq', append_events(v_turn.root_id, v_events, v_used.tokens, -v_turn.tokens_reserved, -v_counted,
                         p_usd => v_used.usd, p_usd_reserved => -v_turn.usd_reserved)) || also_of(v_ended);
END $$;
