-- put_mcp_server: nothing, or MCP server of a team → MCP server of a team, and nothing of what was signed in with at another address.
--
-- p_server: {id, name, settings (sealed for that id, hexadecimal), keepsSignIn: whether it replaces one of the same address}. One of the same name is
-- replaced whole, its id too. Returns: {outcome: 'put' | 'too_many'}; a repeat is 'put' again.
-- Races: of two, the second waits for the team's row, counts the first one's, and replaces one of the same name.
CREATE FUNCTION put_mcp_server(p_team uuid, p_user uuid, p_server jsonb, p_most int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  IF (SELECT count(*) FROM mcp_server WHERE team_id = p_team AND name <> p_server->>'name') >= p_most
  THEN RETURN jsonb_build_object('outcome', 'too_many'); END IF;
  INSERT INTO mcp_server AS s (id, team_id, user_id, name, settings)
  VALUES ((p_server->>'id')::uuid, p_team, p_user, p_server->>'name', decode(p_server->>'settings', 'hex'))
  ON CONFLICT (team_id, name) DO UPDATE
     SET id = excluded.id, user_id = excluded.user_id, settings = excluded.settings, updated_at = clock_timestamp();
  IF NOT (p_server->>'keepsSignIn')::boolean
  THEN DELETE FROM mcp_sign_in WHERE team_id = p_team AND server = p_server->>'name'; END IF;
  RETURN jsonb_build_object('outcome', 'put');
END $$;

-- remove_mcp_server: MCP server of a team → nothing, and nothing of what the team has signed in with there.
--
-- Guard: it is the team's. Returns: {outcome: 'removed' | 'not_found'}; a repeat is 'not_found'.
-- Races: a put waits for the team's row, and comes before or after.
CREATE FUNCTION remove_mcp_server(p_team uuid, p_name text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM team WHERE id = p_team FOR NO KEY UPDATE;
  DELETE FROM mcp_server WHERE team_id = p_team AND name = p_name;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  DELETE FROM mcp_sign_in WHERE team_id = p_team AND server = p_name;
  RETURN jsonb_build_object('outcome', 'removed');
END $$;
