-- pause_task: any unfinished task → paused, and all below it. No turn of it begins, and one that runs is handed back.
--
-- Guard: the task is the team's. The mark is all: what it waits for goes on being counted, and the claim that comes next parks its turn.
-- Returns: {outcome: 'paused', rootId, seq, paused: tasks that were marked now} | {outcome: 'ended', status} | {outcome: 'not_found'}
-- Races: claim locks session and task, as this does: either it sees the mark, or its worker is told, and looks for itself.
CREATE FUNCTION pause_task(p_team uuid, p_task uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_id uuid;
  v_events jsonb := '[]';
  v_paused jsonb := '[]';
BEGIN
  SELECT * INTO v_task FROM task WHERE id = p_task AND team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  PERFORM lock_tree(v_task.root_id);
  v_task := lock_task(p_task);
  IF v_task.id IS NULL THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_task.ended_at IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'ended', 'status', v_task.status); END IF;
  FOR v_id IN SELECT b.id FROM tasks_below(p_task) b LOOP
    v_task := lock_task(v_id);
    CONTINUE WHEN v_task.paused_at IS NOT NULL OR v_task.ended_at IS NOT NULL;
    UPDATE task SET paused_at = clock_timestamp() WHERE id = v_id;
    v_paused := v_paused || to_jsonb(v_id);
    v_events := v_events || event_of('task.paused', v_task.session_id, v_id, NULL) || state_event(v_task.session_id, v_id, 'waiting');
    PERFORM mind_clocks(v_id);
  END LOOP;
  RETURN jsonb_build_object('outcome', 'paused', 'rootId', v_task.root_id, 'paused', v_paused, 'seq', append_events(v_task.root_id, v_events));
END $$;

-- resume_task: a paused task → what it was, and all below it. A turn that was `parked` for that is `queued`.
--
-- Guard: the task is the team's. The time in which it was paused does not count until its deadline.
-- Returns: {outcome: 'resumed', rootId, seq, also?} | {outcome: 'ended', status} | {outcome: 'not_found'}
-- Races: as pause_task. A repeat finds no mark, and writes nothing.
CREATE FUNCTION resume_task(p_team uuid, p_task uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
  v_turn turn;
  v_id uuid;
  v_events jsonb := '[]';
  v_wakes jsonb := '[]';
BEGIN
  SELECT * INTO v_task FROM task WHERE id = p_task AND team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  PERFORM lock_tree(v_task.root_id);
  v_task := lock_task(p_task);
  IF v_task.id IS NULL THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_task.ended_at IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'ended', 'status', v_task.status); END IF;
  FOR v_id IN SELECT b.id FROM tasks_below(p_task) b LOOP
    v_task := lock_task(v_id);
    CONTINUE WHEN v_task.paused_at IS NULL;
    UPDATE task
       SET paused_at = NULL,
           deadline_at = deadline_at + CASE WHEN parent_task_id IS NULL THEN clock_timestamp() - paused_at ELSE interval '0' END
     WHERE id = v_id;
    PERFORM mind_clocks(v_id);
    v_events := v_events || event_of('task.resumed', v_task.session_id, v_id, NULL) || state_event(v_task.session_id, v_id, resumed_state(v_task));
    UPDATE turn SET status = 'queued', is_paused = false, wake = wake + 1, checked_at = clock_timestamp() WHERE task_id = v_id AND is_paused
    RETURNING * INTO v_turn;
    IF FOUND THEN v_wakes := v_wakes || jsonb_build_array(wake_of(v_turn.id)); END IF;
  END LOOP;
  RETURN jsonb_build_object('outcome', 'resumed', 'rootId', v_task.root_id, 'seq', append_events(v_task.root_id, v_events))
    || also(nothing_around() || jsonb_build_object('wakes', v_wakes));
END $$;

-- What a person sees its agent do again. A turn that waits for a worker leaves what was to be seen of the one before.
CREATE FUNCTION resumed_state(p_task task) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN CASE p_task.status WHEN 'waiting' THEN 'waiting' WHEN 'queued' THEN 'idle' ELSE
    CASE WHEN EXISTS (SELECT 1 FROM tool_call WHERE turn_id =
           (SELECT id FROM turn WHERE task_id = p_task.id AND started_at IS NOT NULL ORDER BY number DESC LIMIT 1))
         THEN 'executing' ELSE 'thinking' END END;
END $$;

-- Locks a task with its session, top down.
CREATE FUNCTION lock_task(p_task uuid) RETURNS task LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
BEGIN
  PERFORM 1 FROM session WHERE id = (SELECT session_id FROM task WHERE id = p_task) FOR NO KEY UPDATE;
  SELECT * INTO v_task FROM task WHERE id = p_task FOR NO KEY UPDATE;
  RETURN v_task;
END $$;

-- Instead of running, a turn of a paused task → `parked`, until resume_task. The caller holds both.
CREATE FUNCTION park_paused(p_turn turn) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  UPDATE turn SET status = 'parked', is_paused = true, checked_at = NULL WHERE id = p_turn.id;
  RETURN jsonb_build_object('outcome', 'parked', 'rootId', p_turn.root_id,
    'seq', append_events(p_turn.root_id, turn_event('turn.parked', p_turn, jsonb_build_object('openWaits', p_turn.open_waits))));
END $$;
