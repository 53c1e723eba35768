-- A session's log is its own entries and, of a fork, before them those that it shares with its source: read from there,
-- never copied. Positions go on from those, so that one number means one entry in either.

-- own_entries: SELECT of what a session itself has behind a position, up to one (null: to its end), in order, as the model's
-- context and `next` read it. Of what stands behind p_after, up to p_to, without the parts: a summary stands for them. What the user
-- said is told anyway.
CREATE FUNCTION own_entries(p_session uuid, p_position int, p_last int, p_after int DEFAULT NULL, p_to int DEFAULT NULL)
RETURNS TABLE ("position" int, entry jsonb) LANGUAGE sql STABLE AS $$
  SELECT e.position, jsonb_strip_nulls(jsonb_build_object('kind', e.kind, 'position', e.position,
           'parts', CASE WHEN e.position > p_after AND e.position <= p_to AND e.kind IN ('assistant', 'tool_result', 'notice') THEN '[]'
                         ELSE coalesce(e.parts, m.parts) END, 'stopReason', e.stop_reason, 'callId', e.call_id, 'status', e.status, 'to', e.reverts_to,
           'noted', e.noted, 'replaces', e.replaces))
    FROM entry e LEFT JOIN message m ON m.id = e.message_id
   WHERE e.session_id = p_session AND e.position > p_position AND (p_last IS NULL OR e.position <= p_last) ORDER BY e.position
$$;

-- log_parts: SELECT of the sessions that a log is made of, the first part first: each with the positions that are its part,
-- behind `after` up to `last` (null: to the end).
CREATE FUNCTION log_parts(p_session uuid) RETURNS TABLE (session_id uuid, after int, last int) LANGUAGE sql STABLE AS $$
  WITH RECURSIVE part AS (
    SELECT id, forked_from, coalesce(forked_at, 0) AS after, NULL::int AS last, 0 AS depth FROM session WHERE id = p_session
    UNION ALL
    SELECT s.id, s.forked_from, coalesce(s.forked_at, 0), p.after, p.depth + 1 FROM part p JOIN session s ON s.id = p.forked_from)
  SELECT id, after, last FROM part ORDER BY depth DESC
$$;

-- read_entries: SELECT of a session's whole log behind a position, in order.
CREATE FUNCTION read_entries(p_session uuid, p_position int) RETURNS TABLE ("position" int, entry jsonb) LANGUAGE sql STABLE AS $$
  SELECT e.position, e.entry
    FROM log_parts(p_session) p CROSS JOIN LATERAL own_entries(p.session_id, greatest(p.after, p_position), p.last) e
   ORDER BY e.position
$$;

-- read_log: SELECT of a session's log behind a position, in order, as a worker needs it that does not know it: without the parts of what the
-- newest summary stands for. Where a person went back to before that summary, it is no more, and all is read.
CREATE FUNCTION read_log(p_session uuid, p_position int) RETURNS TABLE ("position" int, entry jsonb) LANGUAGE sql STABLE AS $$
  WITH part AS MATERIALIZED (SELECT * FROM log_parts(p_session)), change AS MATERIALIZED (
    SELECT e.position, e.kind, e.reverts_to, e.replaces
      FROM part p JOIN entry e ON e.session_id = p.session_id AND e.position > p.after AND (p.last IS NULL OR e.position <= p.last)
     WHERE e.kind IN ('compaction', 'revert')
  ), summary AS (
    SELECT s.replaces
      FROM (SELECT position, replaces FROM change WHERE kind = 'compaction' ORDER BY position DESC LIMIT 1) s
     WHERE NOT EXISTS (SELECT FROM change r WHERE r.kind = 'revert' AND r.position > s.position AND r.reverts_to < s.position))
  SELECT e.position, e.entry
    FROM part p LEFT JOIN summary s ON true
   CROSS JOIN LATERAL own_entries(p.session_id, greatest(p.after, p_position), p.last, (s.replaces->>'after')::int, (s.replaces->>'to')::int) e
   ORDER BY e.position
$$;

CREATE FUNCTION next_position(p_session uuid) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT max(position) FROM entry WHERE session_id = p_session),
                  (SELECT forked_at FROM session WHERE id = p_session), 0) + 1
$$;

-- files_at: SELECT of the newest snapshot that a log recorded up to a position, by a call or by a person; null: none.
CREATE FUNCTION files_at(p_session uuid, p_position int) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT snapshot
    FROM (SELECT c.result_position AS position, c.snapshot
            FROM log_parts(p_session) p JOIN tool_call c ON c.session_id = p.session_id
           WHERE c.result_position > p.after AND c.result_position <= least(p.last, p_position)
          UNION ALL
          SELECT r.position, r.snapshot
            FROM log_parts(p_session) p JOIN revision r ON r.session_id = p.session_id
           WHERE r.position > p.after AND r.position <= least(p.last, p_position)) recorded
   WHERE snapshot IS NOT NULL ORDER BY position DESC LIMIT 1
$$;

-- log_point: SELECT of a point in a session's log to go back to, or to branch off at: behind a turn (the Nth answer of the whole
-- log, with what it led to; 0: before all), behind an entry, or behind all that is settled.
--
-- Returns: {outcome: 'found', position, owner: the session whose entry stands there, title, files: {kind, path, source, rules, projectServers,
-- lineage, base, head}, head being the files as they were there} | {outcome: 'not_found'} | {outcome: 'unknown', last: the last one there is}
-- | {outcome: 'unfinished'}: the turn goes on.
-- A log only grows, so what was found stays true.
CREATE FUNCTION log_point(p_team uuid, p_session uuid, p_turn int, p_entry int) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_title text;
  v_position int;
  v_turn turn;
BEGIN
  SELECT title INTO v_title FROM session WHERE id = p_session AND team_id = p_team;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  v_position := coalesce(p_entry, next_position(p_session) - 1);
  IF p_entry >= next_position(p_session) THEN
    RETURN jsonb_build_object('outcome', 'unknown', 'last', next_position(p_session) - 1);
  ELSIF p_turn = 0 THEN
    v_position := 0;
  ELSIF p_turn > 0 THEN
    SELECT u.* INTO v_turn
      FROM log_parts(p_session) p JOIN entry e ON e.session_id = p.session_id AND e.position > p.after AND (p.last IS NULL OR e.position <= p.last)
      JOIN turn u ON u.id = e.turn_id
     WHERE e.kind = 'assistant' ORDER BY e.position OFFSET p_turn - 1 LIMIT 1;
    IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'unknown', 'last', answers_in(p_session)); END IF;
    IF v_turn.ended_at IS NULL AND v_turn.session_id = p_session THEN RETURN jsonb_build_object('outcome', 'unfinished'); END IF;
    SELECT max(e.position) INTO v_position
      FROM log_parts(p_session) p JOIN entry e ON e.session_id = p.session_id AND (p.last IS NULL OR e.position <= p.last)
     WHERE e.session_id = v_turn.session_id AND e.turn_id = v_turn.id;
  ELSIF p_entry IS NULL THEN
    SELECT coalesce(min(e.position) - 1, v_position) INTO v_position
      FROM turn u JOIN entry e ON e.session_id = u.session_id AND e.turn_id = u.id
     WHERE u.session_id = p_session AND u.status IN ('ready', 'queued', 'running', 'parked');
  END IF;
  RETURN (
    SELECT jsonb_build_object('outcome', 'found', 'position', v_position, 'title', v_title,
             'owner', (SELECT session_id FROM log_parts(p_session)
                        WHERE after <= v_position AND (last IS NULL OR v_position <= last) ORDER BY after LIMIT 1),
             'files', jsonb_build_object('kind', w.kind, 'path', w.path, 'source', w.source, 'rules', w.rules, 'projectServers', w.project_servers,
               'lineage', w.lineage, 'base', w.base,
               'head', coalesce(files_at(p_session, v_position), w.base)))
      FROM session s JOIN workspace w ON w.id = s.workspace_id WHERE s.id = p_session);
END $$;

CREATE FUNCTION answers_in(p_session uuid) RETURNS int LANGUAGE sql STABLE AS $$
  SELECT count(*)::int
    FROM log_parts(p_session) p JOIN entry e ON e.session_id = p.session_id AND e.position > p.after AND (p.last IS NULL OR e.position <= p.last)
   WHERE e.kind = 'assistant'
$$;

-- Whether an entry of a session's own counts, and was not taken back.
CREATE FUNCTION stands(p_session uuid, p_position int) RETURNS boolean LANGUAGE sql STABLE AS $$
  WITH RECURSIVE walk AS (
    SELECT r.position AS first, r.reverts_to AS next, n.last
      FROM (SELECT next_position(p_session) - 1 AS last) n
      LEFT JOIN LATERAL (SELECT position, reverts_to FROM entry
                          WHERE session_id = p_session AND kind = 'revert' AND position <= n.last ORDER BY position DESC LIMIT 1) r ON true
    UNION ALL
    SELECT r.position, r.reverts_to, w.next
      FROM walk w
      LEFT JOIN LATERAL (SELECT position, reverts_to FROM entry
                          WHERE session_id = p_session AND kind = 'revert' AND position <= w.next ORDER BY position DESC LIMIT 1) r ON true
     WHERE w.next IS NOT NULL)
  SELECT EXISTS (SELECT 1 FROM walk WHERE p_position <= last AND p_position >= coalesce(first, 0))
$$;
