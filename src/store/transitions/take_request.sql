-- take_request: turn `running` → with a share of its provider key's limits, or a place in line.
--
-- Guard: the attempt holds the turn. p_bucket: {name, requestsPerMinute?, tokensPerMinute?}. All workers share the row, which is
-- locked for this statement and not for the request. A share is one request, and the tokens that are reserved for it (at most
-- all that the bucket holds: else it would wait for ever).
-- The line is fair: there has to be room for everyone who came before and is not late, too. Whoever waits asks again; one that
-- died, or found no worker, holds nobody up for longer than 10 s.
-- Returns: {outcome: 'taken'} | {outcome: 'waits', ms, ahead, paused} | {outcome: 'fenced'}
-- Races: two takes of one bucket come one after the other. A repeat finds the share at its attempt, or its place in the line.
CREATE FUNCTION take_request(p_turn uuid, p_attempt uuid, p_bucket jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_turn turn := fence(p_turn, p_attempt);
  v_bucket rate_bucket;
  v_now timestamptz;
  v_mine rate_line;
  v_ahead record;
  v_request interval;
  -- In seconds: an interval has no part of a microsecond, which is what a token takes where many are allowed.
  v_token float8;
  v_due timestamptz;
BEGIN
  IF v_turn.id IS NULL THEN RETURN '{"outcome": "fenced"}'; END IF;
  IF EXISTS (SELECT FROM attempt WHERE id = p_attempt AND bucket IS NOT NULL) THEN RETURN '{"outcome": "taken"}'; END IF;
  v_bucket := lock_bucket(p_bucket);
  v_now := clock_timestamp();
  SELECT * INTO v_mine FROM rate_line WHERE turn_id = p_turn AND bucket = v_bucket.name;
  IF v_mine.attempt_id = p_attempt THEN
    RETURN waits_in_line(v_mine.due_at, v_now, 0, v_bucket.paused_until);
  END IF;

  v_request := interval '60 s' / v_bucket.requests_per_minute;
  v_token := 60 / v_bucket.tokens_per_minute::float8;
  SELECT count(*) AS turns, coalesce(sum(least(l.tokens, v_bucket.tokens_per_minute)), 0)::float8 AS tokens INTO v_ahead
    FROM rate_line l JOIN turn u ON u.id = l.turn_id AND u.ended_at IS NULL
   WHERE l.bucket = v_bucket.name AND l.turn_id <> p_turn AND l.since < coalesce(v_mine.since, v_now) AND l.due_at > v_now - interval '10 s';
  v_due := greatest(v_bucket.paused_until,
    greatest(v_bucket.requests_full_at, v_now) + (v_ahead.turns + 1) * v_request - interval '60 s',
    greatest(v_bucket.tokens_full_at, v_now)
      + make_interval(secs => (v_ahead.tokens + least(v_turn.tokens_reserved, v_bucket.tokens_per_minute)) * v_token) - interval '60 s');
  -- A microsecond may be lost in each division.
  IF v_due <= v_now + interval '1 ms' THEN
    UPDATE rate_bucket
       SET requests_full_at = coalesce(greatest(requests_full_at, v_now) + v_request, requests_full_at),
           tokens_full_at = coalesce(
             greatest(tokens_full_at, v_now) + make_interval(secs => least(v_turn.tokens_reserved, tokens_per_minute) * v_token), tokens_full_at)
     WHERE name = v_bucket.name;
    UPDATE attempt SET bucket = v_bucket.name, tokens_taken = v_turn.tokens_reserved WHERE id = p_attempt;
    DELETE FROM rate_line WHERE turn_id = p_turn;
    RETURN '{"outcome": "taken"}';
  END IF;

  -- A line gets shorter where turns end that stand in it: nobody stays away for longer than a minute, but for a pause.
  v_due := least(v_due, greatest(v_now + interval '60 s', v_bucket.paused_until));
  INSERT INTO rate_line (turn_id, bucket, since, due_at, tokens, attempt_id)
  VALUES (p_turn, v_bucket.name, v_now, v_due, v_turn.tokens_reserved, p_attempt)
  ON CONFLICT (turn_id) DO UPDATE
     SET bucket = excluded.bucket, due_at = excluded.due_at, tokens = excluded.tokens, attempt_id = excluded.attempt_id,
         since = CASE WHEN rate_line.bucket = excluded.bucket THEN rate_line.since ELSE excluded.since END;
  DELETE FROM rate_line l WHERE bucket = v_bucket.name AND NOT EXISTS (SELECT FROM turn u WHERE u.id = l.turn_id AND u.ended_at IS NULL);
  RETURN waits_in_line(v_due, v_now, v_ahead.turns, v_bucket.paused_until);
END $$;

CREATE FUNCTION waits_in_line(p_due timestamptz, p_now timestamptz, p_ahead bigint, p_paused_until timestamptz)
RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('outcome', 'waits', 'ahead', p_ahead, 'paused', coalesce(p_paused_until > p_now, false),
                            'ms', greatest(ceil(extract(epoch FROM p_due - p_now) * 1000), 0))
$$;

-- The bucket's row, locked, with the limits of whoever asks: they are its worker's settings.
CREATE FUNCTION lock_bucket(p_bucket jsonb) RETURNS rate_bucket LANGUAGE plpgsql AS $$
DECLARE
  v_requests int := (p_bucket->>'requestsPerMinute')::int;
  v_tokens int := (p_bucket->>'tokensPerMinute')::int;
  v_bucket rate_bucket;
BEGIN
  INSERT INTO rate_bucket (name) SELECT p_bucket->>'name'
   WHERE NOT EXISTS (SELECT FROM rate_bucket WHERE name = p_bucket->>'name') ON CONFLICT DO NOTHING;
  SELECT * INTO v_bucket FROM rate_bucket WHERE name = p_bucket->>'name' FOR NO KEY UPDATE;
  IF (v_bucket.requests_per_minute, v_bucket.tokens_per_minute) IS DISTINCT FROM (v_requests, v_tokens) THEN
    UPDATE rate_bucket SET requests_per_minute = v_requests, tokens_per_minute = v_tokens WHERE name = v_bucket.name
    RETURNING * INTO v_bucket;
  END IF;
  RETURN v_bucket;
END $$;

-- note_request: what a request has taught, for everyone who may ask the same provider. Rows that all sessions share: they are locked
-- after all others but the tree's, and in the order of their names.
-- p_note, each part of it where there is one: taken: tokens that it really used, of those that it took; healed: [names] that
-- answered again; cooled: {name, ms} that is not asked for so long; paused: {name, ms} whose provider asked everyone to wait.
CREATE FUNCTION note_request(p_attempt uuid, p_note jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_attempt attempt;
  v_until timestamptz;
BEGIN
  IF p_note ? 'taken' THEN
    SELECT * INTO v_attempt FROM attempt WHERE id = p_attempt;
    UPDATE rate_bucket
       SET tokens_full_at = greatest(tokens_full_at, clock_timestamp()) + make_interval(secs =>
             60 / tokens_per_minute::float8 * ((p_note->>'taken')::bigint - least(v_attempt.tokens_taken, tokens_per_minute)))
     WHERE name = v_attempt.bucket AND tokens_per_minute IS NOT NULL;
    UPDATE attempt SET tokens_taken = (p_note->>'taken')::bigint WHERE id = p_attempt AND bucket IS NOT NULL;
  END IF;
  IF p_note ? 'paused' THEN
    v_until := clock_timestamp() + make_interval(secs => (p_note #>> '{paused,ms}')::float8 / 1000);
    -- Who asks to wait has nothing left: what follows comes at the pace of the limits, not all that was saved up.
    INSERT INTO rate_bucket (name, paused_until) VALUES (p_note #>> '{paused,name}', v_until)
    ON CONFLICT (name) DO UPDATE
       SET paused_until = greatest(rate_bucket.paused_until, v_until),
           requests_full_at = greatest(rate_bucket.requests_full_at, v_until + interval '60 s'),
           tokens_full_at = greatest(rate_bucket.tokens_full_at, v_until + interval '60 s');
  END IF;
  IF p_note ? 'cooled' THEN
    v_until := clock_timestamp() + make_interval(secs => (p_note #>> '{cooled,ms}')::float8 / 1000);
    INSERT INTO model_health (name, strikes, until) VALUES (p_note #>> '{cooled,name}', 1, v_until)
    -- Several turns may find the same out in the same moment: that is one strike.
    ON CONFLICT (name) DO UPDATE
       SET until = greatest(model_health.until, v_until),
           strikes = model_health.strikes + CASE WHEN model_health.until < clock_timestamp() THEN 1 ELSE 0 END;
  END IF;
  IF p_note ? 'healed' THEN
    DELETE FROM model_health WHERE name IN (
      SELECT h.name FROM model_health h JOIN jsonb_array_elements_text(p_note->'healed') healed ON healed = h.name ORDER BY h.name FOR UPDATE OF h);
  END IF;
END $$;

CREATE FUNCTION ms_until(p_time timestamptz) RETURNS float8 LANGUAGE sql STABLE AS $$
  SELECT greatest(ceil(extract(epoch FROM p_time - clock_timestamp()) * 1000), 0)::float8
$$;

-- What everyone should know before they ask a provider; null where there is nothing, as there mostly is. A strike is forgotten
-- after an hour.
-- Each claim asks: in this language its plan is kept.
CREATE FUNCTION provider_troubles() RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT jsonb_agg(trouble) FROM (
      SELECT jsonb_build_object('name', name, 'strikes', strikes, 'coolMs', ms_until(until), 'pauseMs', 0) AS trouble
        FROM model_health WHERE until > clock_timestamp() - interval '1 h'
      UNION ALL
      SELECT jsonb_build_object('name', name, 'strikes', 0, 'coolMs', 0, 'pauseMs', ms_until(paused_until))
        FROM rate_bucket WHERE paused_until > clock_timestamp()) found);
END $$;
