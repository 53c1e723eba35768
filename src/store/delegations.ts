/** Tasks that an agent's call gave to another one: how they begin, and what is known of them (`transitions/delegations.sql`, `spawn_children.sql`). */
import type { ClosedCallStatus, TextPart } from '../core/entry.ts';
import type { ConfiguredRule } from '../core/permission.ts';
import type { Profile } from '../core/profile.ts';
import type { Prices } from '../core/provider.ts';
import type { Database } from './database.ts';
import type { Held, Wake } from './turns.ts';

/** How a child works on its parent's files: on a copy, which is merged back, or on the same ones, which it only reads. */
export const ISOLATIONS = ['fork', 'shared'] as const;
export type Isolation = (typeof ISOLATIONS)[number];

/** Ids are UUIDs, minted by the caller, so that it may be repeated. */
export interface NewChild {
  /** The id of the tool call's row. */
  readonly call: string;
  readonly isolation: Isolation;
  /** A session that this one delegated to before, and that goes on. */
  readonly continues?: string;
  readonly session: {
    readonly id: string;
    readonly title: string;
    readonly workspaceId: string;
    /** Of a copy of a person's own directory: the rules of the project there. */
    readonly rules?: readonly ConfiguredRule[];
  };
  readonly task: {
    readonly id: string;
    readonly turnId: string;
    readonly messageId: string;
    readonly parts: readonly TextPart[];
    readonly profile: Profile;
    readonly profileHash: string;
    /** Its own: those of the tree are its parent's. */
    readonly limits: {
      readonly turns: number;
      readonly seconds?: number;
      readonly tokens?: number;
      /** A decimal number of US dollars. */
      readonly usd?: string;
    };
    readonly reserve: { readonly answer: number | null; readonly prices: Prices | null };
    readonly resultSchema?: unknown;
    /** The trace that its turns are part of; its parent's where left out. */
    readonly traceparent?: string;
  };
}

/** Why a child could not begin. */
export type RefusedChild =
  | 'limit_children'
  | 'limit_depth'
  | 'child_not_found'
  | 'child_unfinished'
  | 'child_isolation';

export type SpawnedCall =
  | { readonly id: string; readonly childSessionId: string; readonly childTaskId: string }
  | { readonly id: string; readonly refused: RefusedChild; readonly allowed: number | null };

export type SpawnOutcome =
  | {
      readonly outcome: 'spawned';
      readonly calls: readonly SpawnedCall[];
      readonly wakes: readonly Wake[];
      readonly seq: number;
    }
  | { readonly outcome: 'cancelled' }
  | { readonly outcome: 'fenced' };

export function spawnChildren(
  db: Database,
  held: Held,
  children: readonly NewChild[],
): Promise<SpawnOutcome> {
  return db.transition('spawn_children', held.turnId, held.attemptId, children);
}

/** An earlier child of a session, as far as its next task must know. Undefined: there is none. */
export async function readEarlierChild(
  db: Database,
  child: { readonly parentId: string; readonly id: string },
): Promise<{ readonly agent: string; readonly isolation: Isolation } | undefined> {
  const [row] = await db.sql<{ agent: string; isolation: Isolation }>`
    SELECT p.body->>'agent' AS agent, d.isolation
      FROM session s JOIN delegation d ON d.child_session_id = s.id JOIN task t ON t.id = d.child_task_id JOIN profile p ON p.hash = t.profile_hash
     WHERE s.id = ${child.id} AND s.parent_id = ${child.parentId} ORDER BY d.created_at DESC LIMIT 1`;
  return row;
}

/** What the last task of a child has changed and its parent has not merged. Undefined: nothing. */
export async function readUnmerged(
  db: Database,
  child: { readonly parentId: string; readonly id: string },
): Promise<
  | {
      readonly callId: string;
      readonly sessionId: string;
      readonly base: string | null;
      readonly head: string | null;
    }
  | undefined
> {
  const [row] = await db.sql<{
    callId: string;
    sessionId: string;
    base: string | null;
    head: string | null;
    isMerged: boolean;
  }>`
    SELECT d.tool_call_id AS "callId", d.child_session_id AS "sessionId", d.base, d.head, d.is_merged AS "isMerged"
      FROM session s JOIN delegation d ON d.child_session_id = s.id
       JOIN task t ON t.id = d.child_task_id
     WHERE s.id = ${child.id} AND s.parent_id = ${child.parentId} AND t.ended_at IS NOT NULL ORDER BY d.created_at DESC LIMIT 1`;
  if (row === undefined || row.isMerged || row.base === row.head) return undefined;
  const { isMerged: _, ...unmerged } = row;
  return unmerged;
}

/** A delegated task that has ended, as its execution log has it. */
export interface EndedChild {
  readonly sessionId: string;
  readonly taskId: string;
  readonly title: string;
  readonly isolation: Isolation;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** JSON Schema that the answer of one that succeeded fits; null: none was asked for. */
  readonly resultSchema: unknown;
  /** Of its last answer: the result where it succeeded. */
  readonly answer: string | null;
  /** From its first turn to its end, without what was spent on waiting for a person. */
  readonly ms: number;
  /** The files it began and ended with; null: nothing was recorded. */
  readonly base: string | null;
  readonly head: string | null;
  readonly input: number;
  readonly output: number;
  /** With all below it; null: nobody knows all the prices. */
  readonly usd: string | null;
  readonly calls: readonly EndedCall[];
}

export interface EndedCall {
  readonly name: string;
  readonly status: ClosedCallStatus;
  /** As the model wrote them. */
  readonly arguments: string;
  /** Of a call that did not do what it was for: what its model was told, cut. */
  readonly error: string | null;
}

/** As much of a failed call's result, from its beginning and from its end, as may hold the line that says how. */
const ERROR_CHARS = 500;

/** $1: the call. Asked at each child's end: what it reads is found by the child's turns, however many others there are. */
export const ENDED_CHILD = `
  WITH RECURSIVE child AS (
    SELECT d.*, t.session_id, t.status AS task_status, t.error_code, t.error_message, t.result_schema, t.result_position, t.started_at AS began, t.ended_at AS over, s.title
      FROM delegation d JOIN task t ON t.id = d.child_task_id JOIN session s ON s.id = t.session_id WHERE d.tool_call_id = $1
  ), below AS (
    SELECT child_task_id AS id FROM child
    UNION ALL
    SELECT t.id FROM below b JOIN task t ON t.parent_task_id = b.id
  ), used AS (
    SELECT coalesce(sum(u.input), 0)::float8 AS input, coalesce(sum(u.output), 0)::float8 AS output,
           CASE WHEN bool_and(u.usd IS NOT NULL) IS NOT FALSE THEN trim_scale(coalesce(sum(u.usd), 0))::text END AS usd
      FROM below JOIN usage u ON u.task_id = below.id
  ), asked AS (
    SELECT coalesce(sum(q.seconds), 0)::float8 * 1000 AS ms
      FROM (SELECT extract(epoch FROM max(least(a.resolved_at, child.over)) - min(a.created_at)) AS seconds
              FROM child JOIN turn u ON u.task_id = child.child_task_id JOIN tool_call c ON c.turn_id = u.id JOIN approval a ON a.tool_call_id = c.id
             GROUP BY u.id) q
  ), called AS (
    SELECT jsonb_agg(jsonb_build_object('name', c.name, 'status', c.status,
             'arguments', coalesce(part.body->>'arguments', ''),
             'error', CASE WHEN c.status <> 'succeeded' THEN left(told.text, ${ERROR_CHARS}) || right(substr(told.text, ${ERROR_CHARS} + 1), ${ERROR_CHARS}) END) ORDER BY c.result_position) AS calls
      FROM child JOIN turn u ON u.task_id = child.child_task_id JOIN tool_call c ON c.turn_id = u.id AND c.ended_at IS NOT NULL
      LEFT JOIN entry answer ON answer.session_id = c.session_id AND answer.position = u.answer_position
      LEFT JOIN LATERAL (
        SELECT body FROM (SELECT part AS body, row_number() OVER (ORDER BY place) - 1 AS ordinal
                            FROM jsonb_array_elements(answer.parts) WITH ORDINALITY AS parts(part, place) WHERE part->>'type' = 'tool') tools
         WHERE tools.ordinal = c.ordinal) part ON true
      LEFT JOIN LATERAL (
        SELECT parts#>>'{0,text}' AS text FROM entry WHERE session_id = c.session_id AND position = c.result_position) told ON true
  )
  SELECT child.session_id AS "sessionId", child.child_task_id AS "taskId", child.title, child.isolation, child.task_status AS status,
         child.error_code AS "errorCode", child.error_message AS "errorMessage",
         child.result_schema AS "resultSchema",
         (SELECT string_agg(part->>'text', '') FROM entry e, jsonb_array_elements(e.parts) part
           WHERE e.session_id = child.session_id AND part->>'type' = 'text' AND e.position = coalesce(child.result_position, (
             SELECT max(position) FROM entry WHERE session_id = child.session_id AND task_id = child.child_task_id AND kind = 'assistant'))) AS answer,
         greatest(coalesce(extract(epoch FROM child.over - child.began)::float8 * 1000, 0) - asked.ms, 0) AS ms,
         child.base, child.head, used.input, used.output, used.usd, coalesce(called.calls, '[]') AS calls
    FROM child, used, asked, called`;

export async function readEndedChild(db: Database, callId: string): Promise<EndedChild> {
  const [row] = await db.planned<EndedChild & Record<string, unknown>>('ended_child', ENDED_CHILD, callId);
  if (row === undefined) throw new Error(`the call ${callId} has delegated nothing`);
  return row;
}
