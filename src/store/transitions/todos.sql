-- A session's list of what its agent has to do. The log has it, as `todos` of what results note; the table tells it to people.

-- put_todos: the session's list is this one from now on: [{text, status}]. An item that stays as it is keeps its time. Inner step of
-- those that hold the session, or its turn.
CREATE FUNCTION put_todos(p_session uuid, p_todos jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM todo WHERE session_id = p_session AND position > jsonb_array_length(p_todos);
  INSERT INTO todo (session_id, position, text, status)
  SELECT p_session, position, item->>'text', item->>'status' FROM jsonb_array_elements(p_todos) WITH ORDINALITY AS t(item, position)
  ON CONFLICT (session_id, position) DO UPDATE
     SET text = excluded.text, status = excluded.status, updated_at = clock_timestamp()
   WHERE (todo.text, todo.status) IS DISTINCT FROM (excluded.text, excluded.status);
END $$;

-- todos_at: SELECT of the list that a log had at a position: its newest one that was not taken back by then.
CREATE FUNCTION todos_at(p_session uuid, p_position int) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_at int := p_position;
  v_newest record;
BEGIN
  LOOP
    SELECT e.reverts_to, e.noted->'todos' AS todos INTO v_newest
      FROM log_parts(p_session) p JOIN entry e ON e.session_id = p.session_id AND e.position > p.after AND e.position <= least(p.last, v_at)
     WHERE e.kind = 'revert' OR e.noted ? 'todos' ORDER BY e.position DESC LIMIT 1;
    IF v_newest.reverts_to IS NULL THEN RETURN coalesce(v_newest.todos, '[]'); END IF;
    v_at := v_newest.reverts_to;
  END LOOP;
END $$;
