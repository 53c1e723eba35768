-- deliver_to_webhooks, deliver_to_tasks: what the events of a tree behind p_after are, to whom they are delivered; in the transaction that
-- writes them, so that none is lost. The caller holds the tree's row; these lock nothing.
CREATE FUNCTION deliver_to_webhooks(p_root uuid, p_after bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := clock_timestamp();
BEGIN
  INSERT INTO webhook_delivery (id, team_id, webhook_id, type, root_id, seq, created_at)
  SELECT ordered_id(v_at, e.seq), w.team_id, w.id, e.type, p_root, e.seq, v_at
    FROM webhook w JOIN event e ON e.root_id = p_root AND e.seq > p_after
   WHERE w.team_id = (SELECT team_id FROM session WHERE id = p_root) AND w.disabled_at IS NULL AND w.removed_at IS NULL
     AND (w.events = '{}' OR e.type = ANY(w.events));
END $$;

-- To the URL of a person's task: its end, and the questions of all tasks below it.
CREATE FUNCTION deliver_to_tasks(p_root uuid, p_after bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz := clock_timestamp();
BEGIN
  INSERT INTO webhook_delivery (id, team_id, task_id, type, root_id, seq, created_at)
  SELECT ordered_id(v_at, e.seq), t.team_id, t.id, e.type, p_root, e.seq, v_at
    FROM event e JOIN task own ON own.id = e.task_id JOIN task t ON t.id = root_task_of(own)
   WHERE e.root_id = p_root AND e.seq > p_after AND t.webhook_url IS NOT NULL
     AND (e.type = 'approval.requested' OR (t.id = own.id AND e.type IN ('task.succeeded', 'task.failed', 'task.cancelled')));
END $$;

-- A UUIDv7 of that time; of one millisecond they stand in the order of p_count.
CREATE FUNCTION ordered_id(p_at timestamptz, p_count bigint) RETURNS uuid LANGUAGE sql AS $$
  SELECT encode(substring(int8send((extract(epoch FROM p_at) * 1000)::bigint) FROM 3)
             || int2send((28672 + p_count % 4096)::int2) || substring(uuid_send(gen_random_uuid()) FROM 9), 'hex')::uuid
$$;

-- queue_deliveries: delivery `pending`, due → with a job under the next wake number, or its job looked for now.
--
-- The second where nobody has within p_age_ms. One whose claim's time is over is due. Sweepers share the work by SKIP LOCKED, as in admit_turns.
CREATE FUNCTION queue_deliveries(p_age_ms int, p_limit int) RETURNS TABLE (delivery_id uuid, wake int, is_new boolean) LANGUAGE sql AS $$
  WITH due AS MATERIALIZED (
    SELECT id, queued_at IS NULL AS is_new FROM webhook_delivery
     WHERE status = 'pending' AND due_at <= clock_timestamp() + interval '1 ms'
       AND (queued_at IS NULL OR queued_at < clock_timestamp() - make_interval(secs => p_age_ms / 1000.0))
     ORDER BY due_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
  UPDATE webhook_delivery d SET queued_at = clock_timestamp(), wake = d.wake + due.is_new::int
    FROM due WHERE d.id = due.id
  RETURNING d.id, d.wake, due.is_new
$$;

-- requeue_delivery: delivery `pending` → under the next wake number. Its job is missing, or active and unclaimed. Null: it has moved on.
CREATE FUNCTION requeue_delivery(p_delivery uuid, p_wake int) RETURNS int LANGUAGE sql AS $$
  UPDATE webhook_delivery SET wake = wake + 1, queued_at = clock_timestamp()
   WHERE id = p_delivery AND status = 'pending' AND wake = p_wake AND queued_at IS NOT NULL
  RETURNING wake
$$;

-- claim_delivery: delivery `pending`, due → tried under a claim, or `failed` where nobody wants it. The claim is over after p_lease_ms.
--
-- Guard: it is due (times are kept to the millisecond, rounded: what is due now may stand half of one ahead), or p_claim has it already: then this
-- is a repeat. Whoever has it writes its outcome before the time is over, or somebody
-- else tries too: at least once. Of one receiver only so many are tried at once, and of one that is failing only one: a receiver that never
-- answers takes no worker's time from the others; what comes too soon is due a little later, and has lost no try.
-- Returns: {outcome: 'claimed', type, url, secret (sealed, hexadecimal), signer, tries, at, event?} | {outcome: 'ended' | 'deferred' | 'skipped'}
CREATE FUNCTION claim_delivery(p_delivery uuid, p_claim uuid, p_lease_ms int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_delivery webhook_delivery;
  v_to record;
BEGIN
  SELECT * INTO v_delivery FROM webhook_delivery WHERE id = p_delivery FOR NO KEY UPDATE;
  IF v_delivery.status IS DISTINCT FROM 'pending' OR (v_delivery.claim IS DISTINCT FROM p_claim AND v_delivery.due_at > clock_timestamp() + interval '1 ms') THEN
    RETURN jsonb_build_object('outcome', 'skipped');
  END IF;
  SELECT * INTO v_to FROM receiver_of(v_delivery);
  IF v_to.refused IS NOT NULL THEN
    UPDATE webhook_delivery SET status = 'failed', due_at = NULL, claim = NULL, queued_at = NULL, ended_at = clock_timestamp(), said = v_to.refused
     WHERE id = p_delivery;
    RETURN jsonb_build_object('outcome', 'ended');
  END IF;
  IF v_delivery.claim IS DISTINCT FROM p_claim THEN
    IF others_at(v_delivery) >= v_to.at_once THEN
      UPDATE webhook_delivery SET claim = NULL, queued_at = NULL, due_at = clock_timestamp() + v_to.busy * (1 + random()) WHERE id = p_delivery;
      RETURN jsonb_build_object('outcome', 'deferred');
    END IF;
    UPDATE webhook_delivery
       SET claim = p_claim, due_at = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0), tries = tries + 1, queued_at = NULL, tried_at = clock_timestamp()
     WHERE id = p_delivery RETURNING * INTO v_delivery;
  END IF;
  RETURN jsonb_build_object('outcome', 'claimed', 'type', v_delivery.type, 'url', v_to.url, 'secret', encode(v_to.secret, 'hex'), 'signer', v_to.signer,
    'tries', v_delivery.tries, 'at', v_delivery.created_at, 'webhookId', v_delivery.webhook_id, 'event',
    (SELECT jsonb_build_object('seq', e.seq, 'type', e.type, 'sessionId', e.session_id, 'taskId', e.task_id, 'turn', e.turn, 'data', e.data, 'at', e.at)
       FROM event e WHERE e.root_id = v_delivery.root_id AND e.seq = v_delivery.seq));
END $$;

-- How many others are being tried of the same webhook, or of the team's tasks. Two that look at the same time may both go on: it is no promise.
CREATE FUNCTION others_at(p_delivery webhook_delivery) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT count(*) FROM webhook_delivery d
   WHERE coalesce(d.webhook_id, d.team_id) = coalesce(p_delivery.webhook_id, p_delivery.team_id) AND d.claim IS NOT NULL
     AND d.due_at > clock_timestamp() AND d.id <> p_delivery.id
$$;

-- Where a delivery goes, what it is signed with and which webhook's that is, how many may at once, and how long to wait where that is too many; or why it goes nowhere any more.
CREATE FUNCTION receiver_of(p_delivery webhook_delivery, OUT url text, OUT secret bytea, OUT signer uuid, OUT at_once int, OUT busy interval, OUT refused text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_webhook webhook;
BEGIN
  at_once := 5;
  busy := interval '1 second';
  IF p_delivery.webhook_id IS NULL THEN
    SELECT t.webhook_url, w.secret, w.id INTO url, secret, signer
      FROM task t JOIN team ON team.id = t.team_id LEFT JOIN webhook w ON w.id = team.signing_webhook_id WHERE t.id = p_delivery.task_id;
  ELSE
    SELECT * INTO v_webhook FROM webhook WHERE id = p_delivery.webhook_id;
    url := v_webhook.url;
    secret := v_webhook.secret;
    signer := v_webhook.id;
    IF v_webhook.failing_since IS NOT NULL AND p_delivery.seq IS NOT NULL THEN
      at_once := 1;
      busy := interval '1 minute';
    END IF;
    -- A test may find out whether one that is disabled works again.
    IF v_webhook.removed_at IS NOT NULL THEN refused := 'The webhook was removed.';
    ELSIF v_webhook.disabled_at IS NOT NULL AND p_delivery.seq IS NOT NULL THEN refused := 'The webhook was disabled.'; END IF;
  END IF;
  IF url IS NULL OR secret IS NULL THEN refused := coalesce(refused, 'Its receiver is not known any more.'); END IF;
  IF p_delivery.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM event e WHERE e.root_id = p_delivery.root_id AND e.seq = p_delivery.seq)
  THEN refused := coalesce(refused, 'Its event is not kept any more.'); END IF;
END $$;

-- settle_delivery: delivery under a claim → `delivered`, `failed`, or `pending` with a due time.
--
-- p_end: {kind: 'delivered', answered, said} | {kind: 'retry', ms, answered, said} | {kind: 'failed', gone, answered, said} | {kind: 'returned'}:
-- the try was broken off and does not count. A test is tried once, and so is what goes to a webhook that was removed meanwhile. Guard: p_claim has it still. A webhook that is gone, or that has known nothing but failures for
-- p_failing_ms, is disabled. Returns: {outcome: 'settled', disabled?: 'gone' | 'failing'} | {outcome: 'skipped'}, a repeat's too.
-- Locks the delivery, then its webhook where that changes.
CREATE FUNCTION settle_delivery(p_delivery uuid, p_claim uuid, p_end jsonb, p_failing_ms bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_delivery webhook_delivery;
  v_kind text := p_end->>'kind';
BEGIN
  SELECT * INTO v_delivery FROM webhook_delivery WHERE id = p_delivery AND claim = p_claim FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'skipped'); END IF;
  IF v_kind = 'returned' THEN
    UPDATE webhook_delivery SET claim = NULL, due_at = clock_timestamp(), tries = tries - 1 WHERE id = p_delivery;
    RETURN jsonb_build_object('outcome', 'settled');
  END IF;
  IF v_kind = 'retry' AND (v_delivery.seq IS NULL OR EXISTS (SELECT 1 FROM webhook WHERE id = v_delivery.webhook_id AND removed_at IS NOT NULL))
  THEN v_kind := 'failed'; END IF;
  UPDATE webhook_delivery
     SET claim = NULL, answered = (p_end->>'answered')::int, said = p_end->>'said',
         status = CASE v_kind WHEN 'retry' THEN 'pending' ELSE v_kind END,
         due_at = CASE v_kind WHEN 'retry' THEN clock_timestamp() + make_interval(secs => (p_end->>'ms')::int / 1000.0) END,
         ended_at = CASE WHEN v_kind <> 'retry' THEN clock_timestamp() END
   WHERE id = p_delivery;
  RETURN jsonb_strip_nulls(jsonb_build_object('outcome', 'settled',
    'disabled', judge_webhook(v_delivery.webhook_id, v_kind = 'delivered', coalesce((p_end->>'gone')::boolean, false), p_failing_ms)));
END $$;

-- What one try says of a webhook: why it is disabled for that; null where it is not. Writes only what changes.
CREATE FUNCTION judge_webhook(p_webhook uuid, p_delivered boolean, p_gone boolean, p_failing_ms bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_webhook webhook;
  v_reason text;
BEGIN
  IF p_delivered THEN
    UPDATE webhook SET failing_since = NULL WHERE id = p_webhook AND failing_since IS NOT NULL;
    RETURN NULL;
  END IF;
  UPDATE webhook SET failing_since = clock_timestamp() WHERE id = p_webhook AND failing_since IS NULL;
  SELECT * INTO v_webhook FROM webhook WHERE id = p_webhook AND disabled_at IS NULL;
  v_reason := CASE WHEN p_gone THEN 'gone'
                   WHEN v_webhook.failing_since < clock_timestamp() - make_interval(secs => p_failing_ms / 1000.0) THEN 'failing' END;
  UPDATE webhook SET disabled_at = clock_timestamp(), disabled_reason = v_reason WHERE id = p_webhook AND disabled_at IS NULL AND v_reason IS NOT NULL;
  RETURN CASE WHEN FOUND THEN v_reason END;
END $$;

-- replay_delivery: delivery → `pending`, due now.
--
-- One that has ended has all of its tries again; one that somebody is at stays as it is. Guard: the delivery is the team's.
-- Returns: {outcome: 'replayed' | 'not_found'} | {outcome: 'refused', why}: it would go nowhere. A repeat is 'replayed' again.
CREATE FUNCTION replay_delivery(p_team uuid, p_delivery uuid) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_delivery webhook_delivery;
  v_refused text;
BEGIN
  SELECT * INTO v_delivery FROM webhook_delivery WHERE id = p_delivery AND team_id = p_team FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('outcome', 'not_found'); END IF;
  v_refused := (SELECT refused FROM receiver_of(v_delivery));
  IF v_refused IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'refused', 'why', v_refused); END IF;
  IF v_delivery.claim IS NOT NULL THEN RETURN jsonb_build_object('outcome', 'replayed'); END IF;
  UPDATE webhook_delivery
     SET due_at = clock_timestamp(), status = 'pending', ended_at = NULL, queued_at = NULL,
         tries = CASE status WHEN 'pending' THEN tries ELSE 0 END
   WHERE id = p_delivery;
  RETURN jsonb_build_object('outcome', 'replayed');
END $$;
