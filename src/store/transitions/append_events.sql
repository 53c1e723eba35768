-- append_events: gives a tree's new events their sequence numbers, and books turns, tokens and money on the tree's accounts.
--
-- Locks the tree row, so it comes last in every transition: whoever holds it commits next, which is what makes the
-- sequence gapless to every reader. p_turn_limit, p_token_limit, p_usd_limit: what they may come to. A caller that looked
-- before, without a lock, and finds them passed now is refused with 40001: when it is repeated, it sees why.
-- Whoever webhooks of the team, or the task, name gets a delivery of each; a team without any pays for one look at an index.
CREATE FUNCTION append_events(p_root uuid, p_events jsonb, p_used bigint DEFAULT 0, p_reserved bigint DEFAULT 0,
                              p_turns int DEFAULT 0, p_turn_limit int DEFAULT NULL, p_token_limit bigint DEFAULT NULL,
                              p_usd numeric DEFAULT 0, p_usd_reserved numeric DEFAULT 0, p_usd_limit numeric DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_count int := jsonb_array_length(p_events);
  v_last bigint;
BEGIN
  UPDATE tree
     SET last_seq = last_seq + v_count, turns = turns + p_turns, tokens_used = tokens_used + p_used, tokens_reserved = tokens_reserved + p_reserved,
         usd_used = usd_used + p_usd, usd_reserved = usd_reserved + p_usd_reserved
   WHERE root_id = p_root AND (p_turn_limit IS NULL OR turns + p_turns <= p_turn_limit)
     AND (p_token_limit IS NULL OR tokens_used + tokens_reserved + p_used + p_reserved <= p_token_limit)
     AND (p_usd_limit IS NULL OR usd_used + usd_reserved + p_usd + p_usd_reserved <= p_usd_limit)
  RETURNING last_seq INTO v_last;
  IF NOT FOUND THEN RAISE EXCEPTION 'tree % has reached a limit', p_root USING ERRCODE = 'serialization_failure'; END IF;

  INSERT INTO event (root_id, seq, type, session_id, task_id, turn, data)
  SELECT p_root, v_last - v_count + e.ordinal, e.body->>'type', (e.body->>'session')::uuid, (e.body->>'task')::uuid,
         (e.body->>'turn')::int, e.body->'data'
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS e(body, ordinal);
  IF EXISTS (SELECT 1 FROM webhook w JOIN session s ON s.id = p_root AND s.team_id = w.team_id WHERE w.disabled_at IS NULL AND w.removed_at IS NULL) THEN
    PERFORM deliver_to_webhooks(p_root, v_last - v_count);
  END IF;
  IF p_events @? '$[*].type ? (@ == "task.succeeded" || @ == "task.failed" || @ == "task.cancelled" || @ == "approval.requested")' THEN
    PERFORM deliver_to_tasks(p_root, v_last - v_count);
  END IF;
  RETURN v_last;
END $$;

-- STABLE, not more: then it is inlined where it is used.
-- One event, before it has a number. `p_turn` null: about the task; `p_turn.task_id` null: about the session.
CREATE FUNCTION event_of(p_type text, p_session uuid, p_task uuid, p_turn int, p_data jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_array(jsonb_build_object(
    'type', p_type, 'session', p_session, 'task', p_task, 'turn', p_turn, 'data', p_data))
$$;

CREATE FUNCTION turn_event(p_type text, p_turn turn, p_data jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT event_of(p_type, p_turn.session_id, p_turn.task_id, p_turn.number, p_data)
$$;
