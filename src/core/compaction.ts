/**
 * When a session's log has become too long for its model, and what is done about it: first old output is taken out; where that
 * is not enough, a summary stands for what is older. Both are entries, so that the same log gives the same decision; and what
 * is left is well below the mark, so that it is rarely needed and requests keep their beginning in between.
 */
import { type ContextMessage, messagesIn } from './context.ts';
import {
  type ContextLimits,
  type CountTokens,
  countedSize,
  prunedSize,
  ratioOf,
  sizeOf,
  toldSize,
  USUAL_OUTPUT,
} from './context-size.ts';
import { type Entry, type Replaced, standing } from './entry.ts';
import { openTodos } from './todos.ts';
import { groupsOf, type View, viewOf, windowed } from './view.ts';

/** Shares of what there is room for below the mark, beside the system prompt and the tools. */
const SHARES = {
  /** What was said before the first answer stays as it is. */
  head: 0.2,
  /** The newest answers stay as they are, and their output; the newest one even if it takes more. */
  tail: 0.15,
  newest: 0.3,
  summary: 0.15,
  /** Taking out old output is enough where it leaves no more. */
  pruned: 0.6,
} as const;
/** Output is worth taking out from here on, in tokens. */
const LEAST_PRUNED = 100;
const LEAST_SUMMARY = 256;
/** Where it leaves more than this share it would only be needed again. */
const WORTH_IT = 0.85;

/** The next compaction of a log. Sizes are of requests, in the provider's tokens. */
export interface Compaction {
  /** Results that are only told of from then on. */
  readonly prunes: readonly number[];
  /** What a summary is to stand for, how many tokens it may have, and what is told behind it word for word. */
  readonly summary?: Replaced & { readonly tokens: number; readonly todos?: string };
  readonly before: number;
  /** With a summary: at most. */
  readonly after: number;
}

export interface CompactionOptions {
  /** The provider said that it was too long: it is, whatever was counted. */
  readonly overflowed?: boolean;
}

/** What a request is made of, as the strategy has it. */
export function contextOf(log: readonly Entry[], limits: ContextLimits | undefined): View {
  const view = viewOf(log);
  if (limits?.policy.strategy !== 'window') return view;
  const ratio = ratioOf(view, limits, 'oldest');
  const { count, overhead, policy, tokens } = limits;
  return windowed(view, {
    ...{ messages: policy.maxMessages, tokens: tokens / ratio - overhead, keeps: 0.5 },
    sizeOf: (entry) => toldSize(entry, view, count),
  });
}

/** What is to be done before the next answer; undefined where nothing is, or nothing would help. */
export function nextCompaction(
  log: readonly Entry[],
  limits: ContextLimits,
  { overflowed = false }: CompactionOptions = {},
): Compaction | undefined {
  const view = viewOf(log);
  const ratio = ratioOf(view, limits);
  const counted = countedSize(contextOf(log, limits), limits.count);
  const mark = limits.policy.compactAt * limits.tokens;
  const before = (limits.overhead + counted) * ratio;
  const room = Math.max(0, mark / ratio - limits.overhead);
  const half = Math.min(room, counted / 2);
  const planned = (plan: Plan, share: number) => {
    const { left, ...compaction } = plan;
    if (left >= counted * share) return undefined;
    return { ...compaction, before: Math.round(before), after: Math.round((limits.overhead + left) * ratio) };
  };
  if (overflowed) return planned(planOf(view, limits, { log, room: half }), 1);
  const asked = askedAt(log);
  if (asked !== undefined) {
    const wished = planned(summaryUpTo(asked, view, limits, { log, room: half }), 1);
    if (wished !== undefined) return wished;
  }
  if (limits.policy.strategy !== 'compact' || before < mark || !isAnswered(view)) return undefined;
  return planned(planOf(view, limits, { log, room }), WORTH_IT);
}

/**
 * Where a person asked for a summary that nothing has come of yet; undefined: nobody did. An answer ends it too: it was for the one
 * that came next.
 */
export function askedAt(log: readonly Entry[]): number | undefined {
  const last = standing(log).findLast(
    (entry) => asksForSummary(entry) || ['assistant', 'compaction', 'pruning'].includes(entry.kind),
  );
  return last !== undefined && asksForSummary(last) ? last.position : undefined;
}

function asksForSummary(entry: Entry): boolean {
  return entry.kind === 'notice' && entry.noted?.compacts === true;
}

/** One that did not help is not repeated before the model has said something. */
function isAnswered({ entries, changed }: View): boolean {
  return entries.some(({ kind, position }) => kind === 'assistant' && position > (changed?.position ?? 0));
}

interface Plan extends Pick<Compaction, 'prunes' | 'summary'> {
  /** What is left, by our own count. */
  readonly left: number;
}

interface Room {
  readonly log: readonly Entry[];
  readonly room: number;
}

function planOf(view: View, limits: ContextLimits, { log, room }: Room): Plan {
  const size = (entry: Entry) => toldSize(entry, view, limits.count);
  const head = headOf(view, (entries) => sum(entries, size) <= room * SHARES.head);
  const tail = tailOf(view.entries.slice(head.length), size, room);
  const prunes = prunable(view, limits, tail);
  const saved = sum(prunes, (entry) => size(entry) - prunedSize(limits.count));
  const pruned = countedSize(view, limits.count) - saved;
  if (prunes.length > 0 && pruned <= room * SHARES.pruned)
    return { prunes: prunes.map(({ position }) => position), left: pruned };
  return summaryBetween(head, tail, { log, room, view, limits });
}

/** What came behind that position, such as what a person has said since, stays word for word. */
function summaryUpTo(last: number, view: View, limits: ContextLimits, { log, room }: Room): Plan {
  const size = (entry: Entry) => toldSize(entry, view, limits.count);
  const head = headOf(view, (entries) => sum(entries, size) <= room * SHARES.head);
  const tail = view.entries.filter(({ position }) => position > last);
  return summaryBetween(head, tail, { log, room, view, limits });
}

interface Between extends Room {
  readonly view: View;
  readonly limits: ContextLimits;
}

function summaryBetween(
  head: readonly Entry[],
  tail: readonly Entry[],
  { log, room, view, limits }: Between,
): Plan {
  const size = (entry: Entry) => toldSize(entry, view, limits.count);
  const after = head.at(-1)?.position ?? 0;
  const to = (tail[0]?.position ?? lastPosition(view) + 1) - 1;
  const tokens = Math.min(USUAL_OUTPUT, Math.max(LEAST_SUMMARY, Math.floor(room * SHARES.summary)));
  const said = view.entries.findLast(({ kind }) => kind === 'user');
  const isOutside = said !== undefined && said.position > after && said.position <= to;
  const todos = openTodos(log, { after, to });
  const left =
    sum(head, size) + sum(tail, size) + tokens + (isOutside ? size(said) : 0) + limits.count(todos);
  return { prunes: [], summary: { after, to, tokens, ...(todos !== '' && { todos }) }, left };
}

function sum(entries: readonly Entry[], size: (entry: Entry) => number): number {
  return entries.reduce((total, entry) => total + size(entry), 0);
}

function lastPosition({ entries, changed }: View): number {
  return Math.max(changed?.position ?? 0, ...entries.slice(-1).map(({ position }) => position));
}

/** What was said before the first answer, as much of it as fits: first what the user asked for, then what it is about. */
function headOf({ entries }: View, fits: (entries: readonly Entry[]) => boolean): readonly Entry[] {
  let end = entries.findIndex(({ kind }) => kind === 'assistant' || kind === 'compaction');
  while (end > 0 && !fits(entries.slice(0, end))) end -= 1;
  return end === -1 ? [] : entries.slice(0, end);
}

/** The newest groups that stay as they are: never an earlier summary, nor what that stands for. */
function tailOf(entries: readonly Entry[], size: (entry: Entry) => number, room: number): readonly Entry[] {
  const summary = entries.find((entry) => entry.kind === 'compaction');
  const since = entries.filter((entry) => entry !== summary && entry.position > (summary?.replaces.to ?? 0));
  const kept: (readonly Entry[])[] = [];
  let taken = 0;
  for (const group of groupsOf(since).toReversed()) {
    taken += sum(group, size);
    if (taken > room * (kept.length === 0 ? SHARES.newest : SHARES.tail)) break;
    kept.unshift(group);
  }
  return kept.flat();
}

/** Results before the newest groups whose text is worth taking out. */
function prunable(view: View, { count }: ContextLimits, tail: readonly Entry[]): readonly Entry[] {
  const end = tail[0]?.position ?? Number.POSITIVE_INFINITY;
  return view.entries.filter(
    (entry) =>
      entry.kind === 'tool_result' &&
      entry.position < end &&
      !view.pruned.has(entry.position) &&
      sizeOf(entry, count) >= LEAST_PRUNED,
  );
}

/** The model is asked for it at the end of the conversation, so that what stands before comes out of the provider's cache. */
export const SUMMARY_REQUEST = `The conversation has become too long. Write a summary that will stand for all of it: whoever reads it goes on with the work and sees nothing else of what came before. Call no tool. Use these headings, and write "none" where there is nothing to say:

# Goal
What the user wants, in their own words where they matter.
# Constraints
What must be, must not be, or is to be left alone; how the user wants it done.
# Decisions
What was decided, and why; what was tried and did not work.
# Files
Every file that was read, made or changed and still matters: its path, what is in it, what was done to it.
# State
What is done, and what the last results were: the exact errors and names that are still needed.
# Open items
What is left to do, the next step first.

Be exact: paths, names, commands, numbers. Leave out what no longer matters.`;

/** The request for a summary: the conversation as it is, or as much of it as fits into `tokens`, and what is asked for. */
export function summaryRequest(
  log: readonly Entry[],
  limits: ContextLimits,
  { tokens, images }: { readonly tokens: number; readonly images: boolean },
): ContextMessage[] {
  const { count, overhead } = limits;
  const view = viewOf(log);
  const room = tokens / ratioOf(view, limits) - overhead - count(SUMMARY_REQUEST);
  const asked: ContextMessage = { role: 'user', text: SUMMARY_REQUEST };
  return [
    ...messagesIn(countedSize(view, count) <= room ? view : fitted(view, limits, room), { images }),
    asked,
  ];
}

/** Without the older output, and then without the oldest of all. */
function fitted(view: View, { count }: ContextLimits, room: number): View {
  const newest = groupsOf(view.entries).at(-1)?.[0]?.position ?? 0;
  const old = view.entries.filter(({ kind, position }) => kind === 'tool_result' && position < newest);
  const pruned = new Set([...view.pruned, ...old.map(({ position }) => position)]);
  const changed = view.entries.at(-1);
  const without = { ...view, pruned, changed };
  return windowed(without, {
    ...{ messages: null, tokens: room, keeps: 1 },
    sizeOf: (entry) => toldSize(entry, without, count),
  });
}

/** A summary that became longer than it may is cut: what it stands for is in the log, whole. */
export function summaryWithin(text: string, tokens: number, count: CountTokens): string {
  let cut = text.trim();
  for (let size = count(cut); size > tokens; size = count(cut))
    cut = `${cut.slice(0, Math.floor((cut.length * tokens) / size) - 1).trimEnd()}…`;
  return cut;
}
