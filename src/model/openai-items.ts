/** The items that an answer of the Responses API is made of, as they come: in pieces, and once more when they are whole. */
import type { Part } from '../core/entry.ts';
import { fields, MalformedAnswer, stringOf } from './report.ts';
import type { CallIds } from './tool-calls.ts';
import { textOfArguments } from './tool-calls.ts';

export type Draft =
  | { readonly type: 'message'; phase: string; text: string; refused: boolean }
  | { readonly type: 'reasoning'; id: string; encrypted: string; summary: string[]; text: string }
  | { readonly type: 'call'; id: string; name: string; arguments: string; announced: boolean }
  /** Of a tool that runs at the provider, where we ask for none; or a call beyond `MAX_CALLS`. */
  | { readonly type: 'other' };

/** What goes back of reasoning, or of a message: the rest of a signature, behind its seal. */
export type Proof =
  | { readonly id: string; readonly encrypted: string; readonly summary: readonly string[] }
  | { readonly phase: string };

export function begun(type: unknown): Draft {
  switch (type) {
    case 'message':
      return { type, phase: '', text: '', refused: false };
    case 'reasoning':
      return { type, id: '', encrypted: '', summary: [], text: '' };
    case 'function_call':
      return { type: 'call', id: '', name: '', arguments: '', announced: false };
    default:
      return { type: 'other' };
  }
}

export function itemOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MalformedAnswer('an item that is no object');
  return fields(value);
}

/** Takes over what a whole item says: the pieces may have been left out, or cut. */
export function completed(draft: Draft, item: Readonly<Record<string, unknown>>): void {
  switch (draft.type) {
    case 'message': {
      const content = listOf(item.content);
      const refusal = textsOf(content, 'refusal', 'refusal').join('');
      draft.phase = stringOf(item.phase) || draft.phase;
      draft.text = textsOf(content, 'output_text', 'text').join('') + refusal || draft.text;
      draft.refused ||= refusal !== '';
      return;
    }
    case 'reasoning': {
      const summary = textsOf(listOf(item.summary), 'summary_text', 'text');
      draft.id = stringOf(item.id) || draft.id;
      draft.encrypted = stringOf(item.encrypted_content) || draft.encrypted;
      if (summary.length > 0) draft.summary = summary;
      draft.text = textsOf(listOf(item.content), 'reasoning_text', 'text').join('') || draft.text;
      return;
    }
    case 'call':
      draft.id = stringOf(item.call_id) || draft.id;
      draft.name = stringOf(item.name) || draft.name;
      draft.arguments = textOfArguments(item.arguments) || draft.arguments;
      return;
    case 'other':
      return;
  }
}

export function sizeOf(draft: Draft): number {
  switch (draft.type) {
    case 'message':
      return Buffer.byteLength(draft.text);
    case 'reasoning':
      return Buffer.byteLength(draft.encrypted + draft.summary.join('') + draft.text);
    case 'call':
      return Buffer.byteLength(draft.id + draft.name + draft.arguments);
    case 'other':
      return 0;
  }
}

/** The parts of one item: a message's phase, which goes back with it, is written before it like reasoning without words. */
export function partsOf(draft: Draft, { ids, seal }: { ids: CallIds; seal: string }): Part[] {
  const proof = (said: Proof) => seal + JSON.stringify(said);
  switch (draft.type) {
    case 'message': {
      const { phase, text } = draft;
      if (text === '') return [];
      const before =
        phase === '' ? [] : [{ type: 'reasoning' as const, text: '', signature: proof({ phase }) }];
      return [...before, { type: 'text', text }];
    }
    case 'reasoning': {
      const { id, encrypted, summary } = draft;
      const text = summary.join(BETWEEN) || draft.text;
      // Without its encrypted content the server knows nothing of it: it keeps none.
      if (encrypted !== '')
        return [{ type: 'reasoning', text, signature: proof({ id, encrypted, summary }) }];
      return text === '' ? [] : [{ type: 'reasoning', text }];
    }
    case 'call': {
      const text = draft.arguments.trim() === '' ? '{}' : draft.arguments;
      return [{ type: 'tool', callId: ids.next(draft.id), name: draft.name, arguments: text }];
    }
    case 'other':
      return [];
  }
}

/** Between the parts of a summary, as people read them. */
export const BETWEEN = '\n\n';

function listOf(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(fields) : [];
}

function textsOf(parts: ReturnType<typeof listOf>, type: string, name: string): string[] {
  return parts.filter((part) => part.type === type).map((part) => stringOf(part[name]));
}
