/**
 * The request a model gets, built from the log. The same log gives the same bytes, and a longer log the same beginning, so
 * that providers' caches hit. An entry belongs to one log: what was made of it once is used again, the very same objects, so
 * that whoever writes them for the wire knows them again.
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
  const messages: ContextMessage[] = [];
  for (let index = 0; index < entries.length; index++) {
    const entry = entries[index] as Entry;
    if (entry.kind !== 'tool_result') messages.push(...(MADE.get(entry) ?? messagesAt(entries, index)));
  }
  return messages;
}

const MADE = new WeakMap<Entry, readonly ContextMessage[]>();

/** Kept where nothing that comes can change them: an answer's once another answer stands behind its results. */
function messagesAt(entries: readonly Entry[], index: number): readonly ContextMessage[] {
  const entry = entries[index] as Entry;
  if (entry.kind === 'user' || entry.kind === 'notice') {
    return kept(entry, [{ role: 'user', text: textOf(entry.parts) }]);
  }
  if (entry.kind !== 'assistant' || entry.parts.length === 0) return [];
  let end = index + 1;
  while (end < entries.length && entries[end]?.kind !== 'assistant') end += 1;
  const results = resultsOf(entry, entries.slice(index + 1, end));
  const messages: ContextMessage[] = [{ role: 'assistant', parts: entry.parts }, ...results];
  return end === entries.length ? messages : kept(entry, messages);
}

function kept(entry: Entry, messages: readonly ContextMessage[]): readonly ContextMessage[] {
  MADE.set(entry, messages);
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
