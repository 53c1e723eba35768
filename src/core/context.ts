/**
 * The request a model gets, built from the log. The same log gives the same bytes, and a longer log the same beginning, so
 * that providers' caches hit. What was made of a log once is used again as it grows, the very same objects, so that whoever
 * writes them for the wire knows them again.
 */
import type { Entry, Part } from './entry.ts';
import { textOf } from './entry.ts';

export type ContextMessage =
  | { readonly role: 'user'; readonly text: string }
  | { readonly role: 'assistant'; readonly parts: readonly Part[] }
  | { readonly role: 'tool'; readonly callId: string; readonly text: string; readonly isError: boolean };

type AssistantEntry = Extract<Entry, { kind: 'assistant' }>;
type ResultEntry = Extract<Entry, { kind: 'tool_result' }>;

const NO_RESULT = 'Not run: the work was interrupted before this call.';

/**
 * The log as messages that every provider accepts: each answer's calls are followed by exactly one result each, in the
 * answer's order, whatever was interrupted in between; an answer without content is left out.
 */
export function messagesOf(entries: readonly Entry[]): ContextMessage[] {
  const answer = entries.findLastIndex(({ kind }) => kind === 'assistant');
  return [...messagesBefore(entries, answer), ...messagesMade(entries, Math.max(answer, 0), entries.length)];
}

/** By the last entry that they were made of, which belongs to one log. One list per log is kept: the longest. */
const MADE = new WeakMap<Entry, ContextMessage[]>();

/** Nothing that comes can change what stands before an answer: not the results of an earlier one either. */
function messagesBefore(entries: readonly Entry[], answer: number): readonly ContextMessage[] {
  const last = entries[answer - 1];
  if (last === undefined) return [];
  let known = answer - 1;
  while (known >= 0 && !MADE.has(entries[known] as Entry)) known -= 1;
  const before = entries[known];
  const messages = (before && MADE.get(before)) ?? [];
  for (const message of messagesMade(entries, known + 1, answer)) messages.push(message);
  if (before !== undefined) MADE.delete(before);
  MADE.set(last, messages);
  return messages;
}

function messagesMade(entries: readonly Entry[], from: number, end: number): ContextMessage[] {
  const messages: ContextMessage[] = [];
  for (let index = from; index < end; index++) {
    const entry = entries[index] as Entry;
    if (entry.kind === 'user' || entry.kind === 'notice') {
      messages.push({ role: 'user', text: textOf(entry.parts) });
    } else if (entry.kind === 'assistant' && entry.parts.length > 0) {
      let next = index + 1;
      while (next < end && entries[next]?.kind !== 'assistant') next += 1;
      messages.push(
        { role: 'assistant', parts: entry.parts },
        ...resultsOf(entry, entries.slice(index + 1, next)),
      );
    }
  }
  return messages;
}

/** The results of an answer's calls, one each: `behind` is what stands between it and the next answer. */
function resultsOf(answer: AssistantEntry, behind: readonly Entry[]): ContextMessage[] {
  const results = new Map<string, ResultEntry>();
  for (const entry of behind) if (entry.kind === 'tool_result') results.set(entry.callId, entry);
  return answer.parts.flatMap((part) => {
    if (part.type !== 'tool') return [];
    const result = results.get(part.callId);
    const text = result === undefined ? NO_RESULT : textOf(result.parts);
    return [{ role: 'tool' as const, callId: part.callId, text, isError: result?.status !== 'succeeded' }];
  });
}
