/**
 * The request a model gets, built from the log. The same log gives the same bytes, and a longer log the same beginning, so
 * that providers' caches hit. What was made of a log once is used again as it grows, the very same objects, so that whoever
 * writes them for the wire knows them again.
 */
import { ToldIds } from './call-ids.ts';
import type { Entry, FilePart, Part, UserPart } from './entry.ts';
import { documentsOf, filesOf, textOf } from './entry.ts';
import { type ShownImages, shownImages, showsImages } from './images.ts';
import { PRUNED, SUMMARY_FOLLOWS, type View, viewOf } from './view.ts';

export type ContextMessage =
  | {
      readonly role: 'user';
      readonly text: string;
      /** Shown before the text. */
      readonly images?: readonly FilePart[];
    }
  | { readonly role: 'assistant'; readonly parts: readonly Part[] }
  | {
      readonly role: 'tool';
      readonly callId: string;
      readonly text: string;
      readonly isError: boolean;
      /** Shown behind the text. */
      readonly images?: readonly FilePart[];
    };

type AssistantEntry = Extract<Entry, { kind: 'assistant' }>;
type ResultEntry = Extract<Entry, { kind: 'tool_result' }>;

const NO_RESULT = 'Not run: the work was interrupted before this call.';
const NOT_SHOWN =
  '(Not shown any more: only the newest images are, and none that was refused. Read it again to see it.)';
const TAKES_NONE =
  '(Not shown: the model that is asked takes no images. Commands can look into it, or convert it.)';

export interface ContextOptions {
  /** Whether the model that is asked takes images. */
  readonly images?: boolean;
}

/** The log as messages, as `messagesIn` makes them of what stands of it. */
export function messagesOf(log: readonly Entry[], options: ContextOptions = {}): ContextMessage[] {
  return messagesIn(viewOf(log), options);
}

/**
 * What a request is made of, as messages that every provider accepts: each answer's calls are followed by exactly one result
 * each, in the answer's order, whatever was interrupted in between, and no two have the same id; an answer without content is
 * left out.
 */
export function messagesIn(view: View, { images = true }: ContextOptions = {}): ContextMessage[] {
  const { entries } = view;
  const answer = entries.findLastIndex(({ kind }) => kind === 'assistant');
  const shown = { ...(images ? imagesIn(view) : NONE), view };
  const newest = { entries, from: Math.max(answer, 0), end: entries.length };
  const before = messagesBefore(entries, answer, shown);
  return [...before.messages, ...messagesMade(newest, { ...shown, ids: new ToldIds(before.ids) })];
}

const NONE: ShownImages = { shown: new Set(), dropped: Number.POSITIVE_INFINITY };

function imagesIn({ entries, pruned }: View): ShownImages {
  return shownImages(pruned.size === 0 ? entries : entries.filter(({ position }) => !pruned.has(position)));
}

/** What messages are made with, beside their entries. */
interface Shown extends ShownImages {
  readonly view: View;
}

interface Telling extends Shown {
  readonly ids: ToldIds;
}

/** Messages as they are in such a view, with so many images dropped: in another, or with more, they are made anew. */
interface Made extends Pick<View, 'first' | 'changed'> {
  readonly messages: ContextMessage[];
  readonly ids: ToldIds;
  readonly dropped: number;
}

/** By the last entry that they were made of, which belongs to one log. One list per log is kept: the longest. */
const MADE = new WeakMap<Entry, Made>();

/** Nothing that comes can change what stands before an answer, but for its images: not the results of an earlier one either. */
function messagesBefore(
  entries: readonly Entry[],
  answer: number,
  shown: Shown,
): Pick<Made, 'messages' | 'ids'> {
  const { dropped, view } = shown;
  const { first, changed } = view;
  const last = entries[answer - 1];
  if (last === undefined) return { messages: [], ids: new ToldIds() };
  let known = answer - 1;
  while (known >= 0 && !MADE.has(entries[known] as Entry)) known -= 1;
  const before = entries[known];
  const made = before && MADE.get(before);
  const isSame = made?.dropped === dropped && made.first === first && made.changed === changed;
  const { messages, ids }: Pick<Made, 'messages' | 'ids'> = isSame
    ? made
    : { messages: [], ids: new ToldIds() };
  const span = { entries, from: isSame ? known + 1 : 0, end: answer };
  for (const message of messagesMade(span, { ...shown, ids })) messages.push(message);
  if (before !== undefined) MADE.delete(before);
  MADE.set(last, { messages, ids, dropped, first, changed });
  return { messages, ids };
}

/** Entries of a log from one, up to, not including, another. */
interface Span {
  readonly entries: readonly Entry[];
  readonly from: number;
  readonly end: number;
}

function messagesMade({ entries, from, end }: Span, shown: Telling): ContextMessage[] {
  const messages: ContextMessage[] = [];
  for (let index = from; index < end; index++) {
    const entry = entries[index] as Entry;
    if (entry.kind === 'user' || entry.kind === 'notice' || entry.kind === 'revert') {
      messages.push({ role: 'user', ...saidOf(entry, shown) });
    } else if (entry.kind === 'compaction') {
      messages.push({ role: 'user', text: `${SUMMARY_FOLLOWS}\n\n${textOf(entry.parts)}` });
    } else if (entry.kind === 'assistant' && entry.parts.length > 0) {
      let next = index + 1;
      while (next < end && entries[next]?.kind !== 'assistant') next += 1;
      messages.push(...answerOf(entry, entries.slice(index + 1, next), shown));
    }
  }
  return messages;
}

function saidOf(entry: Exclude<Entry, AssistantEntry | ResultEntry>, images: ShownImages) {
  const said = showsImages(entry) ? shownOf(entry.parts, images) : { text: textOf(entry.parts) };
  const attached = entry.kind === 'user' ? attachedTo(entry.parts) : '';
  return attached === '' ? said : { ...said, text: `${said.text}\n\n${attached}` };
}

/** Names, for the images have none of their own, and the texts follow. */
function attachedTo(parts: readonly UserPart[]): string {
  const files = [...filesOf(parts), ...documentsOf(parts)].map(({ name }) => JSON.stringify(name));
  return files.length === 0 ? '' : `(Attached: ${files.join(', ')}.)`;
}

/** An answer, and the results of its calls, one each: `behind` is what stands between it and the next answer. */
function answerOf(answer: AssistantEntry, behind: readonly Entry[], shown: Telling): ContextMessage[] {
  const results = new Map<string, ResultEntry>();
  for (const entry of behind) if (entry.kind === 'tool_result') results.set(entry.callId, entry);
  const parts = answer.parts.map((part) => toldOf(part, shown.ids));
  const told = answer.parts.flatMap((part, at) => {
    const as = parts[at];
    if (part.type !== 'tool' || as?.type !== 'tool') return [];
    const result = results.get(part.callId);
    const isError = result?.status !== 'succeeded';
    const said = result === undefined ? { text: NO_RESULT } : resultOf(result, shown);
    return [{ role: 'tool' as const, callId: as.callId, isError, ...said }];
  });
  return [{ role: 'assistant', parts }, ...told];
}

function toldOf(part: Part, ids: ToldIds): Part {
  if (part.type !== 'tool') return part;
  const callId = ids.next(part.callId);
  return callId === part.callId ? part : { ...part, callId };
}

function resultOf({ parts, position }: ResultEntry, shown: Shown) {
  return shown.view.pruned.has(position) ? { text: PRUNED } : shownOf(parts, shown);
}

function shownOf(parts: readonly UserPart[], { shown, dropped }: ShownImages) {
  const text = textOf(parts);
  const files = filesOf(parts);
  const images = files.filter((file) => shown.has(file));
  if (images.length === files.length) return images.length === 0 ? { text } : { text, images };
  const why = dropped === NONE.dropped ? TAKES_NONE : NOT_SHOWN;
  return { text: `${text}\n${why}`, ...(images.length === 0 ? {} : { images }) };
}
