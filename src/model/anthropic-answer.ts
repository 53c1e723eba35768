import type Anthropic from '@anthropic-ai/sdk';
import type { Part, StopReason } from '../core/entry.ts';
import { REDACTED } from './history.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { fields, MalformedAnswer, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { CallIds, MAX_CALLS, textOfArguments } from './tool-calls.ts';
import { tokens } from './usage.ts';

export type StreamEvent = Anthropic.RawMessageStreamEvent;

/** An event as compatible servers send it: any field may be missing or odd. */
interface WireEvent {
  readonly type?: unknown;
  readonly index?: unknown;
  readonly message?: unknown;
  readonly content_block?: unknown;
  readonly delta?: unknown;
  readonly usage?: unknown;
}

type Wire = Readonly<Record<string, unknown>>;

type Block =
  | { readonly type: 'text'; text: string }
  | { readonly type: 'thinking'; text: string; signature: string }
  | {
      readonly type: 'tool';
      readonly id: string;
      readonly name: string;
      json: string;
      readonly input: string;
    }
  /** Of a tool that runs at the provider, where we ask for none; or a call beyond `MAX_CALLS`. */
  | { readonly type: 'other' };

const COUNTS = [
  'input_tokens',
  'output_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
  'output_tokens_details',
] as const;
type WireUsage = Partial<Record<(typeof COUNTS)[number], unknown>>;

/**
 * Puts the events of a streamed message together. A delta belongs to the latest block of its index, or of all where a server
 * leaves the index out; what belongs to none is passed over.
 */
export class AnthropicAnswer implements Collector<StreamEvent> {
  readonly #blocks: Block[] = [];
  readonly #latestAt = new Map<number, Block>();
  readonly #ids = new CallIds();
  #calls = 0;
  /** Bytes of text, reasoning and arguments that have come. */
  size = 0;
  #usage: WireUsage = {};
  #stopReason = '';
  #stopped = false;
  #model: string;
  readonly #seal: string;

  /** `seal`: what the signatures of its thinking begin with. */
  constructor(model: string, seal: string) {
    this.#model = model;
    this.#seal = seal;
  }

  take(event: StreamEvent): ModelEvent[] {
    const { type, index, message, content_block, delta, usage }: WireEvent = fields(event);
    switch (type) {
      case 'message_start':
        this.#model = stringOf(fields(message).model) || this.#model;
        this.#count(fields(fields(message).usage));
        return [];
      case 'content_block_start':
        return this.#start(index, blockOf(content_block));
      case 'content_block_delta':
        return this.#add(this.#blockAt(index), fields(delta));
      case 'message_delta':
        this.#stopReason = stringOf(fields(delta).stop_reason) || this.#stopReason;
        this.#count(fields(usage));
        return [];
      case 'message_stop':
        this.#stopped = true;
        return [];
      default:
        return [];
    }
  }

  answer(): ModelAnswer | undefined {
    if (!this.#stopped) return undefined;
    const parts = this.#blocks.flatMap((block) => partsOf(block, this.#seal));
    const hasCalls = parts.some((part) => part.type === 'tool');
    const stopReason = stopReasonOf(this.#stopReason, hasCalls);
    return { parts, stopReason, usage: usageOf(this.#usage), model: this.#model };
  }

  /** Counts are cumulative; a field that an event leaves out or sends as null keeps its value. */
  #count(usage: Wire): void {
    for (const name of COUNTS) this.#usage[name] = usage[name] ?? this.#usage[name];
  }

  #blockAt(index: unknown): Block | undefined {
    return typeof index === 'number' ? this.#latestAt.get(index) : this.#blocks.at(-1);
  }

  #start(index: unknown, given: Wire): ModelEvent[] {
    const block = this.#begun(given);
    this.size += sizeOf(block);
    this.#blocks.push(block);
    if (typeof index === 'number') this.#latestAt.set(index, block);
    if (block.type === 'text' && block.text !== '') return [{ type: 'text', delta: block.text }];
    if (block.type === 'thinking' && block.text !== '') return [{ type: 'reasoning', delta: block.text }];
    if (block.type === 'tool' && block.name !== '') return [{ type: 'tool', name: block.name }];
    return [];
  }

  #begun(given: Wire): Block {
    switch (given.type) {
      case 'text':
        return { type: 'text', text: stringOf(given.text) };
      case 'thinking':
        return { type: 'thinking', text: stringOf(given.thinking), signature: stringOf(given.signature) };
      case 'redacted_thinking': {
        const data = stringOf(given.data);
        return { type: 'thinking', text: '', signature: data === '' ? '' : REDACTED + data };
      }
      case 'tool_use': {
        this.#calls += 1;
        if (this.#calls > MAX_CALLS) return { type: 'other' };
        const input = textOfArguments(given.input);
        return { type: 'tool', id: this.#ids.next(given.id), name: stringOf(given.name), json: '', input };
      }
      default:
        return { type: 'other' };
    }
  }

  #add(block: Block | undefined, delta: Wire): ModelEvent[] {
    const piece = pieceOf(delta);
    this.size += Buffer.byteLength(piece);
    if (piece === '') return [];
    if (delta.type === 'text_delta' && block?.type === 'text') {
      block.text += piece;
      return [{ type: 'text', delta: piece }];
    }
    if (delta.type === 'thinking_delta' && block?.type === 'thinking') {
      block.text += piece;
      return [{ type: 'reasoning', delta: piece }];
    }
    if (delta.type === 'signature_delta' && block?.type === 'thinking') block.signature += piece;
    if (delta.type === 'input_json_delta' && block?.type === 'tool') block.json += piece;
    return [];
  }
}

function pieceOf(delta: Wire): string {
  switch (delta.type) {
    case 'text_delta':
      return stringOf(delta.text);
    case 'thinking_delta':
      return stringOf(delta.thinking);
    case 'signature_delta':
      return stringOf(delta.signature);
    case 'input_json_delta':
      return textOfArguments(delta.partial_json);
    default:
      return '';
  }
}

function sizeOf({ type: _, ...texts }: Block): number {
  return Object.values(texts).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

function blockOf(value: unknown): Wire {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MalformedAnswer('a block that is no object');
  return fields(value);
}

function partsOf(block: Block, seal: string): Part[] {
  switch (block.type) {
    case 'text':
      return block.text === '' ? [] : [{ type: 'text', text: block.text }];
    case 'tool': {
      const text = [block.json, block.input].find((each) => each.trim() !== '') ?? '{}';
      return [{ type: 'tool', callId: block.id, name: block.name, arguments: text }];
    }
    case 'thinking': {
      if (block.signature !== '')
        return [{ type: 'reasoning', text: block.text, signature: seal + block.signature }];
      return block.text === '' ? [] : [{ type: 'reasoning', text: block.text }];
    }
    case 'other':
      return [];
  }
}

function stopReasonOf(reason: string, hasCalls: boolean): StopReason {
  if (reason === 'max_tokens' || reason === 'model_context_window_exceeded') return 'length';
  if (reason === 'refusal') return 'refusal';
  return hasCalls ? 'tool_calls' : 'stop';
}

function usageOf(usage: WireUsage): TokenUsage {
  const cached = tokens(usage.cache_read_input_tokens);
  const cacheWritten = tokens(usage.cache_creation_input_tokens);
  return {
    input: tokens(tokens(usage.input_tokens) + cached + cacheWritten),
    output: tokens(usage.output_tokens),
    cached,
    ...(cacheWritten > 0 ? { cacheWritten } : {}),
    reasoning: tokens(fields(usage.output_tokens_details).thinking_tokens),
  };
}
