/** The transitions of a task that its people start. Ids are UUIDs, minted by the caller, so that each may be repeated. */
import type { UserPart } from '../core/entry.ts';
import type { OnLimit, Profile } from '../core/profile.ts';
import type { Prices } from '../core/provider.ts';
import type { ProjectServers, Source, UploadSource, WorkspaceKind } from '../core/workspace.ts';
import type { Database } from './database.ts';
import type { Also, Wake } from './turns.ts';

export interface NewTask {
  readonly id: string;
  readonly turnId: string;
  readonly messageId: string;
  readonly parts: readonly UserPart[];
  readonly profile: Profile;
  /** SHA-256 of the profile's JSON, hexadecimal. */
  readonly profileHash: string;
  /** Those that it may delegate to, which its profile names by their hashes. */
  readonly delegates?: readonly { readonly hash: string; readonly body: Profile }[];
  readonly limits: {
    readonly turns: number;
    readonly treeTurns: number;
    readonly tokens: number | null;
    /** A decimal number of US dollars; only with prices to reserve by. */
    readonly usd?: string | null;
    readonly seconds: number | null;
    readonly onLimit?: OnLimit;
    /** Over all that is delegated below it: how many, how many at once, how deep; none where left out. */
    readonly children?: number;
    readonly concurrentChildren?: number;
    readonly depth?: number;
  };
  /** What is reserved for each of its requests: `prices` of the dearest model that may answer, where those of all are known. */
  readonly reserve?: { readonly answer: number | null; readonly prices: Prices | null };
  readonly metadata: Readonly<Record<string, string>>;
  /** Where its end is delivered, and what is asked below it; only where the team has a secret to sign with. */
  readonly webhookUrl?: string;
  /** The trace that its turns are part of. */
  readonly traceparent?: string | undefined;
}

/** The session a task goes to: a new one, with its workspace, or one that exists. */
export type TaskSession =
  | { readonly id: string }
  | {
      readonly id: string;
      readonly title: string;
      readonly workspace: {
        readonly id: string;
        readonly kind: WorkspaceKind;
        readonly path: string | null;
        readonly source?: Source | UploadSource;
        /** MCP servers of the project; left out: it has none. */
        readonly projectServers?: ProjectServers;
        /** The snapshot that it begins with, and whose tree of forks that belongs to; left out: nothing yet, a tree of its own. */
        readonly base?: string;
        readonly lineage?: string;
      };
    };

export interface Submission {
  readonly teamId: string;
  readonly userId: string;
  readonly session: TaskSession;
  readonly task: NewTask;
  /** `requestHash`: SHA-256 (hexadecimal) of what was asked, so that a key cannot stand for two requests. */
  readonly idempotency?: { readonly key: string; readonly requestHash: string };
}

export type SubmitOutcome =
  | {
      readonly outcome: 'created' | 'repeated';
      readonly taskId: string;
      readonly sessionId: string;
      readonly rootId: string;
      readonly wake?: Wake | null;
      readonly seq?: number;
    }
  | {
      readonly outcome:
        | 'idempotency_conflict'
        /** The key's task is no more. */
        | 'task_deleted'
        | 'session_not_found'
        | 'session_archived'
        | 'session_shared';
    };

export function createTask(db: Database, submission: Submission): Promise<SubmitOutcome> {
  const { teamId, userId, session, task, idempotency } = submission;
  return db.transition('create_task', teamId, userId, session, task, idempotency ?? null);
}

export type CancelOutcome =
  | {
      readonly outcome: 'cancelled';
      readonly rootId: string;
      readonly seq: number;
      readonly wake: Wake | null;
      readonly also?: Also;
    }
  | {
      readonly outcome: 'requested';
      readonly rootId: string;
      readonly seq: number;
      readonly also?: Also;
    }
  | { readonly outcome: 'ended'; readonly status: string }
  | { readonly outcome: 'not_found' };

/** `requested`: a worker runs it; tell it over the bus. `wake`: the session's next task begins. */
export function cancelTask(
  db: Database,
  cancel: { readonly teamId: string; readonly taskId: string; readonly nextTurnId: string },
): Promise<CancelOutcome> {
  return db.transition('cancel_task', cancel.teamId, cancel.taskId, cancel.nextTurnId);
}

export type PauseOutcome =
  | {
      readonly outcome: 'paused';
      readonly rootId: string;
      readonly seq: number;
      /** Tasks that were marked now: a worker may be running them. */
      readonly paused: readonly string[];
    }
  | { readonly outcome: 'ended'; readonly status: string }
  | { readonly outcome: 'not_found' };

interface OfTeam {
  readonly teamId: string;
  readonly taskId: string;
}

export function pauseTask(db: Database, { teamId, taskId }: OfTeam): Promise<PauseOutcome> {
  return db.transition('pause_task', teamId, taskId);
}

export type ResumeOutcome =
  | {
      readonly outcome: 'resumed';
      readonly rootId: string;
      readonly seq: number;
      readonly also?: Also;
    }
  | { readonly outcome: 'ended'; readonly status: string }
  | { readonly outcome: 'not_found' };

export function resumeTask(db: Database, { teamId, taskId }: OfTeam): Promise<ResumeOutcome> {
  return db.transition('resume_task', teamId, taskId);
}

export type ResolveOutcome =
  | {
      readonly outcome: 'resolved';
      readonly rootId: string;
      readonly seq: number;
      readonly wake: Wake | null;
      readonly also?: Also;
    }
  | { readonly outcome: 'already'; readonly status: string; readonly resolvedBy: string | null }
  /** `only_once`: it cannot be allowed always. */
  | { readonly outcome: 'not_found' | 'only_once' };

export interface Resolution {
  readonly teamId: string;
  readonly userId: string;
  readonly approvalId: string;
  readonly decision: 'allowed' | 'denied';
  /** Shown to the model where the answer is no. */
  readonly message?: string;
  /** Allowed always: the id of the rule that says so. */
  readonly ruleId?: string;
}

export function resolveApproval(db: Database, resolution: Resolution): Promise<ResolveOutcome> {
  const { teamId, approvalId, decision, message, userId, ruleId } = resolution;
  return db.transition(
    'resolve_approval',
    teamId,
    approvalId,
    decision,
    message ?? null,
    userId,
    ruleId ?? null,
  );
}

/** A message for a task that runs: its next turn takes it into the log. */
export function postMessage(
  db: Database,
  message: {
    readonly teamId: string;
    readonly taskId: string;
    readonly id: string;
    /** Who says it. */
    readonly userId: string;
    readonly parts: readonly UserPart[];
  },
): Promise<{ outcome: 'posted' | 'repeated' | 'not_found' | 'ended' }> {
  const { teamId, taskId, id, userId, parts } = message;
  return db.transition('post_message', teamId, taskId, id, userId, parts);
}

/** Forgets the keys that stand for nothing any more. Returns how many. */
export async function forgetIdempotencyKeys(db: Database, limit: number): Promise<number> {
  const rows = await db.sql`
    DELETE FROM idempotency_key WHERE (team_id, key) IN (
      SELECT team_id, key FROM idempotency_key WHERE created_at < clock_timestamp() - interval '24 hours'
       ORDER BY created_at LIMIT ${limit})
       AND created_at < clock_timestamp() - interval '24 hours'
    RETURNING key`;
  return rows.length;
}
