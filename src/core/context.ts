/**
 * The request a model gets, built from the log. The same log gives the same bytes, and a longer log the same beginning, so
 * that providers' caches hit. What was made of a log once is used again as it grows, the very same objects, so that whoever
 * writes them for the wire knows them again.
 */
import type { Entry, FilePart, Part, UserPart } from './entry.ts';
import { documentsOf, filesOf, standing, textOf } from './entry.ts';
import { type ShownImages, shownImages, showsImages } from './images.ts';

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

/**
 * The log as messages that every provider accepts: each answer's calls are followed by exactly one result each, in the
 * answer's order, whatever was interrupted in between; an answer without content is left out, and so is what a person took back.
 */
export function messagesOf(log: readonly Entry[], { images = true }: ContextOptions = {}): ContextMessage[] {
  const entries = standing(log);
  const answer = entries.findLastIndex(({ kind }) => kind === 'assistant');
  const shown = images ? shownImages(entries) : NONE;
  const newest = { entries, from: Math.max(answer, 0), end: entries.length };
  return [...messagesBefore(entries, answer, shown), ...messagesMade(newest, shown)];
}

const NONE: ShownImages = { shown: new Set(), dropped: Number.POSITIVE_INFINITY };

/** Messages as they are with so many images dropped: with more, they are made anew. */
interface Made {
  readonly messages: ContextMessage[];
  readonly dropped: number;
}

/** By the last entry that they were made of, which belongs to one log. One list per log is kept: the longest. */
const MADE = new WeakMap<Entry, Made>();

/** Nothing that comes can change what stands before an answer, but for its images: not the results of an earlier one either. */
function messagesBefore(
  entries: readonly Entry[],
  answer: number,
  images: ShownImages,
): readonly ContextMessage[] {
  const last = entries[answer - 1];
  if (last === undefined) return [];
  let known = answer - 1;
  while (known >= 0 && !MADE.has(entries[known] as Entry)) known -= 1;
  const before = entries[known];
  const made = before && MADE.get(before);
  const isSame = made?.dropped === images.dropped;
  const messages = isSame ? made.messages : [];
  const span = { entries, from: isSame ? known + 1 : 0, end: answer };
  for (const message of messagesMade(span, images)) messages.push(message);
  if (before !== undefined) MADE.delete(before);
  MADE.set(last, { messages, dropped: images.dropped });
  return messages;
}

/** Entries of a log from one, up to, not including, another. */
interface Span {
  readonly entries: readonly Entry[];
  readonly from: number;
  readonly end: number;
}

function messagesMade({ entries, from, end }: Span, images: ShownImages): ContextMessage[] {
  const messages: ContextMessage[] = [];
  for (let index = from; index < end; index++) {
    const entry = entries[index] as Entry;
    if (entry.kind === 'user' || entry.kind === 'notice' || entry.kind === 'revert') {
      messages.push({ role: 'user', ...saidOf(entry, images) });
    } else if (entry.kind === 'assistant' && entry.parts.length > 0) {
      let next = index + 1;
      while (next < end && entries[next]?.kind !== 'assistant') next += 1;
      messages.push(
        { role: 'assistant', parts: entry.parts },
        ...resultsOf(entry, entries.slice(index + 1, next), images),
      );
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

/** The results of an answer's calls, one each: `behind` is what stands between it and the next answer. */
function resultsOf(answer: AssistantEntry, behind: readonly Entry[], images: ShownImages): ContextMessage[] {
  const results = new Map<string, ResultEntry>();
  for (const entry of behind) if (entry.kind === 'tool_result') results.set(entry.callId, entry);
  return answer.parts.flatMap((part) => {
    if (part.type !== 'tool') return [];
    const result = results.get(part.callId);
    const isError = result?.status !== 'succeeded';
    const said = result === undefined ? { text: NO_RESULT } : shownOf(result.parts, images);
    return [{ role: 'tool' as const, callId: part.callId, isError, ...said }];
  });
}

function shownOf(parts: readonly UserPart[], { shown, dropped }: ShownImages) {
  const text = textOf(parts);
  const files = filesOf(parts);
  const images = files.filter((file) => shown.has(file));
  if (images.length === files.length) return images.length === 0 ? { text } : { text, images };
  const why = dropped === NONE.dropped ? TAKES_NONE : NOT_SHOWN;
  return { text: `${text}\n${why}`, ...(images.length === 0 ? {} : { images }) };
}
