-- put_mcp_sign_in: nothing, or an older sign-in → sign-in.
--
-- p_sign_in: {id, server, secret (sealed for that id, hexadecimal), expiresAt?}; p_user: who signed in, null where a client is let in by its own secret;
-- p_server: the id of the team's server that was signed in at, null where it is no server of the team.
-- Guard: the team has that server still. Whoever renews an older one has lost it. A repeat writes the same again.
-- Returns: {outcome: 'signed_in' | 'gone'}; 'gone': the server was removed or replaced meanwhile.
-- Races: whoever puts or removes the server waits for the team's row, and comes before or after.
CREATE FUNCTION put_mcp_sign_in(p_team uuid, p_user uuid, p_sign_in jsonb, p_server uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  IF p_server IS NOT NULL AND NOT EXISTS (SELECT FROM mcp_server WHERE team_id = p_team AND name = p_sign_in->>'server' AND id = p_server)
  THEN RETURN jsonb_build_object('outcome', 'gone'); END IF;
  INSERT INTO mcp_sign_in AS s (id, team_id, user_id, server, secret, expires_at)
  VALUES ((p_sign_in->>'id')::uuid, p_team, p_user, p_sign_in->>'server', decode(p_sign_in->>'secret', 'hex'), (p_sign_in->>'expiresAt')::timestamptz)
  ON CONFLICT (team_id, server) DO UPDATE
     SET id = excluded.id, user_id = excluded.user_id, secret = excluded.secret, expires_at = excluded.expires_at, version = s.version + 1,
         claim = NULL, claimed_until = NULL, failure = NULL, updated_at = clock_timestamp();
  RETURN jsonb_build_object('outcome', 'signed_in');
END $$;

-- claim_mcp_sign_in: sign-in → renewed by whoever has p_claim, for p_ms.
--
-- Guard: it is the one that was read (p_version), and nobody else renews it, so that a refresh token is used once. p_claim has it already: a repeat.
-- Returns: {outcome: 'claimed' | 'busy' | 'changed'}; 'changed': there is another, or none.
CREATE FUNCTION claim_mcp_sign_in(p_team uuid, p_server text, p_version int, p_claim uuid, p_ms int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_sign_in mcp_sign_in;
BEGIN
  SELECT * INTO v_sign_in FROM mcp_sign_in WHERE team_id = p_team AND server = p_server FOR NO KEY UPDATE;
  IF v_sign_in.version IS DISTINCT FROM p_version THEN RETURN jsonb_build_object('outcome', 'changed'); END IF;
  IF v_sign_in.claim <> p_claim AND v_sign_in.claimed_until > clock_timestamp() THEN RETURN jsonb_build_object('outcome', 'busy'); END IF;
  UPDATE mcp_sign_in SET claim = p_claim, claimed_until = clock_timestamp() + make_interval(secs => p_ms / 1000.0) WHERE id = v_sign_in.id;
  RETURN jsonb_build_object('outcome', 'claimed');
END $$;

-- settle_mcp_sign_in: sign-in under a claim → renewed, of no use any more, or as it was.
--
-- p_end: {secret?, expiresAt?, failure?}; nothing: it could not be renewed now. Guard: p_claim has it still. Returns: {outcome: 'settled' | 'lost'};
-- a repeat is 'lost': there is another to read.
CREATE FUNCTION settle_mcp_sign_in(p_team uuid, p_server text, p_claim uuid, p_end jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  UPDATE mcp_sign_in
     SET secret = coalesce(decode(p_end->>'secret', 'hex'), secret),
         expires_at = CASE WHEN p_end ? 'secret' THEN (p_end->>'expiresAt')::timestamptz ELSE expires_at END,
         version = version + (p_end ? 'secret' OR p_end ? 'failure')::int, failure = p_end->>'failure',
         claim = NULL, claimed_until = NULL, updated_at = clock_timestamp()
   WHERE team_id = p_team AND server = p_server AND claim = p_claim;
  RETURN jsonb_build_object('outcome', CASE WHEN FOUND THEN 'settled' ELSE 'lost' END);
END $$;

-- remove_mcp_sign_in: sign-in → nothing. Returns: {outcome: 'removed' | 'not_found'}; a repeat is 'not_found'.
CREATE FUNCTION remove_mcp_sign_in(p_team uuid, p_server text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM mcp_sign_in WHERE team_id = p_team AND server = p_server;
  RETURN jsonb_build_object('outcome', CASE WHEN FOUND THEN 'removed' ELSE 'not_found' END);
END $$;
