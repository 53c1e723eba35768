-- The worker's lease (PROTOCOL 1, 3, 6): one row per incarnation, by the database's clock.

-- register_worker: nothing → worker with a lease of p_lease_ms.
CREATE FUNCTION register_worker(p_worker jsonb, p_lease_ms int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO worker (id, host, pid, pid_started_at, lock_key, version, lease_expires_at)
  VALUES ((p_worker->>'id')::uuid, p_worker->>'host', (p_worker->>'pid')::int, p_worker->>'pidStartedAt',
          (p_worker->>'lockKey')::bigint, p_worker->>'version', clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0))
  ON CONFLICT DO NOTHING
$$;

-- renew_lease: worker's lease → extended, also one that ran out while Postgres or the worker was away: what it lost
-- meanwhile is fenced by attempt, and what nobody took over is still its own. False: the incarnation was ended, and is
-- over.
CREATE FUNCTION renew_lease(p_worker uuid, p_lease_ms int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE worker SET lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0)
   WHERE id = p_worker AND ended_at IS NULL;
  RETURN FOUND;
END $$;

-- end_worker: worker → ended. By itself when it stops; by a sweeper on the same host that saw its process gone, which is
-- proof; or because its lease ran out.
CREATE FUNCTION end_worker(p_worker uuid) RETURNS void LANGUAGE sql AS $$
  UPDATE worker SET ended_at = clock_timestamp() WHERE id = p_worker AND ended_at IS NULL
$$;

-- suspect_worker: worker's lease → p_grace_ms at most, where its advisory lock is free. Suspicion, not death: while
-- the worker lives it takes its lock and its lease again. Not before Postgres has been up for one lease, since a
-- restart drops every lock.
CREATE FUNCTION suspect_worker(p_worker uuid, p_lease_ms int, p_grace_ms int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_key bigint;
BEGIN
  SELECT lock_key INTO v_key FROM worker WHERE id = p_worker AND ended_at IS NULL;
  IF NOT FOUND OR pg_postmaster_start_time() + make_interval(secs => p_lease_ms / 1000.0) > clock_timestamp() THEN RETURN false; END IF;
  IF NOT pg_try_advisory_xact_lock(v_key) THEN RETURN false; END IF;
  UPDATE worker SET lease_expires_at = least(lease_expires_at, clock_timestamp() + make_interval(secs => p_grace_ms / 1000.0))
   WHERE id = p_worker AND ended_at IS NULL;
  RETURN FOUND;
END $$;

-- lost_attempts: what a sweeper should take over. Nothing expires until Postgres has been up for one lease: workers need
-- that long to renew after a restart; nor, p_expired, for a sweeper that was itself cut off less than a lease ago: what it
-- finds expired may have been cut off with it. A worker whose end is recorded needs no such grace.
CREATE FUNCTION lost_attempts(p_lease_ms int, p_expired boolean, p_limit int) RETURNS TABLE (turn_id uuid, attempt_id uuid) LANGUAGE sql AS $$
  SELECT a.turn_id, a.id
    FROM worker w JOIN attempt a ON a.worker_id = w.id AND a.ended_at IS NULL
   WHERE w.ended_at IS NOT NULL
      OR (p_expired AND w.lease_expires_at < clock_timestamp()
          AND pg_postmaster_start_time() + make_interval(secs => p_lease_ms / 1000.0) < clock_timestamp())
   LIMIT p_limit
$$;
