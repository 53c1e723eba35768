-- The lock order (PROTOCOL 7): the tree's lock where more than one session may be touched; then, of each session, session, task, turn, tool call, approval, what all sessions know of providers (rate_bucket,
-- model_health), and last the tree's row, in append_events.
-- FOR NO KEY UPDATE only: a foreign key's check (KEY SHARE) must not wait for it.

-- lock_tree: the lock of a whole session tree, until the transaction ends. Whoever may touch more than one of its sessions takes it
-- before any row, and so nobody waits here who has locked one. Where nothing was ever delegated, there is one session.
CREATE FUNCTION lock_tree(p_root uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF has_children(p_root) THEN PERFORM pg_advisory_xact_lock(7, hashtext(p_root::text)); END IF;
END $$;

-- False: somebody has it. For whoever would not wait, and for whoever has locked a row already.
CREATE FUNCTION try_lock_tree(p_root uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN NOT has_children(p_root) OR pg_try_advisory_xact_lock(7, hashtext(p_root::text));
END $$;

CREATE FUNCTION has_children(p_root uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT children > 0 FROM tree WHERE root_id = p_root), false)
$$;

-- lock_turn_and_task: locks a turn with its session and task, top down: rows are locked in the order in which OF names them.
-- Nulls: no such turn.
CREATE FUNCTION lock_turn_and_task(p_turn uuid, OUT turn turn, OUT task task) LANGUAGE plpgsql AS $$
DECLARE
  v_found record;
BEGIN
  PERFORM lock_tree((SELECT root_id FROM turn WHERE id = p_turn));
  SELECT u AS turn, t AS task INTO v_found
    FROM turn u JOIN task t ON t.id = u.task_id JOIN session s ON s.id = u.session_id
   WHERE u.id = p_turn FOR NO KEY UPDATE OF s, t, u;
  turn := v_found.turn;
  task := v_found.task;
END $$;

CREATE FUNCTION lock_turn(p_turn uuid) RETURNS turn LANGUAGE plpgsql AS $$
BEGIN
  RETURN (lock_turn_and_task(p_turn)).turn;
END $$;

-- fence: locks the turn if this attempt still holds it. Null: it does not, and may write nothing.
--
-- The lock is what makes it a fence: whoever takes the turn over waits for this transaction, or this one finds the
-- attempt replaced. A guard that only read could commit after the next attempt has begun.
CREATE FUNCTION fence(p_turn uuid, p_attempt uuid) RETURNS turn LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn;
BEGIN
  SELECT * INTO v_turn FROM turn WHERE id = p_turn AND attempt_id = p_attempt AND status = 'running' FOR NO KEY UPDATE;
  RETURN v_turn;
END $$;
