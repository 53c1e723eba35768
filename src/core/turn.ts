/**
 * What a turn does next: the whole engine's decisions, as one pure function of the log.
 *
 * A worker loops over `next` and performs what it says. A worker that takes over after a crash reads the same log and so
 * gets the same answer: the log is the checkpoint, and there is no other state.
 */
import { type Compaction, nextCompaction } from './compaction.ts';
import type { ContextLimits } from './context-size.ts';
import type { CallStatus, ClosedCallStatus, Effect, Entry } from './entry.ts';
import { textOf } from './entry.ts';
import { type LoopLimits, loopIn, loopMessage, loopNotice } from './loop.ts';

/** One call of the turn's answer. `id` is its row, `callId` the provider's name for it. */
export interface Call {
  readonly id: string;
  readonly callId: string;
  /** From 0, in the model's order. */
  readonly ordinal: number;
  readonly name: string;
  /** JSON text as the model wrote it. */
  readonly arguments: string;
  readonly effect: Effect;
  readonly status: CallStatus;
  /** Why the call may not run: said by a rule, or by a person. */
  readonly denial?: string;
  /** Of one whose outcome is unknown: what it may have left. */
  readonly traces?: string;
  /** Of one that has delegated: whether the task that it waits for goes on. */
  readonly child?: 'open' | 'ended';
}

/**
 * Whether a commit must say that the call has started before it begins, because it is not simply run again after a crash.
 * `managed`: its worker puts the files back first.
 */
export function startsByCommit({ effect }: Pick<Call, 'effect'>, managed: boolean): boolean {
  return effect === 'external' || (effect === 'workspace' && !managed);
}

/** A turn in hand. */
export interface TurnLog {
  /** The session's whole log, which ends with the turn's newest entry. */
  readonly entries: readonly Entry[];
  /** Where the turn's answer stands in it, once there is one. */
  readonly answerPosition: number | null;
  readonly calls: readonly Call[];
  /** The request of the turn before it was too long: this one makes the log shorter. */
  readonly overflowed?: boolean;
  /** Set when someone, or the clock, has ended the task meanwhile. */
  readonly stop?: 'cancelled' | 'limit_seconds';
}

export interface TurnLimits {
  /** This turn's number within its task, from 1, of those that count. */
  readonly turn: number;
  readonly turnLimit: number;
  readonly secondsLimit?: number;
  readonly loop?: LoopLimits;
  /** What does not fit of an answer, where one of a certain shape is asked for: the words for its model. Undefined: it fits. */
  readonly misfit?: (answer: string) => string | undefined;
  /** Left out where the log is too short for them to matter. */
  readonly context?: ContextLimits;
}

export type Step =
  /** Ask the model: the turn has no answer. `notice`: what it must be told first; it is committed with the answer. */
  | { readonly do: 'callModel'; readonly notice?: string }
  /** Make the log shorter before the model is asked: a turn of its own. */
  | { readonly do: 'compact'; readonly compaction: Compaction }
  /** Run these calls: together where there are several. Those that change something are committed as started first. */
  | { readonly do: 'runTools'; readonly calls: readonly Call[] }
  /** Close these calls without running them, with what the model must be told. */
  | { readonly do: 'report'; readonly reports: readonly CallReport[] }
  /** Give these calls to agents of their own, all at once. */
  | { readonly do: 'delegate'; readonly calls: readonly Call[] }
  /** The task of this call has ended: take its files over, and report. */
  | { readonly do: 'takeChild'; readonly call: Call }
  /** Nothing can go on before a person answers: park. */
  | { readonly do: 'askApproval' }
  /** Nothing can go on before a delegated task ends: park. */
  | { readonly do: 'waitForChildren' }
  /** The turn is complete and asks for another. */
  | { readonly do: 'endTurn' }
  | { readonly do: 'finish'; readonly end: TaskEnd };

export interface CallReport {
  readonly call: Call;
  readonly status: ClosedCallStatus;
  readonly text: string;
}

/** How a task ends. `message` is one sentence for a person. */
export type TaskEnd =
  | { readonly status: 'succeeded'; readonly resultPosition: number }
  | { readonly status: 'failed'; readonly code: string; readonly message: string }
  | { readonly status: 'cancelled' };

export function next(log: TurnLog, limits: TurnLimits): Step {
  if (log.stop !== undefined) return { do: 'finish', end: stopped(log.stop, limits) };
  const answer = log.answerPosition === null ? undefined : log.entries[log.answerPosition - 1];
  if (answer?.kind !== 'assistant') return ask(log, limits);

  const open = log.calls.filter((call) => !isClosed(call.status));
  const [first] = open;
  if (first !== undefined) return stepOf(first, open);
  if (log.calls.length === 0) return ended(log, answer, limits);
  const loop = loopIn(log.entries, limits.loop);
  if (loop?.verdict === 'end')
    return { do: 'finish', end: { status: 'failed', code: 'loop', message: loopMessage(loop) } };
  // The store turns this into the task's end where the limit is reached; saying so here keeps the decision testable.
  if (limits.turn >= limits.turnLimit) return { do: 'finish', end: turnsUsed(limits.turnLimit) };
  return { do: 'endTurn' };
}

/** An answer that is not of the shape that was asked for may be given once more. */
function ended({ entries }: TurnLog, answer: Answer, { misfit, turn, turnLimit }: TurnLimits): Step {
  const end = endOf(answer);
  const wrong = end.status === 'succeeded' ? misfit?.(textOf(answer.parts)) : undefined;
  if (wrong === undefined) return { do: 'finish', end };
  if (finalAnswers(entries) < 2 && turn < turnLimit) return { do: 'endTurn' };
  return { do: 'finish', end: { status: 'failed', code: 'invalid_result', message: INVALID_RESULT } };
}

type Answer = Extract<Entry, { kind: 'assistant' }>;

const INVALID_RESULT =
  'The answer does not fit the schema that was asked for, nor did it after a correction.';

/** Answers without calls since the user last said something. */
function finalAnswers(entries: readonly Entry[]): number {
  const said = entries.findLastIndex(({ kind }) => kind === 'user');
  return entries.slice(said + 1).filter((entry) => entry.kind === 'assistant' && !asksForCalls(entry)).length;
}

function asksForCalls({ parts }: Answer): boolean {
  return parts.some(({ type }) => type === 'tool');
}

/** What the model must be told of its last answer, which was to be its last. */
function correction(entries: readonly Entry[], { misfit }: TurnLimits): string | undefined {
  const last = entries.at(-1);
  return last?.kind === 'assistant' && !asksForCalls(last) ? misfit?.(textOf(last.parts)) : undefined;
}

function ask({ entries, overflowed = false }: TurnLog, limits: TurnLimits): Step {
  const compaction = limits.context && nextCompaction(entries, limits.context, { overflowed });
  if (compaction !== undefined) return { do: 'compact', compaction };
  if (overflowed) return { do: 'finish', end: TOO_LONG };
  const loop = loopIn(entries, limits.loop);
  const notice = loop === undefined ? correction(entries, limits) : loopNotice(loop, limits.loop);
  return notice === undefined ? { do: 'callModel' } : { do: 'callModel', notice };
}

/**
 * Calls are worked off in the model's order; only neighbours that merely read run together. What is delegated begins before its turn
 * comes, as far as no call before it changes the files, so that children work side by side, and beside the reads.
 */
function stepOf(first: Call, open: readonly Call[]): Step {
  const delegating = delegatedNow(open);
  if (delegating.length > 0) return { do: 'delegate', calls: delegating };
  const report = reportOf(first);
  if (report !== undefined) return { do: 'report', reports: [report] };
  if (first.status === 'awaiting_approval') return { do: 'askApproval' };
  if (first.effect === 'delegate') {
    return first.child === 'ended' ? { do: 'takeChild', call: first } : { do: 'waitForChildren' };
  }
  return { do: 'runTools', calls: firstGroup(open) };
}

/** The calls before the first barrier that delegate, and have not yet. */
function delegatedNow(open: readonly Call[]): readonly Call[] {
  const barrier = open.findIndex(({ effect }) => effect === 'workspace' || effect === 'external');
  return (barrier === -1 ? open : open.slice(0, barrier)).filter(
    ({ effect, status, denial }) => effect === 'delegate' && status === 'requested' && denial === undefined,
  );
}

/**
 * The calls that run at once: the first, with those right behind it where all of them merely read. A call that changes
 * something is a barrier: it runs alone.
 */
export function firstGroup(open: readonly Call[]): readonly Call[] {
  const runnable = (call: Call) =>
    call.effect === 'read' && call.denial === undefined && call.status !== 'awaiting_approval';
  const end = open.findIndex((call) => !runnable(call));
  if (end === 0) return open.slice(0, 1);
  return end === -1 ? open : open.slice(0, end);
}

/** What is known of a call without running it. */
function reportOf(call: Call): CallReport | undefined {
  if (call.denial !== undefined) {
    return { call, status: 'denied', text: `Denied: ${call.denial || 'a person said no to this call.'}` };
  }
  // Committed as started by an attempt that has ended since: it ran, or it did not, or in part.
  if (call.status === 'started' && (call.effect === 'workspace' || call.effect === 'external')) {
    const text = call.traces === undefined ? UNKNOWN_OUTCOME : `${UNKNOWN_OUTCOME}\n\n${call.traces}`;
    return { call, status: 'unknown', text };
  }
  return undefined;
}

export const UNKNOWN_OUTCOME =
  'Outcome unknown: the worker that ran this call was lost before it could report. The call may have run wholly, in part ' +
  'or not at all, and was not run again. Find out what happened (read the files it would have changed, look at the state ' +
  'it would have left) before you decide whether to repeat it.';

export function isClosed(status: CallStatus): status is ClosedCallStatus {
  return status !== 'requested' && status !== 'awaiting_approval' && status !== 'started';
}

function stopped(stop: 'cancelled' | 'limit_seconds', limits: TurnLimits): TaskEnd {
  if (stop === 'cancelled') return { status: 'cancelled' };
  const seconds = limits.secondsLimit === undefined ? '' : ` of ${limits.secondsLimit} seconds`;
  return {
    status: 'failed',
    code: 'limit_seconds',
    message: `The task reached its time limit${seconds}. Give the next one a higher limit with --limit seconds=N.`,
  };
}

const TOO_LONG: TaskEnd = {
  status: 'failed',
  code: 'context_overflow',
  message:
    'The conversation is too long for its model, and there is nothing in it that a summary could stand for. Ask for less at ' +
    'once, or use a model with a larger window.',
};

function turnsUsed(limit: number): TaskEnd {
  return {
    status: 'failed',
    code: 'limit_turns',
    message: `The task used ${limit === 1 ? 'its one turn' : `all of its ${limit} turns`}. Give the next one a higher limit with --limit turns=N.`,
  };
}

/** How a task ends whose last answer asks for nothing. */
function endOf(answer: Answer): TaskEnd {
  if (answer.stopReason === 'length') {
    return {
      status: 'failed',
      code: 'answer_truncated',
      message: "The model's answer was cut at its output limit. Raise --max-tokens, or ask for less at once.",
    };
  }
  if (answer.stopReason === 'refusal') {
    return {
      status: 'failed',
      code: 'refused',
      message: 'The model refused to answer. Its words are in the log.',
    };
  }
  if (textOf(answer.parts).trim() === '') {
    return {
      status: 'failed',
      code: 'empty_answer',
      message: 'The model answered with nothing. Try again, or another model.',
    };
  }
  return { status: 'succeeded', resultPosition: answer.position };
}
