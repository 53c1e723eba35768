/**
 * The transitions of a turn: one function, one SQL function (`transitions/*.sql`, which say guard, outcomes and races),
 * one commit.
 */
import type {
  CallStatus,
  ClosedCallStatus,
  Effect,
  Entry,
  NewEntry,
  Noted,
  Part,
  ResultPart,
  StopReason,
} from '../core/entry.ts';
import type { Failure } from '../core/errors.ts';
import type { Always } from '../core/permission.ts';
import type { Prices } from '../core/provider.ts';
import type { Route } from '../core/router.ts';
import type { TaskEnd } from '../core/turn.ts';
import type { FoundRoots, FoundSource } from '../core/workspace.ts';
import type { Also, ClaimedTurn, OpenProcess, Wake } from './claimed-turn.ts';
import type { Database } from './database.ts';
import type { RequestNote } from './rates.ts';

export type { Also, ClaimedTurn, OpenProcess, Wake, WorkspaceRow } from './claimed-turn.ts';

/** A turn that an attempt holds: what every write names. */
export interface Held {
  readonly turnId: string;
  readonly attemptId: string;
}

export interface NewCall {
  readonly id: string;
  readonly ordinal: number;
  readonly callId: string;
  readonly name: string;
  readonly effect: Effect;
  readonly status: Extract<CallStatus, 'requested' | 'started' | 'awaiting_approval'>;
  readonly denial?: string;
  readonly approvalId?: string;
  /** Of one that awaits a person: what `always` would allow, and how long they have to answer. */
  readonly always?: Always;
  readonly approvalSeconds?: number;
}

export interface RecordedAnswer {
  /** Entries that stand before the answer: the project's context, gathered for the first one. */
  readonly before: readonly Extract<NewEntry, { kind: 'notice' }>[];
  readonly parts: readonly Part[];
  readonly stopReason: StopReason;
  readonly usage: {
    readonly model: string;
    readonly input: number;
    readonly output: number;
    readonly cached: number;
    readonly cacheWritten?: number;
    readonly reasoning: number;
    /** The provider counted nothing: these are our own counts. */
    readonly estimated?: boolean;
    /** What the model costs now; left out or null: nobody knows. */
    readonly prices?: Prices | null;
    readonly latencyMs: number;
    readonly firstTokenMs: number | null;
  };
  readonly calls: readonly NewCall[];
  /** Background commands of whose end `before` tells. */
  readonly ended?: readonly EndedProcess[];
  readonly note?: RequestNote;
}

export interface EndedProcess {
  readonly id: string;
  /** In a word or two, for operators. */
  readonly end: string;
}

export interface CallResult {
  /** The tool call's row id. */
  readonly id: string;
  readonly status: ClosedCallStatus;
  readonly parts: readonly ResultPart[];
  readonly noted?: Noted;
  readonly durationMs?: number;
  /** SHA-256 (hexadecimal) of the stored output, where the model sees it cut. */
  readonly outputHash?: string;
  /** The workspace's files after the call, where it changed them. */
  readonly snapshot?: string;
  /** Calls that delegated, and whose tasks' changes the snapshot holds. */
  readonly merged?: readonly string[];
  /** Background commands that the call began, and those of whose end it tells. */
  readonly processes?: {
    readonly started?: readonly Omit<OpenProcess, 'isHere'>[];
    readonly ended?: readonly EndedProcess[];
  };
}

interface Committed {
  readonly seq: number;
  readonly also?: Also;
}

export type ClaimOutcome =
  | {
      readonly outcome: 'claimed' | 'repeated';
      readonly turn: ClaimedTurn;
      readonly takenIn: number;
      readonly seq: number;
      /** The session's log after `known`; null where it is long, and has to be read by itself. */
      readonly entries: readonly Entry[] | null;
    }
  | { readonly outcome: 'moved_on' | 'worker_lost' }
  | { readonly outcome: 'pinned'; readonly workerId: string; readonly rootId: string }
  | ({
      readonly outcome: 'ended' | 'parked';
      readonly rootId: string;
      readonly wake: Wake | null;
    } & Committed);

export interface Claim {
  readonly turnId: string;
  readonly attemptId: string;
  readonly workerId: string;
  /** Tokens that are reserved for an answer, where its task does not say. */
  readonly reserve: number;
  readonly nextTurnId: string;
  /** Position up to which this worker has the session's log. */
  readonly known?: number;
  /** How long a lease is: so long after a start of Postgres none has run out. */
  readonly leaseMs?: number;
}

export function claimTurn(db: Database, claim: Claim): Promise<ClaimOutcome> {
  return db.transition(
    'claim_turn',
    claim.turnId,
    claim.attemptId,
    claim.workerId,
    claim.reserve,
    claim.nextTurnId,
    claim.known ?? 0,
    claim.leaseMs ?? 0,
  );
}

export type RecordOutcome =
  | ({ readonly outcome: 'recorded'; readonly answerPosition: number } & Committed)
  | { readonly outcome: 'repeated'; readonly answerPosition: number }
  | { readonly outcome: 'fenced' };

export function recordAnswer(db: Database, held: Held, answer: RecordedAnswer): Promise<RecordOutcome> {
  return db.transition('record_answer', held.turnId, held.attemptId, answer);
}

/** Records `results` and marks the calls `start` as started, before any of those begins. */
export function recordResults(
  db: Database,
  held: Held,
  progress: { readonly results: readonly CallResult[]; readonly start: readonly string[] },
): Promise<({ outcome: 'recorded' } & Committed) | { outcome: 'fenced' }> {
  return db.transition('record_results', held.turnId, held.attemptId, progress.results, progress.start);
}

/**
 * Records what the workspace's files are before a call that changes them, where that is not recorded yet; or, with `found`, what
 * they are to begin with where they were cloned.
 */
export function recordFiles(
  db: Database,
  held: Held,
  files: { readonly snapshot: string; readonly found?: FoundSource | FoundRoots },
): Promise<({ outcome: 'recorded' } & Committed) | { outcome: 'fenced' }> {
  const { snapshot, found = null } = files;
  return db.transition('record_files', held.turnId, held.attemptId, snapshot, found);
}

export type SettleOutcome =
  | ({ readonly outcome: 'settled'; readonly taskStatus: string; readonly wake: Wake | null } & Committed)
  | { readonly outcome: 'repeated'; readonly taskStatus: string; readonly wake: Wake | null }
  | { readonly outcome: 'fenced' };

/** What follows a turn: one more, or the task's end. */
export type TurnEnd =
  /** `added`: tokens that the turn's results take in the next request. */
  { readonly kind: 'continue'; readonly added?: number } | ({ readonly kind: 'finish' } & FinishedTask);

/** `spent`: the model request that failed may have been charged for. */
export type FinishedTask = TaskEnd & { readonly spent?: boolean; readonly note?: RequestNote };

export interface Settlement {
  readonly results: readonly CallResult[];
  readonly end: TurnEnd;
  readonly nextTurnId: string;
  /** The turn's answer, where no commit has it yet. */
  readonly answer?: RecordedAnswer;
}

export function settleTurn(db: Database, held: Held, settle: Settlement): Promise<SettleOutcome> {
  return db.transition(
    'settle_turn',
    held.turnId,
    held.attemptId,
    settle.results,
    settle.end,
    settle.nextTurnId,
    settle.answer ?? null,
  );
}

export function parkTurn(
  db: Database,
  held: Held,
  results: readonly CallResult[],
): Promise<({ outcome: 'parked' | 'open' } & Committed) | { outcome: 'repeated' | 'fenced' }> {
  return db.transition('park_turn', held.turnId, held.attemptId, results);
}

export interface Retry {
  readonly delayMs: number;
  /** `fallback`: the model that is asked instead. */
  readonly failure: Pick<Failure, 'code' | 'message'> & { readonly fallback?: string };
  /** The provider may have charged for the request. */
  readonly spent: boolean;
  /** What they are now, where that is not one more than they were. */
  readonly retries?: number;
  readonly route?: Route;
  readonly note?: RequestNote;
}

export function retryTurn(
  db: Database,
  held: Held,
  retry: Retry & { readonly nextTurnId: string },
): Promise<
  ({ outcome: 'retrying' | 'ended'; wake: Wake | null } & Committed) | { outcome: 'repeated' | 'fenced' }
> {
  const { nextTurnId, ...row } = retry;
  return db.transition('retry_turn', held.turnId, held.attemptId, row, nextTurnId);
}

export function handBackTurn(
  db: Database,
  held: Held,
  handBack: {
    readonly results: readonly CallResult[];
    /** A model request was sent, and broken off. */
    readonly spent: boolean;
    readonly nextTurnId: string;
  },
): Promise<
  | ({ outcome: 'handed_back'; wake: Wake | null } & Committed)
  | { outcome: 'repeated'; wake: Wake | null }
  | { outcome: 'fenced' }
> {
  const { results, spent, nextTurnId } = handBack;
  return db.transition('hand_back_turn', held.turnId, held.attemptId, results, spent, nextTurnId);
}
