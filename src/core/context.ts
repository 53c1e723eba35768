/**
 * The request a model gets, built from the log. The same log gives the same bytes, and a longer log the same beginning, so
 * that providers' caches hit.
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
    if (entry.kind === 'user' || entry.kind === 'notice')
      messages.push({ role: 'user', text: textOf(entry.parts) });
    if (entry.kind === 'assistant' && entry.parts.length > 0) {
      messages.push({ role: 'assistant', parts: entry.parts }, ...resultsOf(entry, entries, index + 1));
    }
  }
  return messages;
}

/** The results of an answer's calls: they stand between it, just before `from`, and the next answer. */
function resultsOf(answer: AssistantEntry, entries: readonly Entry[], from: number): ContextMessage[] {
  const results = new Map<string, ResultEntry>();
  for (let index = from; index < entries.length && entries[index]?.kind !== 'assistant'; index++) {
    const entry = entries[index];
    if (entry?.kind === 'tool_result') results.set(entry.callId, entry);
  }
  return answer.parts.flatMap((part) => {
    if (part.type !== 'tool') return [];
    const result = results.get(part.callId);
    const text = result === undefined ? NO_RESULT : textOf(result.parts);
    return [{ role: 'tool' as const, callId: part.callId, text, isError: result?.status !== 'succeeded' }];
  });
}
