-- What ties a delegated task to the call that waits for it. Whoever calls these holds the tree's lock (lock_tree).

-- also: what a transition did beside what it was called for, as part of its outcome: {also: {wakes, stopped}} where there is any. wakes: turns that
-- it made `queued` in other sessions; stopped: tasks that a worker runs, and is to be told that they are cancelled.
CREATE FUNCTION also(p_around jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_around->'wakes' <> '[]' OR p_around->'stopped' <> '[]'
              THEN jsonb_build_object('also', p_around - 'events') ELSE '{}' END
$$;

-- The same of what end_task returned.
CREATE FUNCTION also_of(p_ended jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(p_ended->'also') = 'object' THEN jsonb_build_object('also', p_ended->'also') ELSE '{}' END
$$;

-- Two of {events, wakes, stopped}, as one.
CREATE FUNCTION joined(p_one jsonb, p_other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('events', (p_one->'events') || (p_other->'events'), 'wakes', (p_one->'wakes') || (p_other->'wakes'),
                            'stopped', (p_one->'stopped') || (p_other->'stopped'))
$$;

CREATE FUNCTION nothing_around() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT '{"events": [], "wakes": [], "stopped": []}'::jsonb
$$;

-- stop_task: any unfinished task → `cancelled` at once where no worker runs it; else a mark; and so all below it. Locks its session, task and turn.
-- Returns {outcome: 'cancelled' | 'requested' | 'ended', status, next?, events, wakes, stopped}.
CREATE FUNCTION stop_task(p_task uuid, p_next_turn uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_turn turn;
  v_ended jsonb;
BEGIN
  PERFORM 1 FROM session WHERE id = (SELECT session_id FROM task WHERE id = p_task) FOR NO KEY UPDATE;
  SELECT * INTO v_task FROM task WHERE id = p_task FOR NO KEY UPDATE;
  IF v_task.ended_at IS NOT NULL THEN
    RETURN nothing_around() || jsonb_build_object('outcome', 'ended', 'status', v_task.status);
  END IF;
  UPDATE task SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) WHERE id = p_task;
  SELECT * INTO v_turn FROM turn
   WHERE task_id = p_task AND status IN ('ready', 'queued', 'running', 'parked') FOR NO KEY UPDATE;
  IF v_turn.status = 'running' THEN
    RETURN joined(nothing_around() || jsonb_build_object('stopped', jsonb_build_array(p_task)),
                  CASE WHEN has_children(v_task.root_id) THEN end_children(p_task, v_task.root_id) ELSE nothing_around() END)
      || '{"outcome": "requested"}';
  ELSIF v_turn.id IS NOT NULL THEN
    v_ended := end_turn_and_task(v_turn, '{"status": "cancelled"}', p_next_turn);
  ELSE
    v_ended := end_task(p_task, '{"status": "cancelled"}', p_next_turn);
  END IF;
  RETURN nothing_around() || coalesce(nullif(v_ended->'also', 'null'), '{}')
    || jsonb_build_object('outcome', 'cancelled', 'next', v_ended->'next', 'events', v_ended->'events');
END $$;

-- end_children: delegations of a task `open` → `abandoned`, their tasks cancelled: nobody waits for them any more. A caller that has locked a
-- row before it knew that there are any is refused with 40001 where another has the tree's lock, and is repeated.
CREATE FUNCTION end_children(p_task uuid, p_root uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_around jsonb := nothing_around();
  v_stopped jsonb;
  v_turn uuid;
  v_child uuid;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM delegation d JOIN turn u ON u.id = d.turn_id WHERE u.task_id = p_task AND d.status = 'open') THEN
    RETURN v_around;
  END IF;
  IF NOT try_lock_tree(p_root) THEN RAISE EXCEPTION 'tree % is locked', p_root USING ERRCODE = 'serialization_failure'; END IF;
  FOR v_turn, v_child IN
    SELECT d.turn_id, d.child_task_id FROM delegation d JOIN turn u ON u.id = d.turn_id
     WHERE u.task_id = p_task AND d.status = 'open' ORDER BY d.created_at, d.tool_call_id
  LOOP
    UPDATE delegation SET status = 'abandoned', has_slot = false, ended_at = clock_timestamp() WHERE child_task_id = v_child;
    UPDATE turn SET open_waits = open_waits - 1 WHERE id = v_turn AND ended_at IS NULL;
    v_stopped := stop_task(v_child, gen_random_uuid());
    v_around := joined(v_around, v_stopped);
    IF v_stopped->>'next' IS NOT NULL THEN
      v_around := joined(v_around, nothing_around() || jsonb_build_object('wakes', jsonb_build_array(wake_of((v_stopped->>'next')::uuid))));
    END IF;
  END LOOP;
  RETURN joined(v_around, grant_slots(p_root));
END $$;

-- report_end: a delegation `open` → `ended`, since its task has: the calling turn has one wait fewer, and another delegated task may begin. Of one
-- that was abandoned only the files are kept: another task of the calling session may ask for them.
CREATE FUNCTION report_end(p_task task) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_delegation delegation;
  v_turn turn;
  v_around jsonb;
BEGIN
  IF p_task.parent_task_id IS NULL THEN RETURN nothing_around(); END IF;
  IF NOT try_lock_tree(p_task.root_id) THEN RAISE EXCEPTION 'tree % is locked', p_task.root_id USING ERRCODE = 'serialization_failure'; END IF;
  v_around := mind_clocks(p_task.parent_task_id);
  UPDATE delegation d
     SET status = CASE d.status WHEN 'open' THEN 'ended' ELSE d.status END, ended_at = clock_timestamp(), has_slot = false,
         head = CASE d.isolation WHEN 'fork' THEN w.head END
    FROM session s JOIN workspace w ON w.id = s.workspace_id
   WHERE d.child_task_id = p_task.id AND s.id = p_task.session_id
  RETURNING d.* INTO v_delegation;
  IF v_delegation.status IS DISTINCT FROM 'ended' THEN RETURN nothing_around(); END IF;
  v_turn := lock_turn(v_delegation.turn_id);
  RETURN joined(joined(
    nothing_around() || jsonb_build_object('events', turn_event('child.completed', v_turn, jsonb_build_object(
      'callId', (SELECT call_id FROM tool_call WHERE id = v_delegation.tool_call_id), 'childSessionId', p_task.session_id,
      'childTaskId', p_task.id, 'status', p_task.status))),
    close_wait(v_turn)), grant_slots(p_task.root_id));
END $$;

-- close_wait: a turn's open waits, one fewer. The last of a parked one makes it `queued`, unless it waits for more than them; one of a delegated
-- task that gave up its slot waits for another first. The caller holds it.
CREATE FUNCTION close_wait(p_turn turn) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_goes_on boolean := p_turn.status = 'parked' AND p_turn.open_waits = 1 AND p_turn.at_limit IS NULL AND NOT p_turn.is_paused;
  v_needs_slot boolean := v_goes_on AND EXISTS (
    SELECT 1 FROM delegation WHERE child_task_id = p_turn.task_id AND status = 'open' AND NOT has_slot);
BEGIN
  UPDATE turn
     SET open_waits = open_waits - 1, for_slot = v_needs_slot,
         status = CASE WHEN v_goes_on AND NOT v_needs_slot THEN 'queued' ELSE status END,
         wake = CASE WHEN v_goes_on AND NOT v_needs_slot THEN wake + 1 ELSE wake END,
         checked_at = CASE WHEN v_goes_on AND NOT v_needs_slot THEN clock_timestamp() ELSE checked_at END
   WHERE id = p_turn.id;
  IF NOT v_goes_on THEN RETURN nothing_around(); END IF;
  IF NOT v_needs_slot THEN
    RETURN nothing_around() || jsonb_build_object('wakes', jsonb_build_array(wake_of(p_turn.id)));
  END IF;
  UPDATE task SET waiting_on = 'slot' WHERE id = p_turn.task_id;
  RETURN nothing_around() || jsonb_build_object('events', event_of('task.waiting', p_turn.session_id, p_turn.task_id, NULL, '{"on": "slot"}'));
END $$;

-- grant_slots: turns `parked` for a slot → `queued`, as many as may be at work at once. Those that had begun go first, then who waits longest.
CREATE FUNCTION grant_slots(p_root uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn uuid;
  v_call uuid;
  v_root_task uuid;
  v_wakes jsonb := '[]';
BEGIN
  FOR v_turn, v_call, v_root_task IN
    SELECT u.id, d.tool_call_id, d.root_task_id
      FROM delegation d JOIN task t ON t.id = d.child_task_id JOIN turn u ON u.task_id = t.id AND u.for_slot
     WHERE d.root_id = p_root AND d.status = 'open' AND NOT d.has_slot ORDER BY u.started_at IS NULL, d.created_at, d.tool_call_id
  LOOP
    CONTINUE WHEN free_slots(v_root_task) < 1;
    PERFORM lock_turn(v_turn);
    UPDATE delegation SET has_slot = true WHERE tool_call_id = v_call;
    UPDATE turn SET status = 'queued', for_slot = false, wake = wake + 1, checked_at = clock_timestamp() WHERE id = v_turn;
    v_wakes := v_wakes || jsonb_build_array(wake_of(v_turn));
  END LOOP;
  RETURN nothing_around() || jsonb_build_object('wakes', v_wakes);
END $$;

-- How many more of what a person's task has delegated may be at work.
CREATE FUNCTION free_slots(p_root_task uuid) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT concurrent_limit - (SELECT count(*)::int FROM delegation WHERE root_task_id = p_root_task AND status = 'open' AND has_slot)
    FROM task WHERE id = p_root_task
$$;

-- free_slot: a delegated task that waits for its own gives its slot to another.
CREATE FUNCTION free_slot(p_turn turn) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  UPDATE delegation SET has_slot = false WHERE child_task_id = p_turn.task_id AND status = 'open' AND has_slot
     AND EXISTS (SELECT 1 FROM delegation WHERE turn_id = p_turn.id AND status = 'open');
  RETURN CASE WHEN FOUND THEN grant_slots(p_turn.root_id) ELSE nothing_around() END;
END $$;

-- mind_clocks: the time that a delegated task has, and those above it below the person's, stands still while a person is waited for in it or
-- below it. Called where such a wait begins or ends, with the task where it does.
CREATE FUNCTION mind_clocks(p_task uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_next uuid := p_task;
  v_waits boolean;
BEGIN
  LOOP
    SELECT * INTO v_task FROM task WHERE id = v_next;
    EXIT WHEN v_task.parent_task_id IS NULL;
    v_next := v_task.parent_task_id;
    CONTINUE WHEN v_task.ended_at IS NOT NULL OR v_task.deadline_at IS NULL;
    v_waits := waits_for_person(v_task.id);
    CONTINUE WHEN v_waits = (v_task.clock_stopped_at IS NOT NULL);
    PERFORM 1 FROM session WHERE id = v_task.session_id FOR NO KEY UPDATE;
    UPDATE task
       SET clock_stopped_at = CASE WHEN v_waits THEN clock_timestamp() END,
           deadline_at = deadline_at + CASE WHEN v_waits THEN interval '0' ELSE clock_timestamp() - clock_stopped_at END
     WHERE id = v_task.id;
  END LOOP;
  RETURN nothing_around();
END $$;

-- The unfinished tasks below a task, and itself.
CREATE FUNCTION tasks_below(p_task uuid) RETURNS TABLE (id uuid) LANGUAGE sql STABLE AS $$
  WITH RECURSIVE below AS (
    SELECT t.id FROM task t WHERE t.id = p_task
    UNION ALL
    SELECT t.id FROM below b JOIN task t ON t.parent_task_id = b.id WHERE t.ended_at IS NULL)
  SELECT below.id FROM below
$$;

CREATE FUNCTION waits_for_person(p_task uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM tasks_below(p_task) b JOIN task t ON t.id = b.id WHERE t.paused_at IS NOT NULL) OR EXISTS (
    SELECT 1 FROM tasks_below(p_task) b JOIN turn u ON u.task_id = b.id AND u.status = 'parked'
     WHERE u.at_limit IS NOT NULL OR EXISTS (SELECT 1 FROM approval a WHERE a.turn_id = u.id AND a.task_id = u.task_id AND a.status = 'open'))
$$;

-- What a task has used and reserved with all below it, ended ones too.
CREATE FUNCTION used_below(p_task uuid, OUT tokens bigint, OUT usd numeric) LANGUAGE plpgsql STABLE AS $$
BEGIN
  WITH RECURSIVE below AS (
    SELECT p_task AS id
    UNION ALL
    SELECT t.id FROM below b JOIN task t ON t.parent_task_id = b.id)
  SELECT coalesce(sum(b.tokens), 0), coalesce(sum(b.usd), 0) INTO tokens, usd
    FROM (SELECT u.input::bigint + u.output AS tokens, u.usd FROM below JOIN usage u ON u.task_id = below.id
          UNION ALL
          SELECT u.tokens_reserved, u.usd_reserved FROM below JOIN turn u ON u.task_id = below.id AND u.status = 'running') b;
END $$;

-- What of its own a delegated task, or one above it below the person's, has not enough left: `own_tokens`, `own_usd`. Null: it has.
CREATE FUNCTION own_limit_reached(p_task task, p_tokens bigint, p_usd numeric) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_task task := p_task;
  v_used record;
BEGIN
  WHILE v_task.parent_task_id IS NOT NULL LOOP
    IF v_task.own_token_limit IS NOT NULL OR v_task.own_usd_limit IS NOT NULL THEN
      SELECT * INTO v_used FROM used_below(v_task.id);
      IF v_used.tokens + p_tokens > v_task.own_token_limit THEN RETURN 'own_tokens'; END IF;
      IF v_used.usd + p_usd > v_task.own_usd_limit THEN RETURN 'own_usd'; END IF;
    END IF;
    SELECT * INTO v_task FROM task WHERE id = v_task.parent_task_id;
  END LOOP;
  RETURN NULL;
END $$;
