-- post_message: nothing → message for an unfinished task, taken into the log by its next turn.
--
-- Guard: the task is the team's and unfinished. Returns: {outcome: 'posted' | 'repeated'} | {outcome: 'not_found' | 'ended'}
-- Messages are taken in by their time, so two of one millisecond are set one apart.
-- Races: settle_turn locks the session too: it sees the message and goes on, or this finds the task ended.
CREATE FUNCTION post_message(p_team uuid, p_task uuid, p_message uuid, p_user uuid, p_parts jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_task task;
BEGIN
  SELECT * INTO v_task FROM task WHERE id = p_task AND team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  PERFORM 1 FROM session WHERE id = v_task.session_id FOR NO KEY UPDATE;
  IF EXISTS (SELECT 1 FROM message WHERE id = p_message) THEN RETURN jsonb_build_object('outcome', 'repeated'); END IF;
  SELECT * INTO v_task FROM task WHERE id = p_task FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_task.ended_at IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'ended'); END IF;
  INSERT INTO message (id, session_id, task_id, user_id, parts, created_at)
  VALUES (p_message, v_task.session_id, p_task, p_user, p_parts, greatest(clock_timestamp(),
            (SELECT max(created_at) + interval '1 ms' FROM message WHERE task_id = p_task AND taken_position IS NULL)));
  RETURN jsonb_build_object('outcome', 'posted');
END $$;
