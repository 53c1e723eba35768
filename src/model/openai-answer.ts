import type OpenAI from 'openai';
import type { Part, StopReason } from '../core/entry.ts';
import { REASONING_CONTENT } from './history.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { MalformedAnswer, ReportedError } from './report.ts';
import type { Collector } from './stream.ts';
import { type CallDelta, ToolCallDrafts } from './tool-calls.ts';
import { NO_USAGE, tokens } from './usage.ts';

export type Chunk = OpenAI.Chat.Completions.ChatCompletionChunk;

/** A choice as compatible servers send it: reasoning under either name, usage sometimes inside. */
interface Choice {
  readonly delta?: Delta | null;
  readonly finish_reason?: string | null;
  readonly usage?: WireUsage | null;
}

interface Delta {
  readonly content?: unknown;
  readonly refusal?: string | null;
  readonly reasoning_content?: string | null;
  readonly reasoning?: unknown;
  readonly tool_calls?: unknown;
}

interface WireUsage {
  readonly prompt_tokens?: number | null;
  readonly completion_tokens?: number | null;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number | null } | null;
  readonly prompt_cache_hit_tokens?: number | null;
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number | null } | null;
}

/** Puts the chunks of a streamed chat completion together. */
export class OpenAiAnswer implements Collector<Chunk> {
  readonly #calls = new ToolCallDrafts();
  #text = '';
  #reasoning = '';
  #sendsReasoningContent = false;
  #refused = false;
  #finish: string | undefined;
  #usage: TokenUsage = NO_USAGE;
  #model: string;

  constructor(model: string) {
    this.#model = model;
  }

  take(chunk: Chunk): ModelEvent[] {
    if (chunk.model) this.#model = chunk.model;
    const choice: Choice | undefined = chunk.choices?.[0] ?? undefined;
    const usage: WireUsage | null | undefined = chunk.usage ?? choice?.usage;
    if (usage) this.#usage = usageOf(usage);
    if (choice === undefined) return [];
    const events = this.#takeDelta(choice.delta ?? {});
    if (!choice.finish_reason) return events;
    this.#finish = choice.finish_reason;
    failIfBroken(choice.finish_reason);
    return [...events, ...this.#calls.end()];
  }

  answer(): ModelAnswer | undefined {
    if (this.#finish === undefined) return undefined;
    const calls = this.#calls.parts();
    const parts: Part[] = [...this.#reasoningParts(), ...this.#textParts(), ...calls];
    const stopReason = this.#refused ? 'refusal' : stopReasonOf(this.#finish, calls.length > 0);
    return { parts, stopReason, usage: this.#usage, model: this.#model };
  }

  #takeDelta(delta: Delta): ModelEvent[] {
    const events: ModelEvent[] = [];
    const reasoning = delta.reasoning_content || textOf(delta.reasoning) || textOf(delta.content, 'thinking');
    if (delta.reasoning_content) this.#sendsReasoningContent = true;
    if (reasoning) events.push({ type: 'reasoning', delta: reasoning });
    if (delta.refusal) this.#refused = true;
    const text = textOf(delta.content) + (delta.refusal ?? '');
    if (text !== '') events.push({ type: 'text', delta: text });
    this.#reasoning += reasoning;
    this.#text += text;
    return [...events, ...callsIn(delta.tool_calls).flatMap((call) => this.#calls.take(call))];
  }

  #reasoningParts(): Part[] {
    if (this.#reasoning === '') return [];
    const signature = this.#sendsReasoningContent ? { signature: REASONING_CONTENT } : {};
    return [{ type: 'reasoning', text: this.#reasoning, ...signature }];
  }

  #textParts(): Part[] {
    return this.#text === '' ? [] : [{ type: 'text', text: this.#text }];
  }
}

function callsIn(value: unknown): readonly CallDelta[] {
  const calls = value ?? [];
  const isObject = (call: unknown) => typeof call === 'object' && call !== null && !Array.isArray(call);
  if (!Array.isArray(calls) || !calls.every(isObject))
    throw new MalformedAnswer('tool calls that are no list of objects');
  return calls;
}

/** The text of a string, or of the parts of one type where a server sends a list of parts (Mistral does). */
function textOf(value: unknown, type: 'text' | 'thinking' = 'text'): string {
  if (typeof value === 'string') return type === 'text' ? value : '';
  if (!Array.isArray(value)) return '';
  const found = value.filter((part: { type?: unknown } | null) => part?.type === type);
  return found.map((part) => (typeof part[type] === 'string' ? part[type] : textOf(part[type]))).join('');
}

/** Words by which servers end a stream that they could not finish. */
const BROKEN = ['error', 'abort', 'network_error', 'insufficient_system_resource'];

function failIfBroken(finish: string): void {
  if (BROKEN.includes(finish)) throw new ReportedError(502, `the answer ended with finish_reason ${finish}`);
}

function stopReasonOf(finish: string, hasCalls: boolean): StopReason {
  if (finish === 'length' || finish === 'model_length' || finish === 'max_tokens') return 'length';
  if (finish === 'content_filter' || finish === 'sensitive') return 'refusal';
  // Some servers say `stop` beside tool calls, some `tool_calls` without any: what is there counts.
  return hasCalls ? 'tool_calls' : 'stop';
}

function usageOf(usage: WireUsage): TokenUsage {
  return {
    input: tokens(usage.prompt_tokens),
    output: tokens(usage.completion_tokens),
    cached: tokens(usage.prompt_tokens_details?.cached_tokens ?? usage.prompt_cache_hit_tokens),
    reasoning: tokens(usage.completion_tokens_details?.reasoning_tokens),
  };
}
