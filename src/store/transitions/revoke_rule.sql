-- revoke_rule: rule in force → revoked. What it allowed before stays as it is.
--
-- Guard: the rule is the team's. Returns: {outcome: 'revoked' | 'not_found'}; a repeat is 'revoked' again, and the first who did it
-- stays.
CREATE FUNCTION revoke_rule(p_team uuid, p_rule uuid, p_user uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  UPDATE permission_rule SET revoked_by = coalesce(revoked_by, p_user), revoked_at = coalesce(revoked_at, clock_timestamp())
   WHERE id = p_rule AND team_id = p_team;
  RETURN jsonb_build_object('outcome', CASE WHEN FOUND THEN 'revoked' ELSE 'not_found' END);
END $$;
