import type OpenAI from 'openai';
import type { StopReason } from '../core/entry.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { BETWEEN, begun, completed, type Draft, itemOf, partsOf, sizeOf } from './openai-items.ts';
import { fields, ReportedBody, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { CallIds, MAX_CALLS, textOfArguments } from './tool-calls.ts';
import { NO_USAGE, tokens } from './usage.ts';

export type ResponseEvent = OpenAI.Responses.ResponseStreamEvent;

/** An event as servers really send it: any field may be missing or odd. */
type Wire = Readonly<Record<string, unknown>>;

/**
 * Puts the events of a streamed response together. A piece belongs to the item of its index, or to the latest where a server
 * leaves the index out. An item that is said to be done counts as it is said then.
 */
export class OpenAiAnswer implements Collector<ResponseEvent> {
  readonly #drafts: Draft[] = [];
  readonly #draftAt = new Map<number, Draft>();
  readonly #seal: string;
  #calls = 0;
  readonly #done = new Set<Draft>();
  /** Bytes of text, reasoning and arguments that have come, in pieces or in whole items. */
  size = 0;
  #end: 'completed' | 'incomplete' | undefined;
  #why = '';
  #usage: TokenUsage = NO_USAGE;
  #model: string;

  /** `seal`: what the signatures of its reasoning begin with. */
  constructor(model: string, seal: string) {
    this.#model = model;
    this.#seal = seal;
  }

  take(event: ResponseEvent): ModelEvent[] {
    const said: Wire = fields(event);
    switch (said.type) {
      case 'response.output_item.added':
        return this.#begin(said.output_index, itemOf(said.item));
      case 'response.output_item.done':
        return this.#complete(said.output_index, itemOf(said.item));
      case 'response.completed':
      case 'response.incomplete':
        return this.#finish(said.type === 'response.completed', fields(said.response));
      case 'response.failed':
      case 'response.cancelled':
        throw new ReportedBody(errorIn(fields(said.response)));
      case 'error':
        throw new ReportedBody(said.error ?? said);
      default:
        return this.#add(this.#draft(said.output_index), said);
    }
  }

  answer(): ModelAnswer | undefined {
    if (this.#end === undefined) return undefined;
    const ids = new CallIds();
    const parts = this.#drafts.flatMap((draft) => partsOf(draft, { ids, seal: this.#seal }));
    const hasCalls = parts.some(({ type }) => type === 'tool');
    return { parts, stopReason: this.#stopReason(hasCalls), usage: this.#usage, model: this.#model };
  }

  #stopReason(hasCalls: boolean): StopReason {
    const refused = this.#drafts.some((draft) => draft.type === 'message' && draft.refused);
    if (refused || this.#why === 'content_filter') return 'refusal';
    if (this.#end === 'incomplete') return 'length';
    return hasCalls ? 'tool_calls' : 'stop';
  }

  #draft(index: unknown): Draft | undefined {
    return typeof index === 'number' ? this.#draftAt.get(index) : this.#drafts.at(-1);
  }

  #begin(index: unknown, item: Wire): ModelEvent[] {
    const isCall = item.type === 'function_call';
    if (isCall) this.#calls += 1;
    const draft = begun(isCall && this.#calls > MAX_CALLS ? undefined : item.type);
    this.#drafts.push(draft);
    if (typeof index === 'number') this.#draftAt.set(index, draft);
    // What an item that has only begun says of its reasoning may be cut.
    if (draft.type !== 'reasoning') this.#take(draft, item);
    return this.#announce(draft);
  }

  #take(draft: Draft, item: Wire): void {
    const before = sizeOf(draft);
    completed(draft, item);
    this.size += Math.max(0, sizeOf(draft) - before);
  }

  /** One whose beginning was left out begins here; what of its words did not come in pieces is shown now. */
  #complete(index: unknown, item: Wire): ModelEvent[] {
    const known = this.#draft(index);
    const isKnown = known !== undefined && (typeof index === 'number' || !this.#done.has(known));
    const events = isKnown ? [] : this.#begin(index, item);
    const draft = isKnown ? known : (this.#drafts.at(-1) as Draft);
    const isUnseen = draft.type === 'message' && (draft.text === '' || !isKnown);
    this.#take(draft, item);
    this.#done.add(draft);
    events.push(...this.#announce(draft));
    if (draft.type === 'message' && isUnseen && draft.text !== '')
      events.push({ type: 'text', delta: draft.text });
    return events;
  }

  #announce(draft: Draft): ModelEvent[] {
    if (draft.type !== 'call' || draft.announced || draft.name === '') return [];
    draft.announced = true;
    return [{ type: 'tool', name: draft.name }];
  }

  #add(draft: Draft | undefined, event: Wire): ModelEvent[] {
    const isCall = event.type === 'response.function_call_arguments.delta';
    const piece = isCall ? textOfArguments(event.delta) : stringOf(event.delta);
    this.size += Buffer.byteLength(piece);
    if (piece === '' || draft === undefined) return [];
    if (isCall && draft.type === 'call') draft.arguments += piece;
    if (draft.type === 'message') return addWords(draft, event.type, piece);
    if (draft.type === 'reasoning') return addThought(draft, event, piece);
    return [];
  }

  #finish(isWhole: boolean, response: Wire): ModelEvent[] {
    const items: unknown[] = Array.isArray(response.output) ? response.output : [];
    // Only a server that told of none before tells of all here.
    const events =
      this.#drafts.length > 0 ? [] : items.flatMap((item, at) => this.#complete(at, itemOf(item)));
    this.#model = stringOf(response.model) || this.#model;
    this.#why = stringOf(fields(response.incomplete_details).reason);
    if (response.usage) this.#usage = usageOf(fields(response.usage));
    this.#end = isWhole ? 'completed' : 'incomplete';
    return events;
  }
}

function addWords(draft: Extract<Draft, { type: 'message' }>, type: unknown, piece: string): ModelEvent[] {
  if (type !== 'response.output_text.delta' && type !== 'response.refusal.delta') return [];
  draft.refused ||= type === 'response.refusal.delta';
  draft.text += piece;
  return [{ type: 'text', delta: piece }];
}

function addThought(
  draft: Extract<Draft, { type: 'reasoning' }>,
  { type, summary_index: at }: Wire,
  piece: string,
): ModelEvent[] {
  if (type === 'response.reasoning_text.delta') {
    draft.text += piece;
    return [{ type: 'reasoning', delta: piece }];
  }
  if (type !== 'response.reasoning_summary_text.delta') return [];
  const latest = Math.max(0, draft.summary.length - 1);
  const begins = typeof at === 'number' && at > latest;
  const index = begins ? latest + 1 : latest;
  draft.summary[index] = (draft.summary[index] ?? '') + piece;
  return [{ type: 'reasoning', delta: begins ? BETWEEN + piece : piece }];
}

/** A response that failed may leave out why. */
function errorIn({ error, status }: Wire): unknown {
  return error ?? { code: 'server_error', message: `the response ended as ${stringOf(status) || 'failed'}` };
}

function usageOf(usage: Wire): TokenUsage {
  return {
    input: tokens(usage.input_tokens),
    output: tokens(usage.output_tokens),
    cached: tokens(fields(usage.input_tokens_details).cached_tokens),
    reasoning: tokens(fields(usage.output_tokens_details).reasoning_tokens),
  };
}
