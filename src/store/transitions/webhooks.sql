-- create_webhook: nothing → webhook.
--
-- p_webhook: {id, url, events, secret (sealed) and requestHash (hexadecimal), signsTasks}. With the secret of a team's first one is also signed what its tasks have
-- delivered to URLs of their own, until that is removed and another made; with signsTasks from now on with this one's.
-- Returns: {outcome: 'created' | 'repeated' | 'conflict' | 'too_many'}; 'repeated': one of that id was made of the same, and nothing was changed;
-- 'conflict': of something else.
-- Races: of two, the second waits for the team's row and counts the first one's.
CREATE FUNCTION create_webhook(p_team uuid, p_user uuid, p_webhook jsonb, p_most int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_id uuid := (p_webhook->>'id')::uuid;
  v_hash bytea := decode(p_webhook->>'requestHash', 'hex');
  v_before bytea;
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  SELECT request_hash INTO v_before FROM webhook WHERE id = v_id;
  IF FOUND THEN RETURN jsonb_build_object('outcome', CASE WHEN v_before = v_hash THEN 'repeated' ELSE 'conflict' END); END IF;
  IF (SELECT count(*) FROM webhook WHERE team_id = p_team AND removed_at IS NULL) >= p_most THEN RETURN jsonb_build_object('outcome', 'too_many'); END IF;
  INSERT INTO webhook (id, team_id, user_id, url, events, secret, request_hash)
  VALUES (v_id, p_team, p_user, p_webhook->>'url', ARRAY(SELECT jsonb_array_elements_text(p_webhook->'events')), decode(p_webhook->>'secret', 'hex'), v_hash);
  UPDATE team SET signing_webhook_id = v_id
   WHERE id = p_team AND ((p_webhook->>'signsTasks')::boolean
                          OR NOT EXISTS (SELECT 1 FROM webhook w WHERE w.id = signing_webhook_id AND w.removed_at IS NULL));
  PERFORM forget_secrets(p_team);
  RETURN jsonb_build_object('outcome', 'created');
END $$;

-- change_webhook: webhook → changed, disabled, enabled or removed.
--
-- p_change: {url?, events?, enabled?, removed?}. Guard: it is the team's, and not removed. What is on its way to one that is removed has failed
-- now, or with the try that is being made; to one that is disabled, when it would be tried. Returns: {outcome: 'changed' | 'not_found'}; a
-- repeat is 'changed' again, of a removal 'not_found'.
-- Races: a removal locks the team, as create_webhook does, then what is on its way before the webhook, as settle_delivery does. What an event or a test adds meanwhile is due at once.
CREATE FUNCTION change_webhook(p_team uuid, p_webhook uuid, p_change jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_enabled boolean := (p_change->>'enabled')::boolean;
  v_is_changed boolean;
BEGIN
  IF p_change ? 'removed' THEN
    PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
    PERFORM 1 FROM webhook_delivery WHERE webhook_id = p_webhook AND team_id = p_team AND status = 'pending' ORDER BY id FOR NO KEY UPDATE;
  END IF;
  UPDATE webhook
     SET url = coalesce(p_change->>'url', url),
         events = CASE WHEN p_change ? 'events' THEN ARRAY(SELECT jsonb_array_elements_text(p_change->'events')) ELSE events END,
         failing_since = CASE WHEN v_enabled THEN NULL ELSE failing_since END,
         disabled_at = CASE WHEN v_enabled THEN NULL WHEN NOT v_enabled THEN coalesce(disabled_at, clock_timestamp()) ELSE disabled_at END,
         disabled_reason = CASE WHEN v_enabled THEN NULL WHEN NOT v_enabled THEN coalesce(disabled_reason, 'person') ELSE disabled_reason END,
         removed_at = CASE WHEN p_change ? 'removed' THEN clock_timestamp() END
   WHERE id = p_webhook AND team_id = p_team AND removed_at IS NULL;
  v_is_changed := FOUND;
  IF v_is_changed AND p_change ? 'removed' THEN
    UPDATE webhook_delivery SET status = 'failed', due_at = NULL, queued_at = NULL, ended_at = clock_timestamp(), said = 'The webhook was removed.'
     WHERE webhook_id = p_webhook AND status = 'pending' AND claim IS NULL;
    PERFORM forget_secrets(p_team);
  END IF;
  RETURN jsonb_build_object('outcome', CASE WHEN v_is_changed THEN 'changed' ELSE 'not_found' END);
END $$;

-- What nothing is signed with any more is kept by nobody: secrets of removed webhooks, but of the one that signs for tasks. The caller holds the team's row.
CREATE FUNCTION forget_secrets(p_team uuid) RETURNS void LANGUAGE sql AS $$
  UPDATE webhook SET secret = NULL
   WHERE team_id = p_team AND removed_at IS NOT NULL AND secret IS NOT NULL AND id <> (SELECT signing_webhook_id FROM team WHERE id = p_team)
$$;
