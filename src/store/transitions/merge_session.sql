-- merge_session: session → with another's files, and a notice of its log.
--
-- Guard: both are the team's; the session is not archived, no task of it is unfinished, and its files are still those that were merged (ours).
-- p_merge: {id, from, base, ours, theirs, snapshot, conflicts, parts}; snapshot: the merged files, null where their owner put them there.
-- Returns: {outcome: 'merged' | 'repeated', rootId, position, conflicts, from, seq?} | {outcome: 'not_found' | 'archived' | 'shared' | 'moved'}
-- | {outcome: 'unfinished', taskId}
-- Races: a new task locks the session too; another merge that came first has moved the files, and this one is done anew on those.
CREATE FUNCTION merge_session(p_team uuid, p_user uuid, p_session uuid, p_merge jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_refused jsonb := refused_revision(p_team, p_session, (p_merge->>'id')::uuid);
  v_from uuid := (p_merge->>'from')::uuid;
  v_root uuid;
  v_head text;
  v_position int;
BEGIN
  IF v_refused IS NOT NULL THEN RETURN v_refused; END IF;
  SELECT s.root_id, w.head INTO v_root, v_head FROM session s JOIN workspace w ON w.id = s.workspace_id WHERE s.id = p_session;
  IF v_head IS DISTINCT FROM p_merge->>'ours' OR NOT EXISTS (SELECT 1 FROM session WHERE id = v_from AND team_id = p_team) THEN
    RETURN jsonb_build_object('outcome', 'moved');
  END IF;
  v_position := next_position(p_session);
  INSERT INTO entry (session_id, position, kind, parts) VALUES (p_session, v_position, 'notice', p_merge->'parts');
  INSERT INTO revision (id, session_id, user_id, kind, position, snapshot, from_session_id, theirs, base, conflicts)
  VALUES ((p_merge->>'id')::uuid, p_session, p_user, 'merge', v_position, p_merge->>'snapshot', v_from, p_merge->>'theirs',
          p_merge->>'base', p_merge->'conflicts');
  RETURN jsonb_build_object('outcome', 'merged', 'rootId', v_root, 'position', v_position, 'from', v_from, 'conflicts', p_merge->'conflicts',
    'seq', append_events(v_root,
      event_of('session.merged', p_session, NULL, NULL, jsonb_build_object('mergedFrom', v_from, 'position', v_position,
        'conflicts', jsonb_array_length(p_merge->'conflicts')))
      || put_files(p_session, p_merge->>'snapshot')));
END $$;

-- merge_point: SELECT of what two sessions have in common, so that one's files can be taken into the other's.
--
-- Returns: {outcome: 'found', base, into: {kind, path, lineage, head}, from: {title, head}, since} | {outcome: 'not_found'}: one of them is
-- not the team's | {outcome: 'unrelated'}
-- base: what was merged last of one into the other, where that still counts; else the files at which their logs part, or which both
-- began with; null: nothing. since: when; null: all that the other's tasks did came after it.
CREATE FUNCTION merge_point(p_team uuid, p_into uuid, p_from uuid) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_into record;
  v_from record;
  v_last revision;
  v_part record;
  v_base text;
  v_since timestamptz;
BEGIN
  SELECT w.*, s.created_at AS since, s.forked_from, s.title INTO v_into FROM session s JOIN workspace w ON w.id = s.workspace_id WHERE s.id = p_into AND s.team_id = p_team;
  SELECT w.*, s.created_at AS since, s.forked_from, s.title INTO v_from FROM session s JOIN workspace w ON w.id = s.workspace_id WHERE s.id = p_from AND s.team_id = p_team;
  IF v_into.id IS NULL OR v_from.id IS NULL THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_into.lineage <> v_from.lineage OR p_into = p_from THEN RETURN jsonb_build_object('outcome', 'unrelated'); END IF;
  SELECT * INTO v_last FROM revision
   WHERE kind = 'merge' AND (session_id, from_session_id) IN ((p_into, p_from), (p_from, p_into)) AND stands(session_id, position)
   ORDER BY created_at DESC, position DESC LIMIT 1;
  SELECT a.session_id, least(a.last, b.last) AS position INTO v_part
    FROM log_parts(p_into) a JOIN log_parts(p_from) b ON b.session_id = a.session_id ORDER BY least(a.last, b.last) DESC LIMIT 1;
  IF v_last.id IS NOT NULL THEN
    v_base := v_last.theirs;
    v_since := v_last.created_at;
  ELSIF v_part.session_id IS NOT NULL THEN
    v_base := coalesce(files_at(p_into, v_part.position), CASE WHEN v_from.forked_from IS NULL THEN v_into.base ELSE v_from.base END);
    v_since := CASE v_part.session_id WHEN p_from THEN v_into.since END;
  ELSIF v_into.base IS NOT NULL AND v_into.base = v_from.base THEN
    v_base := v_into.base;
  ELSE
    RETURN jsonb_build_object('outcome', 'unrelated');
  END IF;
  RETURN jsonb_build_object('outcome', 'found', 'base', v_base, 'since', v_since,
    'into', jsonb_build_object('kind', v_into.kind, 'path', v_into.path, 'lineage', v_into.lineage, 'head', v_into.head),
    'from', jsonb_build_object('title', v_from.title, 'head', v_from.head));
END $$;
