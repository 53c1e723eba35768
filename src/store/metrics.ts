/**
 * What operators watch, of all teams together: what waits now, and counters that only grow.
 *
 * Counters come from the rows that the work itself leaves; no turn writes anything for them. So that a scrape reads few rows however
 * many there have been, a worker adds what is older than `LAG_MS` to `metric_total` now and then (`countMetrics`), and a scrape reads
 * those totals and the rows since.
 */
import type { Database } from './database.ts';

/** Upper bounds of the buckets of every histogram here, in seconds. Those of other bounds in `metric_total` would be wrong. */
export const BOUNDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600] as const;
/**
 * Every row is stamped before its commit. A statement is ended after 30 s (`database.ts`), so that of what was stamped so long ago
 * everything can be seen.
 */
export const LAG_MS = 120_000;
/** Counted in one statement, so that one that comes after a long time does not take too long. */
export const COUNT_SPAN_MS = 6 * 60 * 60_000;

/** A counter, or one bucket of a histogram. */
export interface Total {
  readonly series: Series;
  /** What it is told by. */
  readonly labels: readonly string[];
  /** The number of bounds that it is not below; -1: what never began. */
  readonly bucket: number;
  readonly count: number;
  readonly sum: number;
}

export type Series =
  | 'turns'
  | 'attempts'
  | 'tasks'
  | 'requests'
  | 'tokens'
  | 'usd'
  | 'latency'
  | 'first_token'
  | 'submit_to_request'
  | 'deliveries';

export interface FleetMetrics {
  readonly totals: readonly Total[];
  /** Unfinished turns by their status. */
  readonly turns: Readonly<Record<string, number>>;
  /** How long the oldest turn that nobody has begun is queued, in seconds; null: there is none. So are the others. */
  readonly oldestQueued: number | null;
  /** Unfinished tasks: status, what they wait on, how many. */
  readonly tasks: readonly (readonly [status: string, on: string | null, count: number])[];
  readonly approvals: number;
  readonly oldestApproval: number | null;
  /** To webhooks, that are still to be made. */
  readonly deliveries: number;
  readonly oldestDelivery: number | null;
  readonly workersAlive: number;
  /** Their leases have run out, and nobody has taken over their turns yet. */
  readonly workersLost: number;
  readonly oldestExpiredLease: number | null;
}

const bucket = (seconds: string) => `width_bucket(${seconds}, ARRAY[${BOUNDS.join(', ')}]::float8[])`;
const between = (from: string, to: string) => `extract(epoch FROM ${to} - ${from})::float8`;
const since = (column: string) => `${column} > m.since AND ${column} <= m.until`;

const TURN = between('u.started_at', 'u.ended_at');
const ATTEMPT = between('a.started_at', 'a.ended_at');
/** Until the request began whose answer the task's first turn has. */
const SUBMIT = `greatest(0, ${between('t.created_at', 'g.created_at')} - g.latency_ms / 1000.0)`;

/** Requests are first put together by what all their numbers are told by: then each number is one of few rows. */
const REQUESTS = `
  SELECT g.model, CASE g.outcome WHEN 'unknown' THEN 'lost' ELSE 'answered' END AS outcome,
         ${bucket('g.latency_ms / 1000.0::float8')} AS whole, ${bucket('g.first_token_ms / 1000.0::float8')} AS first,
         count(*) AS n, sum(g.input) AS input, sum(g.cached) AS cached, sum(g.cache_written) AS written, sum(g.output) AS output,
         sum(g.reasoning) AS reasoning, sum(g.usd) AS usd, sum(g.latency_ms) / 1000.0 AS latency, sum(g.first_token_ms) / 1000.0 AS first_token
    FROM mark m JOIN usage g ON ${since('g.created_at')} GROUP BY 1, 2, 3, 4`;

/** What ended behind `mark.since`, up to `mark.until`. */
const ENDED = `
  SELECT series, label::text AS label, bucket, sum(n)::bigint AS count, sum(value)::numeric AS sum FROM (
    SELECT 'turns' AS series, jsonb_build_array(status) AS label, bucket, n, value::numeric FROM (
      SELECT u.status, coalesce(${bucket(TURN)}, -1) AS bucket, count(*) AS n, coalesce(sum(${TURN}), 0) AS value
        FROM mark m JOIN turn u ON ${since('u.ended_at')} GROUP BY 1, 2) u
    UNION ALL
    SELECT 'attempts', jsonb_build_array(outcome), bucket, n, value::numeric FROM (
      SELECT a.outcome, ${bucket(ATTEMPT)} AS bucket, count(*) AS n, sum(${ATTEMPT}) AS value
        FROM mark m JOIN attempt a ON ${since('a.ended_at')} GROUP BY 1, 2) a
    UNION ALL
    SELECT 'tasks', jsonb_build_array(status, code), 0, n, 0 FROM (
      SELECT t.status, coalesce(t.error_code, '') AS code, count(*) AS n FROM mark m JOIN task t ON ${since('t.ended_at')} GROUP BY 1, 2) t
    UNION ALL
    SELECT 'deliveries', jsonb_build_array(status), 0, n, 0 FROM (
      SELECT d.status, count(*) AS n FROM mark m JOIN webhook_delivery d ON ${since('d.ended_at')} GROUP BY 1) d
    UNION ALL
    SELECT each.* FROM (${REQUESTS}) r,
           LATERAL (VALUES
             ('requests', jsonb_build_array(r.model, r.outcome), 0, r.n, 0::numeric),
             ('tokens', jsonb_build_array(r.model, 'input', r.outcome), 0, r.n, r.input),
             ('tokens', jsonb_build_array(r.model, 'cached', r.outcome), 0, r.n, r.cached),
             ('tokens', jsonb_build_array(r.model, 'cache_written', r.outcome), 0, r.n, r.written),
             ('tokens', jsonb_build_array(r.model, 'output', r.outcome), 0, r.n, r.output),
             ('tokens', jsonb_build_array(r.model, 'reasoning', r.outcome), 0, r.n, r.reasoning),
             ('usd', jsonb_build_array(r.model, r.outcome), 0, r.n, r.usd),
             ('latency', jsonb_build_array(r.model), r.whole, r.n, r.latency),
             ('first_token', jsonb_build_array(r.model), r.first, r.n, r.first_token)
           ) each(series, label, bucket, n, value) WHERE each.value IS NOT NULL
    UNION ALL
    SELECT 'submit_to_request', '[]'::jsonb, bucket, n, value::numeric FROM (
      SELECT ${bucket(SUBMIT)} AS bucket, count(*) AS n, sum(${SUBMIT}) AS value
        FROM mark m JOIN usage g ON ${since('g.created_at')} JOIN turn u ON u.id = g.turn_id AND u.number = 1
        JOIN task t ON t.id = g.task_id WHERE g.latency_ms IS NOT NULL GROUP BY 1) s
  ) ended GROUP BY series, label, bucket`;

/** One snapshot: nothing is counted twice, or not at all, while a worker moves the mark. */
export const FLEET = `
  WITH mark AS (SELECT counted_to AS since, 'infinity'::timestamptz AS until FROM metric_mark),
       total AS (
         SELECT series, label, bucket, sum(count) AS count, sum(sum) AS sum
           FROM (SELECT series, label, bucket, count, sum FROM metric_total UNION ALL ${ENDED}) both_kinds GROUP BY series, label, bucket)
  SELECT
    (SELECT coalesce(jsonb_agg(jsonb_build_object('series', series, 'labels', label::jsonb, 'bucket', bucket, 'count', count, 'sum', sum)
                               ORDER BY series, label, bucket), '[]') FROM total) AS totals,
    (SELECT coalesce(jsonb_object_agg(status, n), '{}')
       FROM (SELECT status, count(*) AS n FROM turn WHERE status IN ('ready', 'queued', 'running', 'parked') GROUP BY status) t) AS turns,
    (SELECT ${between('min(created_at)', 'clock_timestamp()')} FROM turn WHERE status = 'queued' AND started_at IS NULL) AS "oldestQueued",
    (SELECT coalesce(jsonb_agg(jsonb_build_array(status, waiting_on, n)), '[]')
       FROM (SELECT CASE WHEN paused_at IS NULL THEN status ELSE 'paused' END AS status, waiting_on, count(*) AS n
               FROM task WHERE ended_at IS NULL GROUP BY 1, 2) t) AS tasks,
    a.n AS approvals, ${between('a.oldest', 'clock_timestamp()')} AS "oldestApproval",
    d.n AS deliveries, ${between('d.oldest', 'clock_timestamp()')} AS "oldestDelivery",
    w.alive AS "workersAlive", w.lost AS "workersLost", ${between('w.oldest', 'clock_timestamp()')} AS "oldestExpiredLease"
  FROM (SELECT count(*)::int AS n, min(created_at) AS oldest FROM approval WHERE status = 'open') a,
       (SELECT count(*)::int AS n, min(created_at) AS oldest FROM webhook_delivery WHERE status = 'pending') d,
       (SELECT (count(*) FILTER (WHERE alive))::int AS alive, (count(*) FILTER (WHERE held AND NOT alive))::int AS lost,
               min(lease_expires_at) FILTER (WHERE held AND NOT alive) AS oldest
          FROM (SELECT lease_expires_at, lease_expires_at > clock_timestamp() AS alive,
                       EXISTS (SELECT FROM attempt WHERE worker_id = worker.id AND ended_at IS NULL) AS held
                  FROM worker WHERE ended_at IS NULL) each) w`;

export async function readFleetMetrics(db: Database): Promise<FleetMetrics> {
  const [row] = await db.planned<FleetMetrics & Record<string, unknown>>('fleet metrics', FLEET);
  if (row === undefined) throw new Error('an aggregate gave no row');
  return row;
}

/** $1: `LAG_MS`, $2: `COUNT_SPAN_MS`, in seconds. Who comes while another counts goes away; who repeats finds the mark moved. */
const COUNT = `
  WITH mark AS MATERIALIZED (
         SELECT counted_to AS since,
                least(counted_to + make_interval(secs => $2), clock_timestamp() - make_interval(secs => $1)) AS until
           FROM metric_mark FOR UPDATE SKIP LOCKED),
       added AS (
         INSERT INTO metric_total AS t (series, label, bucket, count, sum) ${ENDED}
         ON CONFLICT (series, label, bucket) DO UPDATE SET count = t.count + excluded.count, sum = t.sum + excluded.sum)
  UPDATE metric_mark SET counted_to = mark.until FROM mark WHERE mark.until > mark.since
  RETURNING metric_mark.counted_to < clock_timestamp() - make_interval(secs => $1 + 1) AS more`;

/** Adds what ended since the last time. True: there is more. */
export async function countMetrics(
  db: Database,
  { lagMs = LAG_MS, spanMs = COUNT_SPAN_MS }: { readonly lagMs?: number; readonly spanMs?: number } = {},
): Promise<boolean> {
  const [row] = await db.read<{ more: boolean }>(COUNT, lagMs / 1_000, spanMs / 1_000);
  return row?.more ?? false;
}
