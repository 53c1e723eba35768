-- raise_limits: a task's limits → higher ones, those of the tree also below it; a turn `parked` at one → `queued`. A delegated task has only turns and
-- seconds of its own: whoever raises the rest of it raises what the person's task above it has.
--
-- Guard: the task is the team's and unfinished; no limit becomes lower (null: there is none any more). p_limits: {turns?, treeTurns?,
-- tokens?, usd?, seconds?, children?, concurrentChildren?, depth?}. More seconds count from its deadline; for a turn that waits for them, from now.
-- Returns: {outcome: 'raised', rootId, seq, wake?, also?} | {outcome: 'not_higher', limit, allowed} | {outcome: 'ended', status} | {outcome: 'not_found'}
-- The limits that it has already are a repeat, which writes nothing.
-- Races: claim, settle and cancel lock the session first, as this does. Whether the new limits are enough, the next claim sees.
CREATE FUNCTION raise_limits(p_team uuid, p_task uuid, p_limits jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_turn turn;
  v_lower record;
  v_around jsonb := nothing_around();
  v_of_tree jsonb := p_limits - '{turns,seconds}'::text[];
  v_raised jsonb;
BEGIN
  SELECT * INTO v_task FROM task WHERE id = p_task AND team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  PERFORM lock_tree(v_task.root_id);
  IF v_task.parent_task_id IS NOT NULL AND v_of_tree <> '{}' THEN
    v_raised := raise_limits(p_team, root_task_of(v_task), v_of_tree);
    IF v_raised->>'outcome' <> 'raised' OR v_of_tree = p_limits THEN RETURN v_raised; END IF;
    p_limits := p_limits - ARRAY(SELECT jsonb_object_keys(v_of_tree));
    v_around := joined(v_around, v_around || coalesce(v_raised->'also', '{}'));
  END IF;
  PERFORM 1 FROM session WHERE id = v_task.session_id FOR NO KEY UPDATE;
  SELECT * INTO v_task FROM task WHERE id = p_task FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_task.ended_at IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'ended', 'status', v_task.status); END IF;
  SELECT * INTO v_lower FROM lowered_limit(v_task, p_limits);
  IF v_lower.name IS NOT NULL THEN
    RETURN jsonb_build_object('outcome', 'not_higher', 'limit', v_lower.name, 'allowed', v_lower.allowed::text);
  END IF;
  SELECT * INTO v_turn FROM turn WHERE task_id = p_task AND status IN ('ready', 'queued', 'running', 'parked') FOR NO KEY UPDATE;
  IF limits_of(v_task) @> p_limits THEN
    RETURN jsonb_build_object('outcome', 'raised', 'rootId', v_task.root_id, 'wake', wake_of(v_turn.id),
      'seq', (SELECT last_seq FROM tree WHERE root_id = v_task.root_id));
  END IF;

  PERFORM set_limits(v_task, p_limits, v_turn.at_limit IS NOT DISTINCT FROM 'seconds');
  UPDATE turn SET status = 'queued', at_limit = NULL, wake = wake + 1, checked_at = clock_timestamp() WHERE id = v_turn.id AND at_limit IS NOT NULL;
  PERFORM mind_clocks(p_task);
  IF has_children(v_task.root_id) THEN v_around := joined(v_around, joined(raise_below(p_task, p_limits), grant_slots(v_task.root_id))); END IF;
  RETURN jsonb_build_object('outcome', 'raised', 'rootId', v_task.root_id, 'wake', wake_of(v_turn.id),
    'seq', append_events(v_task.root_id, event_of('limit.raised', v_task.session_id, p_task, NULL, p_limits))) || also(v_around);
END $$;

-- The limits of the tree, for the unfinished tasks below one; those that wait at them go on.
CREATE FUNCTION raise_below(p_task uuid, p_limits jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_limits jsonb := p_limits - '{turns,seconds}'::text[];
  v_id uuid;
  v_task task;
  v_turn turn;
  v_wakes jsonb := '[]';
BEGIN
  FOR v_id IN SELECT b.id FROM tasks_below(p_task) b WHERE b.id <> p_task LOOP
    PERFORM 1 FROM session WHERE id = (SELECT session_id FROM task WHERE id = v_id) FOR NO KEY UPDATE;
    SELECT * INTO v_task FROM task WHERE id = v_id FOR NO KEY UPDATE;
    PERFORM set_limits(v_task, v_limits, false);
    UPDATE turn SET status = 'queued', at_limit = NULL, wake = wake + 1, checked_at = clock_timestamp() WHERE task_id = v_id AND at_limit IS NOT NULL
    RETURNING * INTO v_turn;
    CONTINUE WHEN NOT FOUND;
    PERFORM mind_clocks(v_id);
    v_wakes := v_wakes || jsonb_build_array(wake_of(v_turn.id));
  END LOOP;
  RETURN nothing_around() || jsonb_build_object('wakes', v_wakes);
END $$;

-- By their names on the wire.
CREATE FUNCTION limits_of(p_task task) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN jsonb_build_object('turns', p_task.turn_limit, 'treeTurns', p_task.tree_turn_limit, 'tokens', p_task.token_limit,
    'usd', p_task.usd_limit, 'seconds', p_task.seconds_limit, 'children', p_task.child_limit, 'concurrentChildren', p_task.concurrent_limit,
    'depth', p_task.depth_limit);
END $$;

-- One of them that p_limits would make lower, and what it is; nulls: none.
CREATE FUNCTION lowered_limit(p_task task, p_limits jsonb, OUT name text, OUT allowed numeric) LANGUAGE plpgsql AS $$
BEGIN
  SELECT given.key, trim_scale((limits_of(p_task)->>given.key)::numeric) INTO name, allowed FROM jsonb_each_text(p_limits) given
   WHERE given.value IS NOT NULL AND coalesce((limits_of(p_task)->>given.key)::numeric > given.value::numeric, true) LIMIT 1;
END $$;

CREATE FUNCTION set_limits(p_task task, p_limits jsonb, p_from_now boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_limits jsonb := limits_of(p_task) || p_limits;
  v_seconds int := (v_limits->>'seconds')::int;
BEGIN
  UPDATE task
     SET turn_limit = (v_limits->>'turns')::int, tree_turn_limit = (v_limits->>'treeTurns')::int, token_limit = (v_limits->>'tokens')::bigint,
         usd_limit = (v_limits->>'usd')::numeric, seconds_limit = v_seconds, child_limit = (v_limits->>'children')::int,
         concurrent_limit = (v_limits->>'concurrentChildren')::int, depth_limit = (v_limits->>'depth')::int,
         deadline_at = CASE WHEN v_seconds IS NOT NULL THEN
           CASE WHEN p_from_now THEN greatest(deadline_at, clock_timestamp()) ELSE deadline_at END
             + make_interval(secs => v_seconds - seconds_limit) END,
         clock_stopped_at = CASE WHEN v_seconds IS NOT NULL THEN clock_stopped_at END
   WHERE id = p_task.id;
END $$;
