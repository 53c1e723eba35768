import type Anthropic from '@anthropic-ai/sdk';
import type { Part, StopReason } from '../core/entry.ts';
import { REDACTED } from './history.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import type { Collector } from './stream.ts';
import { tokens } from './usage.ts';

export type StreamEvent = Anthropic.RawMessageStreamEvent;
type StartedBlock = Anthropic.RawContentBlockStartEvent['content_block'];
type BlockDelta = Anthropic.RawContentBlockDeltaEvent['delta'];

type Block =
  | { readonly type: 'text'; text: string }
  | { readonly type: 'thinking'; text: string; signature: string }
  | {
      readonly type: 'tool';
      readonly id: string;
      readonly name: string;
      json: string;
      readonly input: unknown;
    };

interface WireUsage {
  readonly input_tokens?: number | null;
  readonly output_tokens?: number | null;
  readonly cache_read_input_tokens?: number | null;
  readonly cache_creation_input_tokens?: number | null;
  readonly output_tokens_details?: { readonly thinking_tokens?: number } | null;
}

/** Puts the events of a streamed message together. */
export class AnthropicAnswer implements Collector<StreamEvent> {
  readonly #blocks = new Map<number, Block>();
  #usage: WireUsage = {};
  #stopReason: string | undefined;
  #stopped = false;
  #model: string;

  constructor(model: string) {
    this.#model = model;
  }

  take(event: StreamEvent): ModelEvent[] {
    switch (event.type) {
      case 'message_start':
        if (event.message.model) this.#model = event.message.model;
        this.#count(event.message.usage);
        return [];
      case 'content_block_start':
        return this.#start(event.index, event.content_block);
      case 'content_block_delta':
        return this.#add(event.index, event.delta);
      case 'message_delta':
        this.#stopReason = event.delta.stop_reason ?? this.#stopReason;
        this.#count(event.usage);
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
    const inOrder = [...this.#blocks].sort(([a], [b]) => a - b);
    const parts = inOrder.flatMap(([, block]) => partsOf(block));
    const hasCalls = parts.some((part) => part.type === 'tool');
    const stopReason = stopReasonOf(this.#stopReason, hasCalls);
    return { parts, stopReason, usage: usageOf(this.#usage), model: this.#model };
  }

  /** Counts are cumulative; a field that an event leaves out or sends as null keeps its value. */
  #count(usage: WireUsage | null | undefined): void {
    const given = Object.entries(usage ?? {}).filter(([, value]) => value !== null && value !== undefined);
    this.#usage = { ...this.#usage, ...Object.fromEntries(given) };
  }

  #start(index: number, block: StartedBlock): ModelEvent[] {
    switch (block.type) {
      case 'text':
        this.#blocks.set(index, { type: 'text', text: block.text });
        return block.text === '' ? [] : [{ type: 'text', delta: block.text }];
      case 'thinking':
        this.#blocks.set(index, { type: 'thinking', text: block.thinking, signature: block.signature ?? '' });
        return block.thinking === '' ? [] : [{ type: 'reasoning', delta: block.thinking }];
      case 'redacted_thinking':
        this.#blocks.set(index, { type: 'thinking', text: '', signature: REDACTED + block.data });
        return [];
      case 'tool_use':
        this.#blocks.set(index, {
          type: 'tool',
          id: block.id,
          name: block.name,
          json: '',
          input: block.input,
        });
        return [{ type: 'tool', name: block.name }];
      default:
        return []; // Blocks of tools that run at the provider: we ask for none.
    }
  }

  #add(index: number, delta: BlockDelta): ModelEvent[] {
    const block = this.#blocks.get(index);
    if (delta.type === 'text_delta' && block?.type === 'text') {
      block.text += delta.text;
      return [{ type: 'text', delta: delta.text }];
    }
    if (delta.type === 'thinking_delta' && block?.type === 'thinking') {
      block.text += delta.thinking;
      return [{ type: 'reasoning', delta: delta.thinking }];
    }
    if (delta.type === 'signature_delta' && block?.type === 'thinking') block.signature += delta.signature;
    if (delta.type === 'input_json_delta' && block?.type === 'tool') block.json += delta.partial_json;
    return [];
  }
}

function partsOf(block: Block): Part[] {
  if (block.type === 'text') return block.text === '' ? [] : [{ type: 'text', text: block.text }];
  if (block.type === 'tool') {
    const text = block.json.trim() === '' ? JSON.stringify(block.input ?? {}) : block.json;
    return [{ type: 'tool', callId: block.id, name: block.name, arguments: text }];
  }
  if (block.signature === '') return block.text === '' ? [] : [{ type: 'reasoning', text: block.text }];
  return [{ type: 'reasoning', text: block.text, signature: block.signature }];
}

function stopReasonOf(reason: string | undefined, hasCalls: boolean): StopReason {
  if (reason === 'max_tokens' || reason === 'model_context_window_exceeded') return 'length';
  if (reason === 'refusal') return 'refusal';
  return hasCalls ? 'tool_calls' : 'stop';
}

function usageOf(usage: WireUsage): TokenUsage {
  const cached = tokens(usage.cache_read_input_tokens);
  return {
    input: tokens(tokens(usage.input_tokens) + cached + tokens(usage.cache_creation_input_tokens)),
    output: tokens(usage.output_tokens),
    cached,
    reasoning: tokens(usage.output_tokens_details?.thinking_tokens),
  };
}
