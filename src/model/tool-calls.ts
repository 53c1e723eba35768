import { randomUUID } from 'node:crypto';
import type { ToolPart } from '../core/entry.ts';
import { GrowingJson } from './growing-json.ts';
import { isBlank, shallow, wireId } from './history.ts';
import type { ModelEvent } from './model.ts';
import { fields, MalformedAnswer, stringOf } from './report.ts';

/**
 * Calls of one answer that are taken; the rest are left out, as if the model had stopped there: it sees what it got, and asks
 * again. Answers hold a few dozen at most, and neighbours that read run at the same time.
 */
export const MAX_CALLS = 128;

/** Longest id of a call that is kept; some gateways put a proof of the model's thinking into it. */
export const MAX_ID_LENGTH = 16_384;
const ID = new RegExp(`^[!-~]{1,${MAX_ID_LENGTH}}$`);

/**
 * The ids of one answer's calls. Each is the provider's own, so that it is known again there; a new one where that is
 * missing, no printable ASCII, or another call's, also in the form in which it is sent back.
 */
export class CallIds {
  readonly #taken = new Set<string>();

  next(given: unknown): string {
    const own = stringOf(given);
    const isFree = ID.test(own) && !this.#taken.has(wireId(own));
    const id = isFree ? own : `call_${randomUUID().replaceAll('-', '')}`;
    this.#taken.add(wireId(id));
    return id;
  }
}

/** A call's arguments as text: servers also send them as an object, or leave them out. */
export function textOfArguments(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value);
  } catch {
    throw new MalformedAnswer('arguments that are nested too deep');
  }
}

/** A piece of a tool call as Chat Completions servers really send it: any field may be missing or odd. */
export interface CallDelta {
  readonly index?: unknown;
  readonly id?: unknown;
  readonly function?: unknown;
  /** Of Gemini: its proof of the thinking before the call, which it wants back with it. */
  readonly extra_content?: unknown;
}

/** What is usable of one. */
interface Piece {
  readonly index: number | undefined;
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  readonly extra: string;
}

interface Draft {
  readonly index: number | undefined;
  id: string;
  name: string;
  /** JSON. */
  extra: string;
  readonly arguments: GrowingJson;
  announced: boolean;
  /** Beyond `MAX_CALLS`: takes its deltas and keeps none of them. */
  readonly isLeftOut: boolean;
}

/**
 * Assembles tool calls from deltas by index, and copes with servers that leave the index out, use one index for all
 * calls, repeat id or name in every delta, send no id, split the name, or send a whole call at once.
 */
export class ToolCallDrafts {
  readonly #drafts: Draft[] = [];
  #latest: Draft | undefined;
  /** Bytes of ids, names and arguments that have come, without repetitions. */
  size = 0;

  take(delta: CallDelta): ModelEvent[] {
    const piece = pieceOf(delta);
    const { id, name, arguments: args, extra } = piece;
    const draft = this.#draftOf(piece);
    if (draft.id === '') draft.id = this.#counted(id);
    // A name equal to the one so far, or after the arguments have begun, is a repetition.
    if (name !== draft.name && draft.arguments.text === '') draft.name += this.#counted(name);
    this.#counted(args);
    if (extra !== '') draft.extra = this.#counted(extra);
    if (!draft.isLeftOut) draft.arguments.add(args);
    return args === '' ? [] : this.#announce(draft);
  }

  /** Names the calls that had no arguments. */
  end(): ModelEvent[] {
    return this.#drafts.flatMap((draft) => this.#announce(draft));
  }

  /** Each with what is to go back beside it, as JSON; '' where that is nothing. */
  parts(): { readonly part: ToolPart; readonly extra: string }[] {
    const ids = new CallIds();
    return this.#drafts.map(({ id, name, extra, arguments: { text } }) => {
      const args = isBlank(text) ? '{}' : text;
      return { part: { type: 'tool', callId: ids.next(id), name, arguments: args }, extra };
    });
  }

  #counted(text: string): string {
    this.size += Buffer.byteLength(text);
    return text;
  }

  #announce(draft: Draft): ModelEvent[] {
    if (draft.announced || draft.isLeftOut || draft.name === '') return [];
    draft.announced = true;
    return [{ type: 'tool', name: draft.name }];
  }

  #draftOf(piece: Piece): Draft {
    const known = this.#known(piece);
    if (known !== undefined && !beginsAnother(known, piece)) return known;
    const isLeftOut = this.#drafts.length === MAX_CALLS;
    const empty = { id: '', name: '', extra: '', announced: false };
    const draft: Draft = { ...empty, arguments: new GrowingJson(), index: piece.index, isLeftOut };
    if (!isLeftOut) this.#drafts.push(draft);
    this.#latest = draft;
    return draft;
  }

  /** By index; else by id; else the latest, which a delta without either continues. */
  #known({ index, id }: Piece): Draft | undefined {
    if (index !== undefined) return this.#last((draft) => draft.index === index);
    if (id !== '') return this.#last((draft) => draft.id === id || draft.id === '');
    return this.#latest;
  }

  #last(fits: (draft: Draft) => boolean): Draft | undefined {
    return this.#latest !== undefined && fits(this.#latest) ? this.#latest : this.#drafts.findLast(fits);
  }
}

function pieceOf({ index, id, function: called, extra_content: extra }: CallDelta): Piece {
  const { name, arguments: args } = fields(called);
  return {
    index: typeof index === 'number' ? index : undefined,
    id: stringOf(id),
    name: stringOf(name),
    arguments: textOfArguments(args),
    extra: typeof extra === 'object' && extra !== null ? shallow(textOfArguments(extra)) : '',
  };
}

/** Only a delta with a name can begin a call: with another id, or after arguments that are already complete. */
function beginsAnother(draft: Draft, piece: Piece): boolean {
  if (piece.name === '') return false;
  if (piece.id !== '' && draft.id !== '') return piece.id !== draft.id;
  return piece.arguments !== '' && draft.arguments.isWhole();
}
