-- revoke_keys: key in use → revoked; all of a user, who has then left.
--
-- Guard: the key, or the user, is the team's. One of p_key and p_user is given. Returns: {outcome: 'revoked' | 'not_found' | 'last_admin'}; a
-- repeat is 'revoked' again. 'last_admin': nobody could administrate the team any more, so nothing was changed.
-- Races: of two that revoke, the second waits for the team's row and sees what the first has left. The user's row is locked before their keys are
-- looked for: whoever makes one for them holds it.
CREATE FUNCTION revoke_keys(p_team uuid, p_key uuid, p_user uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  PERFORM 1 FROM "user" WHERE id = p_user AND team_id = p_team FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT 1 FROM api_key WHERE id = p_key AND team_id = p_team)
     AND NOT EXISTS (SELECT 1 FROM "user" WHERE id = p_user AND team_id = p_team)
  THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  IF EXISTS (SELECT 1 FROM api_key k WHERE k.team_id = p_team AND (k.id = p_key OR k.user_id = p_user) AND administrates(k))
     AND NOT EXISTS (SELECT 1 FROM api_key k WHERE k.team_id = p_team AND k.id IS DISTINCT FROM p_key AND k.user_id IS DISTINCT FROM p_user AND administrates(k))
  THEN RETURN jsonb_build_object('outcome', 'last_admin'); END IF;
  UPDATE api_key SET revoked_at = clock_timestamp()
   WHERE team_id = p_team AND (id = p_key OR user_id = p_user) AND revoked_at IS NULL;
  UPDATE "user" SET left_at = coalesce(left_at, clock_timestamp()) WHERE id = p_user;
  RETURN jsonb_build_object('outcome', 'revoked');
END $$;

-- One that will expire counts: whoever gave it a date chose that.
CREATE FUNCTION administrates(p_key api_key) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT 'admin' = ANY(p_key.scopes) AND p_key.revoked_at IS NULL AND (p_key.expires_at IS NULL OR p_key.expires_at > clock_timestamp())
$$;
