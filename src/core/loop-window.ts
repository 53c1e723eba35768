/** The newest turns of a log as the loop guard compares them. */
import { canonicalJson } from './canonical-json.ts';
import { type ClosedCallStatus, type Entry, filesOf, type ToolPart, textOf } from './entry.ts';
import { isWaiting } from './loop-waiting.ts';
import { withoutVolatile } from './volatile.ts';

/** A call with its outcome. */
export interface LoopStep {
  readonly call: ToolPart;
  /** Equal for two steps of the same tool with equal arguments, status, images and, but for what is volatile, text. */
  readonly key: string;
  /** Of a call that failed in words: equal where the tool and the words are. */
  readonly failure?: string;
}

/** One answer with what its calls came to, each step once. */
export interface LoopTurn {
  readonly steps: readonly LoopStep[];
}

type AnswerEntry = Extract<Entry, { kind: 'assistant' }>;
type ResultEntry = Extract<Entry, { kind: 'tool_result' }>;

/**
 * The newest turns that have calls, the newest last: as many as the limits allow, and none from before a person spoke or
 * the agent waited.
 */
export function newestTurns(
  entries: readonly Entry[],
  limits: { readonly turns: number; readonly entries: number },
): LoopTurn[] {
  const turns: LoopTurn[] = [];
  const results = new Map<string, ResultEntry>();
  let oldest = Math.max(0, entries.length - limits.entries);
  for (let index = entries.length - 1; index >= oldest && turns.length < limits.turns; index--) {
    const entry = entries[index] as Entry;
    if (entry.kind === 'user' || entry.kind === 'revert') break;
    // What a summary stands for the model no longer sees, and a worker need not have read.
    if (entry.kind === 'compaction') oldest = Math.max(oldest, entry.replaces.to);
    if (entry.kind === 'tool_result') results.set(entry.callId, entry);
    if (entry.kind !== 'assistant') continue;
    const turn = turnOf(entry, results);
    if (turn === 'waited') break;
    if (turn.steps.length > 0) turns.unshift(turn);
    results.clear();
  }
  return turns;
}

/** Entries never change: each turn is read once, and compared as often as it is among the newest. */
const TURNS = new WeakMap<AnswerEntry, LoopTurn | 'waited'>();

function turnOf(answer: AnswerEntry, results: ReadonlyMap<string, ResultEntry>): LoopTurn | 'waited' {
  const known = TURNS.get(answer);
  if (known !== undefined) return known;
  const turn = turnMade(answer, results);
  const isWhole = answer.parts.every((part) => part.type !== 'tool' || results.has(part.callId));
  if (isWhole) TURNS.set(answer, turn);
  return turn;
}

/** `waited`: also where a worker was lost or stopped in the middle of a call: to repeat that is no mistake of the agent's. */
function turnMade(answer: AnswerEntry, results: ReadonlyMap<string, ResultEntry>): LoopTurn | 'waited' {
  const steps = new Map<string, LoopStep>();
  for (const part of answer.parts) {
    const result = part.type === 'tool' ? results.get(part.callId) : undefined;
    if (part.type !== 'tool' || result === undefined) continue;
    const { status } = result;
    if (status === 'interrupted' || status === 'unknown') return 'waited';
    const text = textOf(result.parts);
    if (isWaiting(part, { succeeded: status === 'succeeded', text })) return 'waited';
    const images = filesOf(result.parts).map(({ hash }) => hash);
    const step = stepOf(part, { status, text, images });
    steps.set(step.key, step);
  }
  return { steps: [...steps.values()] };
}

interface Outcome {
  readonly status: ClosedCallStatus;
  readonly text: string;
  /** Their hashes: a new screenshot may be told in the words of the last one. */
  readonly images: readonly string[];
}

function stepOf(call: ToolPart, { status, text, images }: Outcome): LoopStep {
  const asked = digestOf(canonicalJson(call.arguments, FOR_WATCHERS[call.name]));
  const outcome = digestOf([withoutVolatile(text), ...images].join(' '));
  const step = { call, key: `${call.name} ${asked} ${status} ${outcome}` };
  return status === 'failed' && saysSomething(text) ? { ...step, failure: `${call.name} ${outcome}` } : step;
}

/** What a call says only for people who watch: another word there makes no other call. */
const FOR_WATCHERS: Readonly<Record<string, readonly string[]>> = { bash: ['description'] };
/** As far as a text is looked at for words. */
const SAYS_WITHIN = 2_000;

/** Three words beside remarks in brackets, as `(exit code 1)` and `(no output)` are: an exit code alone may have any cause. */
function saysSomething(text: string): boolean {
  const beginning = text.slice(0, SAYS_WITHIN).replace(/^\(.*\)$/gm, '');
  return /(\p{L}{2,}\P{L}+){2}\p{L}{2,}/u.test(beginning);
}

/** 64 bits and the length: two 32-bit multiplicative hashes. Nobody gains by a collision: it would count one turn too much. */
function digestOf(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x85ebca6b) + index;
  }
  return `${(a >>> 0).toString(36)}.${(b >>> 0).toString(36)}.${text.length}`;
}
