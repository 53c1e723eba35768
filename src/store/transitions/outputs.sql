-- forget_outputs: output that no session uses any more → nothing.
--
-- First what was stored for sessions that are not there: a task was refused behind its attachments, or a worker that had lost its turn
-- went on. Not before p_older_ms: the first files of a session are stored before it is. p_limit: uses at a time. Returns how many of them.
-- Races: see drop_outputs. A repeat finds fewer.
CREATE FUNCTION forget_outputs(p_older_ms float8, p_limit int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  v_hashes bytea[];
BEGIN
  WITH gone AS (
    DELETE FROM output_use WHERE (output_hash, session_id) IN (
      SELECT u.output_hash, u.session_id FROM output_use u
       WHERE u.created_at < clock_timestamp() - make_interval(secs => p_older_ms / 1000) AND NOT EXISTS (SELECT FROM session s WHERE s.id = u.session_id)
       LIMIT p_limit)
    RETURNING output_hash)
  SELECT array_agg(output_hash) INTO v_hashes FROM gone;
  PERFORM drop_outputs(v_hashes);
  RETURN coalesce(cardinality(v_hashes), 0);
END $$;

-- drop_outputs: those of these outputs that no session uses → nothing. The caller has taken away the uses that are over.
--
-- An output is stored with its use in one commit, before the commit that names it: what a turn is about to name is used. Who stores
-- one that is here already locks its row: either that comes first, and the second look, a statement of its own, sees the use; or it
-- waits for this, and stores the output anew. Outputs that others use are not locked, and so no naming of them waits for this.
CREATE FUNCTION drop_outputs(p_hashes bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_unused bytea[];
BEGIN
  SELECT array_agg(hash) INTO v_unused FROM (
    SELECT o.hash FROM output o
     WHERE o.hash = ANY (p_hashes) AND NOT EXISTS (SELECT FROM output_use WHERE output_hash = o.hash) ORDER BY o.hash FOR UPDATE) locked;
  DELETE FROM output o WHERE o.hash = ANY (v_unused) AND NOT EXISTS (SELECT FROM output_use WHERE output_hash = o.hash);
END $$;
