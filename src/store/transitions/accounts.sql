-- What requests cost (PROTOCOL, claim and reserve). Money is numeric, in US dollars, and nothing else. Prices are {input, output,
-- cachedInput?, cacheWrite?, long?} in dollars for a million tokens; of those that are not known (null) nothing is known of the cost.

-- What a request with so many tokens of input, cached ones among them, is paid for with: `long`, {above, ...prices}, instead of the others
-- where it has more.
CREATE FUNCTION prices_for(p_prices jsonb, p_input bigint) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_input > (p_prices->'long'->>'above')::bigint THEN p_prices->'long' ELSE p_prices END
$$;

-- What an answer cost. p_usage: {input, output, cached, cacheWritten?}; what was read from a cache or written to it is a share of `input`.
CREATE FUNCTION cost_of(p_prices jsonb, p_usage jsonb) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_sent bigint := (p_usage->>'input')::bigint;
  v_prices jsonb := prices_for(p_prices, v_sent);
  v_input numeric := (v_prices->>'input')::numeric;
  v_cached bigint := least((p_usage->>'cached')::bigint, v_sent);
  v_written bigint := least(coalesce((p_usage->>'cacheWritten')::bigint, 0), v_sent - v_cached);
BEGIN
  RETURN round(((v_sent - v_cached - v_written) * v_input + v_cached * coalesce((v_prices->>'cachedInput')::numeric, v_input)
    + v_written * coalesce((v_prices->>'cacheWrite')::numeric, v_input)
    + (p_usage->>'output')::bigint * (v_prices->>'output')::numeric) * 0.000001, 12);
END $$;

-- What a request of so many tokens and its answer may cost at most.
CREATE FUNCTION most_it_costs(p_prices jsonb, p_input bigint, p_output bigint) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  v_prices jsonb := prices_for(p_prices, p_input);
BEGIN
  RETURN round((p_input * greatest((v_prices->>'input')::numeric, (v_prices->>'cachedInput')::numeric, (v_prices->>'cacheWrite')::numeric)
    + p_output * (v_prices->>'output')::numeric) * 0.000001, 12);
END $$;

-- Books a request of which nobody heard what it cost: all that was reserved for it, as spent. The caller tells the tree.
CREATE FUNCTION book_unknown_usage(p_turn turn, p_attempt uuid, p_is_spent boolean, OUT tokens bigint, OUT usd numeric) LANGUAGE plpgsql AS $$
BEGIN
  tokens := CASE WHEN p_is_spent THEN p_turn.tokens_reserved ELSE 0 END;
  usd := CASE WHEN p_is_spent THEN p_turn.usd_reserved ELSE 0 END;
  IF tokens = 0 THEN RETURN; END IF;
  INSERT INTO usage (attempt_id, team_id, user_id, root_id, session_id, task_id, turn_id, outcome, model, input, output, cached, reasoning, usd, prices)
  SELECT p_attempt, t.team_id, t.user_id, p_turn.root_id, p_turn.session_id, p_turn.task_id, p_turn.id, 'unknown', p.body->>'model', tokens, 0, 0, 0,
         CASE WHEN t.prices IS NOT NULL THEN usd END, t.prices
    FROM task t JOIN profile p ON p.hash = t.profile_hash WHERE t.id = p_turn.task_id;
END $$;

-- reserve_more: turn `running` → `running`, with more reserved. At a limit it does what claim_turn does there.
--
-- Guard: the attempt holds the turn, which has no answer yet. p_need: {input, output, prices}: tokens, and what they cost; prices, where they
-- are not null, are from now on those that the task's requests are reserved by.
-- Returns: {outcome: 'reserved', seq} | {outcome: 'ended' | 'parked', rootId, seq, wake?} | {outcome: 'fenced'}
-- Races: other sessions reserve of the same tree: append_events looks again when it books. A repeat finds as much reserved, and writes nothing.
CREATE FUNCTION reserve_more(p_turn uuid, p_attempt uuid, p_need jsonb, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_locked record := lock_turn_and_task(p_turn);
  v_turn turn := v_locked.turn;
  v_task task := v_locked.task;
  v_tokens bigint := least((p_need->>'input')::bigint + (p_need->>'output')::bigint, 2147483647);
  v_prices jsonb := coalesce(nullif(p_need->'prices', 'null'), v_task.prices);
  v_usd numeric := coalesce(most_it_costs(v_prices, (p_need->>'input')::bigint, (p_need->>'output')::bigint), 0);
  v_limit text;
BEGIN
  IF v_turn.status IS DISTINCT FROM 'running' OR v_turn.attempt_id <> p_attempt OR v_turn.answer_position IS NOT NULL THEN
    RETURN coalesce('{"outcome": "ended"}' || started_by(p_next_turn), '{"outcome": "fenced"}');
  END IF;
  v_tokens := greatest(v_tokens - v_turn.tokens_reserved, 0);
  v_usd := greatest(v_usd - v_turn.usd_reserved, 0);
  v_limit := limit_reached(v_turn, v_task, v_tokens, v_usd);
  IF v_limit IS NOT NULL THEN
    PERFORM end_attempt(p_attempt, CASE WHEN waits_at(v_task, v_limit) THEN 'parked' ELSE 'failed' END);
    RETURN stop_at_limit(v_turn, v_task, v_limit, p_next_turn);
  END IF;
  UPDATE task SET prices = v_prices WHERE id = v_task.id AND prices IS DISTINCT FROM v_prices;
  UPDATE turn SET tokens_reserved = tokens_reserved + v_tokens, usd_reserved = usd_reserved + v_usd
   WHERE id = p_turn AND (v_tokens > 0 OR v_usd > 0);
  RETURN jsonb_build_object('outcome', 'reserved', 'seq',
    append_events(v_turn.root_id, '[]', p_reserved => v_tokens, p_usd_reserved => v_usd,
                  p_token_limit => v_task.token_limit, p_usd_limit => v_task.usd_limit));
END $$;

-- Names the limit that forbids one more turn and its tokens. The tree is not locked yet: append_events looks again when it
-- books them. A turn is counted once, however many attempts it takes.
CREATE FUNCTION limit_reached(p_turn turn, p_task task, p_tokens bigint, p_usd numeric) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_tree tree;
BEGIN
  IF p_task.deadline_at < clock_timestamp() AND p_task.clock_stopped_at IS NULL THEN RETURN 'seconds'; END IF;
  -- The person's task may wait there for more; what is below it begins nothing meanwhile.
  IF p_task.parent_task_id IS NOT NULL AND (SELECT deadline_at < clock_timestamp() FROM task WHERE id = root_task_of(p_task)) THEN
    RETURN 'above_seconds';
  END IF;
  IF p_turn.number - p_turn.uncounted > p_task.turn_limit THEN RETURN 'turns'; END IF;
  SELECT * INTO v_tree FROM tree WHERE root_id = p_turn.root_id;
  IF p_turn.started_at IS NULL AND p_turn.kind = 'answer' AND v_tree.turns >= p_task.tree_turn_limit THEN RETURN 'tree_turns'; END IF;
  -- A turn that has its answer spends none: what was paid for is finished.
  IF p_turn.answer_position IS NOT NULL THEN RETURN NULL; END IF;
  IF v_tree.tokens_used + v_tree.tokens_reserved + p_tokens > p_task.token_limit THEN RETURN 'tokens'; END IF;
  IF v_tree.usd_used + v_tree.usd_reserved + p_usd > p_task.usd_limit THEN RETURN 'usd'; END IF;
  IF p_task.parent_task_id IS NOT NULL THEN RETURN own_limit_reached(p_task, p_tokens, p_usd); END IF;
  RETURN NULL;
END $$;

-- Ends the task of a turn that a limit forbids, or has it wait for a higher one, and releases what was reserved for it.
CREATE FUNCTION stop_at_limit(p_turn turn, p_task task, p_limit text, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_ended jsonb;
BEGIN
  IF waits_at(p_task, p_limit) THEN
    v_ended := jsonb_build_object('events', park_at_limit(p_turn, p_task, p_limit));
  ELSE
    v_ended := end_turn_and_task(p_turn, limit_end(p_turn.task_id, p_limit), p_next_turn);
  END IF;
  RETURN jsonb_build_object('outcome', CASE WHEN waits_at(p_task, p_limit) THEN 'parked' ELSE 'ended' END, 'rootId', p_turn.root_id,
    'seq', append_events(p_turn.root_id, v_ended->'events', p_reserved => -p_turn.tokens_reserved, p_usd_reserved => -p_turn.usd_reserved),
    'wake', wake_of((v_ended->>'next')::uuid)) || also_of(v_ended);
END $$;

-- Whether a task waits there instead of ending. At a limit that its parent gave it, it ends: that one decides what to do.
CREATE FUNCTION waits_at(p_task task, p_limit text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT p_task.on_limit = 'park' AND (p_task.parent_task_id IS NULL OR p_limit IN ('tree_turns', 'tokens', 'usd'))
$$;

-- Any unfinished turn → `parked` at a limit, task → `waiting` on `budget`, until raise_limits. The caller holds both, and has ended the
-- attempt if there was one. Returns the events.
CREATE FUNCTION park_at_limit(p_turn turn, p_task task, p_limit text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  UPDATE turn
     SET status = 'parked', at_limit = p_limit, attempt_id = NULL, due_at = NULL, checked_at = NULL, tokens_reserved = 0, usd_reserved = 0
   WHERE id = p_turn.id;
  UPDATE background_process SET worker_id = NULL WHERE session_id = p_turn.session_id AND ended_at IS NULL;
  UPDATE task SET status = 'waiting', waiting_on = 'budget', started_at = coalesce(started_at, clock_timestamp()) WHERE id = p_task.id;
  PERFORM mind_clocks(p_task.id);
  RETURN CASE WHEN p_task.started_at IS NULL THEN event_of('task.started', p_turn.session_id, p_task.id, NULL) ELSE '[]' END
    || event_of('limit.reached', p_turn.session_id, p_task.id, NULL,
         jsonb_build_object('code', 'limit_' || p_limit, 'message', limit_said(p_task.id, p_limit)))
    || turn_event('turn.parked', p_turn, jsonb_build_object('openWaits', p_turn.open_waits))
    || event_of('task.waiting', p_turn.session_id, p_task.id, NULL, '{"on": "budget"}')
    || state_event(p_turn.session_id, p_task.id, 'waiting');
END $$;

-- How a task ends that reached a limit: {status, code, message}, the same words wherever it is noticed.
CREATE FUNCTION limit_end(p_task uuid, p_limit text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT parent_task_id IS NOT NULL FROM task WHERE id = p_task) THEN
    RETURN jsonb_build_object('status', 'failed', 'code', 'limit_' || regexp_replace(p_limit, '^(own|above)_', ''), 'message', limit_said(p_task, p_limit));
  END IF;
  RETURN jsonb_build_object('status', 'failed', 'code', 'limit_' || p_limit, 'message',
    format('%s Give the next %s a higher limit with --limit %s=N.', limit_said(p_task, p_limit),
      CASE WHEN p_limit IN ('turns', 'seconds') THEN 'one' ELSE 'task' END, CASE p_limit WHEN 'tree_turns' THEN 'treeTurns' ELSE p_limit END));
END $$;

CREATE FUNCTION limit_said(p_task uuid, p_limit text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT CASE p_limit
      WHEN 'turns' THEN format('The task used %s.', all_turns(turn_limit))
      WHEN 'tree_turns' THEN format('The session used %s.', all_turns(tree_turn_limit))
      WHEN 'tokens' THEN format('The session has used %s of its %s tokens, and the next turn might need more than are left.', tree.tokens_used, token_limit)
      WHEN 'usd' THEN format('The session has spent $%s of its $%s, and the next turn might cost more than is left.',
                             trim_scale(round(tree.usd_used, 6)), trim_scale(usd_limit))
      WHEN 'above_seconds' THEN format('The task that it is a part of reached its limit of %s seconds.',
        (SELECT root.seconds_limit FROM task root WHERE root.id = root_task_of(task)))
      WHEN 'own_tokens' THEN format('The next turn might need more than is left of the %s tokens that the task was given.', own_token_limit)
      WHEN 'own_usd' THEN format('The next turn might cost more than is left of the $%s that the task was given.', trim_scale(own_usd_limit))
      ELSE format('The task reached its limit of %s seconds.', seconds_limit) END
    FROM task JOIN tree USING (root_id) WHERE id = p_task);
END $$;

CREATE FUNCTION all_turns(p_limit int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN CASE p_limit WHEN 1 THEN 'its one turn' ELSE format('all of its %s turns', p_limit) END;
END $$;
