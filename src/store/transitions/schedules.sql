-- create_schedule: nothing → schedule, due or disabled.
--
-- p_schedule: {id, name, cron, everySeconds, timeZone, task, overlap, dueAt, requestHash (hexadecimal)}; without dueAt it is disabled. Returns:
-- {outcome: 'created' | 'repeated' | 'conflict' | 'name_taken' | 'too_many'}; 'repeated': one of that id was made of the same; 'conflict': of
-- something else. Races: of two, the second waits for the team's row, and sees the first one's name and counts it.
CREATE FUNCTION create_schedule(p_team uuid, p_user uuid, p_key uuid, p_schedule jsonb, p_most int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_id uuid := (p_schedule->>'id')::uuid;
  v_hash bytea := decode(p_schedule->>'requestHash', 'hex');
  v_due timestamptz := (p_schedule->>'dueAt')::timestamptz;
  v_before bytea;
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  SELECT request_hash INTO v_before FROM schedule WHERE id = v_id;
  IF FOUND THEN RETURN jsonb_build_object('outcome', CASE WHEN v_before = v_hash THEN 'repeated' ELSE 'conflict' END); END IF;
  IF (SELECT count(*) FROM schedule WHERE team_id = p_team AND removed_at IS NULL) >= p_most THEN RETURN jsonb_build_object('outcome', 'too_many'); END IF;
  INSERT INTO schedule (id, team_id, user_id, key_id, name, cron, every_seconds, time_zone, task, overlap, due_at, request_hash, disabled_at, disabled_reason)
  VALUES (v_id, p_team, p_user, p_key, p_schedule->>'name', p_schedule->>'cron', (p_schedule->>'everySeconds')::int, p_schedule->>'timeZone',
          p_schedule->'task', p_schedule->>'overlap', v_due, v_hash,
          CASE WHEN v_due IS NULL THEN clock_timestamp() END, CASE WHEN v_due IS NULL THEN 'person' END)
  ON CONFLICT (team_id, name) WHERE removed_at IS NULL DO NOTHING;
  RETURN jsonb_build_object('outcome', CASE WHEN FOUND THEN 'created' ELSE 'name_taken' END);
END $$;

-- change_schedule: schedule → changed, disabled, enabled or removed.
--
-- p_change: {name, cron, everySeconds, timeZone, task, overlap: all that it is from now on; isNewWhen, enabled?, dueAt, removed?}; dueAt counts
-- where it is enabled now, or when it is due is new. Whoever changes or enables it answers for its tasks from now on; who disables or removes it
-- does not. Guard: it is the team's, is not removed, and nobody has changed it since p_revision.
-- Returns: {outcome: 'changed' | 'moved_on' | 'not_found' | 'name_taken'}.
-- Races: the team's row is locked first, so that names stay apart; a repeat has 'moved_on', and its caller reads it anew.
CREATE FUNCTION change_schedule(p_team uuid, p_user uuid, p_key uuid, p_schedule uuid, p_revision int, p_change jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_was schedule;
  v_is_removed boolean := p_change ? 'removed';
  v_is_on boolean;
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  SELECT * INTO v_was FROM schedule WHERE id = p_schedule AND team_id = p_team AND removed_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF v_was.revision <> p_revision THEN RETURN jsonb_build_object('outcome', 'moved_on'); END IF;
  IF EXISTS (SELECT 1 FROM schedule WHERE team_id = p_team AND name = p_change->>'name' AND removed_at IS NULL AND id <> p_schedule)
  THEN RETURN jsonb_build_object('outcome', 'name_taken'); END IF;
  v_is_on := NOT v_is_removed AND coalesce((p_change->>'enabled')::boolean, v_was.disabled_at IS NULL);
  UPDATE schedule
     SET name = p_change->>'name', cron = p_change->>'cron', every_seconds = (p_change->>'everySeconds')::int, time_zone = p_change->>'timeZone',
         task = p_change->'task', overlap = p_change->>'overlap', revision = revision + 1,
         user_id = CASE WHEN v_is_on THEN p_user ELSE user_id END, key_id = CASE WHEN v_is_on THEN p_key ELSE key_id END,
         due_at = CASE WHEN NOT v_is_on THEN NULL
                       WHEN v_was.due_at IS NULL OR (p_change->>'isNewWhen')::boolean THEN (p_change->>'dueAt')::timestamptz ELSE v_was.due_at END,
         error_code = CASE WHEN v_is_on THEN NULL ELSE error_code END, error_message = CASE WHEN v_is_on THEN NULL ELSE error_message END,
         erred_at = CASE WHEN v_is_on THEN NULL ELSE erred_at END,
         disabled_at = CASE WHEN v_is_on THEN NULL WHEN v_is_removed THEN disabled_at ELSE coalesce(disabled_at, clock_timestamp()) END,
         disabled_reason = CASE WHEN v_is_on THEN NULL WHEN v_is_removed THEN disabled_reason ELSE coalesce(disabled_reason, 'person') END,
         removed_at = CASE WHEN v_is_removed THEN clock_timestamp() END
   WHERE id = p_schedule;
  RETURN jsonb_build_object('outcome', 'changed');
END $$;

-- fire_schedule: schedule, due → due again, with a task made or none; or `disabled`.
--
-- The task is made, and the schedule due again, in one commit: whatever dies and however many look, a due time makes one task. p_due, p_revision:
-- what the task was made ready for. p_next is behind now: due times that nobody was there for make one task together.
-- Guard: it is due at p_due still, and nobody has changed it. Whoever it acts for may hand in tasks: else it is disabled. Of its tasks fewer are
-- unfinished than may be: else none is made. Returns: what create_task does | {outcome: 'skipped' | 'revoked' | 'moved_on'}; where create_task
-- refuses nothing was changed, and pass_schedule says why. The audit has the task, or that it was disabled, under p_audit in the same commit.
-- Races: the schedule's row is locked before the session that create_task locks; nothing locks them the other way round.
CREATE FUNCTION fire_schedule(p_schedule uuid, p_due timestamptz, p_revision int, p_next timestamptz, p_session jsonb, p_task jsonb, p_most int, p_audit uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_schedule schedule;
  v_made jsonb := repeated_task((p_task->>'id')::uuid);
BEGIN
  IF v_made IS NOT NULL THEN RETURN v_made; END IF;
  SELECT * INTO v_schedule FROM schedule WHERE id = p_schedule FOR NO KEY UPDATE;
  IF v_schedule.due_at IS DISTINCT FROM p_due OR v_schedule.revision <> p_revision THEN
    RETURN coalesce(repeated_task((p_task->>'id')::uuid), '{"outcome": "moved_on"}');
  END IF;
  IF NOT may_submit(v_schedule.key_id) THEN
    UPDATE schedule SET due_at = NULL, disabled_at = clock_timestamp(), disabled_reason = 'revoked' WHERE id = p_schedule;
    PERFORM audit_schedule(v_schedule, p_audit, 'schedule.disabled', 'sch_', p_schedule, 200);
    RETURN '{"outcome": "revoked"}';
  END IF;
  IF is_busy(v_schedule, p_most) THEN
    UPDATE schedule SET due_at = p_next, skipped_at = clock_timestamp() WHERE id = p_schedule;
    RETURN '{"outcome": "skipped"}';
  END IF;
  v_made := add_task(v_schedule.team_id, v_schedule.user_id, p_session, p_task || jsonb_build_object('scheduleId', p_schedule), NULL);
  IF v_made->>'outcome' = 'created' THEN
    UPDATE schedule SET due_at = p_next, error_code = NULL, error_message = NULL, erred_at = NULL WHERE id = p_schedule;
    PERFORM audit_schedule(v_schedule, p_audit, 'schedule.fired', 'task_', (p_task->>'id')::uuid, 201);
  END IF;
  RETURN v_made;
END $$;

-- pass_schedule: schedule, due → due again without a task, and why; or `disabled`.
--
-- p_error: {code, message, disables?: a reason}; it has one where p_next is null, and then the audit has that under p_audit. Guard: as
-- fire_schedule's. Returns: {outcome: 'passed' | 'moved_on'}, a repeat's too.
CREATE FUNCTION pass_schedule(p_schedule uuid, p_due timestamptz, p_revision int, p_next timestamptz, p_error jsonb, p_audit uuid)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_schedule schedule;
BEGIN
  UPDATE schedule
     SET due_at = CASE WHEN p_error ? 'disables' THEN NULL ELSE p_next END,
         error_code = p_error->>'code', error_message = p_error->>'message', erred_at = clock_timestamp(),
         disabled_at = CASE WHEN p_error ? 'disables' THEN clock_timestamp() END, disabled_reason = p_error->>'disables'
   WHERE id = p_schedule AND due_at = p_due AND revision = p_revision RETURNING * INTO v_schedule;
  IF NOT FOUND THEN RETURN '{"outcome": "moved_on"}'; END IF;
  IF p_error ? 'disables' THEN PERFORM audit_schedule(v_schedule, p_audit, 'schedule.disabled', 'sch_', p_schedule, 200); END IF;
  RETURN '{"outcome": "passed"}';
END $$;

-- What it did by itself, as whoever it acts for: p_prefix and p_about are the public id of what that was about.
CREATE FUNCTION audit_schedule(p_schedule schedule, p_audit uuid, p_action text, p_prefix text, p_about uuid, p_status int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO audit (id, team_id, user_id, key_id, action, subject, status)
  VALUES (p_audit, p_schedule.team_id, p_schedule.user_id, p_schedule.key_id, p_action, p_prefix || replace(p_about::text, '-', ''), p_status)
$$;

-- run_schedule: schedule → with a task made now, by whoever asks for it; when it is due stays as it is.
--
-- Guard: it is the team's, is not removed, and nobody has changed it since p_revision; fewer of its tasks are unfinished than may be, unless the
-- key of p_idempotency has made one. Returns: what create_task does | {outcome: 'busy', taskId} | {outcome: 'moved_on'}. Locks as fire_schedule.
CREATE FUNCTION run_schedule(p_team uuid, p_user uuid, p_schedule uuid, p_revision int, p_session jsonb, p_task jsonb, p_idempotency jsonb, p_most int)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_schedule schedule;
BEGIN
  SELECT * INTO v_schedule FROM schedule WHERE id = p_schedule AND team_id = p_team AND removed_at IS NULL AND revision = p_revision FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN coalesce(repeated_task((p_task->>'id')::uuid), '{"outcome": "moved_on"}'); END IF;
  IF is_busy(v_schedule, p_most) AND repeated_task((p_task->>'id')::uuid) IS NULL
     AND NOT EXISTS (SELECT 1 FROM idempotency_key WHERE team_id = p_team AND key = p_idempotency->>'key') THEN
    RETURN jsonb_build_object('outcome', 'busy', 'taskId', (SELECT id FROM task WHERE schedule_id = p_schedule AND ended_at IS NULL ORDER BY id DESC LIMIT 1));
  END IF;
  RETURN add_task(p_team, p_user, p_session, p_task || jsonb_build_object('scheduleId', p_schedule), p_idempotency);
END $$;

-- Whether so many of its tasks have not ended that it makes no other. The caller holds its row, without which nobody makes one.
CREATE FUNCTION is_busy(p_schedule schedule, p_most int) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT count(*) >= CASE p_schedule.overlap WHEN 'skip' THEN 1 ELSE p_most END
    FROM task WHERE schedule_id = p_schedule.id AND ended_at IS NULL
$$;

-- Whether a key, and so its user, may hand in tasks now.
CREATE FUNCTION may_submit(p_key uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM api_key k JOIN "user" u ON u.id = k.user_id
                  WHERE k.id = p_key AND 'submit' = ANY(k.scopes) AND k.revoked_at IS NULL AND u.left_at IS NULL
                    AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()))
$$;
