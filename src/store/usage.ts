/** What was used, read: tokens, money, times. Money is text: a decimal number of US dollars, exact. */
import type { Database } from './database.ts';
import { cut, type Rows } from './views.ts';

/** Of requests that were answered. */
export interface UsageCount {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly cacheWritten: number;
  readonly reasoning: number;
  readonly requests: number;
  /** Null: the price of none of them is known. */
  readonly usd: string | null;
  /** Requests whose price nobody knew. */
  readonly unpriced: number;
}

/** A task's, of one kind: `model` null is all models together; `isLost`: of requests whose answer nobody has. */
export interface TaskUsageRow extends UsageCount {
  readonly model: string | null;
  readonly isLost: boolean;
}

/** What `usage` rows come to. */
const COUNTS = `
  coalesce(sum(input), 0)::float8 AS input, coalesce(sum(output), 0)::float8 AS output, coalesce(sum(cached), 0)::float8 AS cached,
  coalesce(sum(cache_written), 0)::float8 AS "cacheWritten", coalesce(sum(reasoning), 0)::float8 AS reasoning,
  count(*)::float8 AS requests, trim_scale(sum(usd))::text AS usd, (count(*) FILTER (WHERE usd IS NULL))::float8 AS unpriced`;

/** The rows of each task of $1 (ids) with all that it delegated: the models in the order in which they were first used. */
const OF_TASKS = `
  WITH RECURSIVE below AS (
    SELECT id AS top, id FROM unnest($1::uuid[]) given(id)
    UNION ALL
    SELECT b.top, t.id FROM below b JOIN task t ON t.parent_task_id = b.id)
  SELECT top AS "taskId", model, outcome = 'unknown' AS "isLost", ${COUNTS}
    FROM below JOIN usage u ON u.task_id = below.id
   GROUP BY GROUPING SETS ((top, outcome = 'unknown', model), (top, outcome = 'unknown')) ORDER BY min(created_at)`;

export async function readTaskUsage(
  db: Database,
  taskIds: readonly string[],
): Promise<Map<string, TaskUsageRow[]>> {
  const rows = await db.read<TaskUsageRow & { taskId: string }>(OF_TASKS, `{${taskIds.join(',')}}`);
  return Map.groupBy(rows, ({ taskId }) => taskId);
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
}

export interface MeasuredUsage extends UsageCount {
  readonly lostRequests: number;
  readonly lostTokens: number;
  readonly lostUsd: string | null;
  readonly latency: readonly number[] | null;
  readonly firstToken: readonly number[] | null;
}

export interface UsageGroup extends MeasuredUsage {
  readonly key: string;
  readonly name: string | null;
}

/** What usage is told by: its key, further tables, and whether the last comes first. */
interface Grouping {
  readonly key: string;
  readonly join?: string;
  readonly name?: string;
  readonly newestFirst?: true;
}

export const GROUPINGS: Readonly<Record<'model' | 'task' | 'session' | 'user' | 'day', Grouping>> = {
  model: { key: 'u.model' },
  task: { key: 'u.task_id::text', newestFirst: true },
  session: {
    key: 'u.session_id::text',
    name: '(SELECT title FROM session WHERE id = key::uuid)',
    newestFirst: true,
  },
  user: { key: 'w.name', join: 'JOIN "user" w ON w.id = u.user_id' },
  day: { key: `to_char(u.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')`, newestFirst: true },
};

/** The aggregates of answered requests, beside those of the others, and times. */
const MEASURED = `
  ${COUNTS.replaceAll(
    /(sum\(\w+\)|count\(\*\))(?! FILTER)/g,
    `$1 FILTER (WHERE outcome <> 'unknown')`,
  ).replace('WHERE usd IS NULL', `WHERE usd IS NULL AND outcome <> 'unknown'`)},
  (count(*) FILTER (WHERE outcome = 'unknown'))::float8 AS "lostRequests",
  coalesce(sum(input::bigint + output) FILTER (WHERE outcome = 'unknown'), 0)::float8 AS "lostTokens",
  trim_scale(sum(usd) FILTER (WHERE outcome = 'unknown'))::text AS "lostUsd",
  percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY latency_ms) AS latency,
  percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY first_token_ms) AS "firstToken"`;

/** Of team $1, from $2 on and before $3: both may be null. */
const IN_RANGE = `
  u.team_id = $1 AND u.created_at >= coalesce($2::timestamptz, '-infinity') AND u.created_at < coalesce($3::timestamptz, 'infinity')`;

export interface UsageRange {
  readonly teamId: string;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

export interface UsageFilter extends UsageRange {
  readonly by: keyof typeof GROUPINGS;
  /** Only what comes behind this key. */
  readonly after?: string | undefined;
}

/** A page of it. */
export async function readUsage(
  db: Database,
  { by, teamId, since, until, after }: UsageFilter,
  limit: number,
): Promise<Rows<UsageGroup>> {
  const values = [teamId, since ?? null, until ?? null, after ?? null, limit + 1];
  return cut(await db.read<UsageGroup & Record<string, unknown>>(usageQuery(by), ...values), limit);
}

export function usageQuery(by: keyof typeof GROUPINGS): string {
  const { key, join = '', name = 'NULL', newestFirst = false } = GROUPINGS[by];
  const [follows, order] = newestFirst ? ['<', 'DESC'] : ['>', 'ASC'];
  return `
    SELECT key, ${name} AS name, ${MEASURED}
      FROM (SELECT ${key} COLLATE "C" AS key, u.* FROM usage u ${join} WHERE ${IN_RANGE}) used
     WHERE $4::text IS NULL OR key ${follows} $4::text GROUP BY key ORDER BY key ${order} LIMIT $5`;
}

/** All of it together. */
export async function readTotalUsage(
  db: Database,
  { teamId, since, until }: UsageRange,
): Promise<MeasuredUsage> {
  const text = `SELECT ${MEASURED} FROM usage u WHERE ${IN_RANGE}`;
  const [total] = await db.read<MeasuredUsage & Record<string, unknown>>(
    text,
    ...[teamId, since ?? null, until ?? null],
  );
  if (total === undefined) throw new Error('an aggregate gave no row');
  return total;
}
