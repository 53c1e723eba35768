import { randomUUID } from 'node:crypto';
import type { ToolPart } from '../core/entry.ts';
import { isJson } from './history.ts';
import type { ModelEvent } from './model.ts';

/** A piece of a tool call as Chat Completions servers really send it: any field may be missing or odd. */
export interface CallDelta {
  readonly index?: number | null | undefined;
  readonly id?: string | null | undefined;
  readonly function?: { readonly name?: string | null; readonly arguments?: unknown } | null | undefined;
}

interface Draft {
  readonly index: number | undefined;
  id: string;
  name: string;
  arguments: string;
  announced: boolean;
}

/**
 * Assembles tool calls from deltas by index, and copes with servers that leave the index out, use one index for all
 * calls, repeat id or name in every delta, send no id, split the name, or send a whole call at once.
 */
export class ToolCallDrafts {
  readonly #drafts: Draft[] = [];

  take(delta: CallDelta): ModelEvent[] {
    const draft = this.#draftOf(delta);
    const name = delta.function?.name ?? '';
    const args = textOfArguments(delta.function?.arguments);
    if (delta.id && draft.id === '') draft.id = delta.id;
    // A name equal to the one so far, or after the arguments have begun, is a repetition.
    if (name !== draft.name && draft.arguments === '') draft.name += name;
    draft.arguments += args;
    return args === '' ? [] : this.#announce(draft);
  }

  /** Names the calls that had no arguments. */
  end(): ModelEvent[] {
    return this.#drafts.flatMap((draft) => this.#announce(draft));
  }

  parts(): ToolPart[] {
    const seen = new Set<string>();
    return this.#drafts.map((draft) => {
      const callId =
        draft.id === '' || seen.has(draft.id) ? `call_${randomUUID().replaceAll('-', '')}` : draft.id;
      seen.add(callId);
      const text = draft.arguments.trim() === '' ? '{}' : draft.arguments;
      return { type: 'tool', callId, name: draft.name, arguments: text };
    });
  }

  #announce(draft: Draft): ModelEvent[] {
    if (draft.announced || draft.name === '') return [];
    draft.announced = true;
    return [{ type: 'tool', name: draft.name }];
  }

  #draftOf(delta: CallDelta): Draft {
    const known = this.#known(delta);
    if (known !== undefined && !beginsAnother(known, delta)) return known;
    const index = delta.index ?? undefined;
    const draft: Draft = { index, id: '', name: '', arguments: '', announced: false };
    this.#drafts.push(draft);
    return draft;
  }

  /** By index; else by id; else the latest, which a delta without either continues. */
  #known(delta: CallDelta): Draft | undefined {
    const { index, id } = delta;
    if (typeof index === 'number') return this.#drafts.findLast((draft) => draft.index === index);
    if (id) return this.#drafts.findLast((draft) => draft.id === id || draft.id === '');
    return this.#drafts.at(-1);
  }
}

/** Only a delta with a name can begin a call: with another id, or after arguments that are already complete. */
function beginsAnother(draft: Draft, delta: CallDelta): boolean {
  if (!delta.function?.name) return false;
  if (delta.id && draft.id !== '') return delta.id !== draft.id;
  return (
    draft.arguments !== '' && isJson(draft.arguments) && textOfArguments(delta.function.arguments) !== ''
  );
}

function textOfArguments(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
