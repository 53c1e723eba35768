import type OpenAI from 'openai';
import type { Part, StopReason } from '../core/entry.ts';
import { EXTRA_CONTENT, REASONING_CONTENT, REASONING_DETAILS } from './history.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { ReasoningDetails } from './reasoning-details.ts';
import { fields, MalformedAnswer, ReportedError, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { type CallDelta, ToolCallDrafts } from './tool-calls.ts';
import { NO_USAGE, tokens } from './usage.ts';

export type Chunk = OpenAI.Chat.Completions.ChatCompletionChunk;

/** A chunk as compatible servers send it: any field may be missing or odd, usage sometimes inside the choice. */
interface WireChunk {
  readonly model?: unknown;
  readonly choices?: unknown;
  readonly usage?: unknown;
}

interface Choice {
  readonly delta?: unknown;
  readonly finish_reason?: unknown;
  readonly usage?: unknown;
}

/** Reasoning comes under either name. */
interface Delta {
  readonly content?: unknown;
  readonly refusal?: unknown;
  readonly reasoning_content?: unknown;
  readonly reasoning?: unknown;
  readonly reasoning_details?: unknown;
  readonly tool_calls?: unknown;
}

interface WireUsage {
  readonly prompt_tokens?: unknown;
  readonly completion_tokens?: unknown;
  readonly prompt_tokens_details?: unknown;
  readonly prompt_cache_hit_tokens?: unknown;
  readonly cache_read_input_tokens?: unknown;
  readonly cache_creation_input_tokens?: unknown;
  readonly completion_tokens_details?: unknown;
}

/** Puts the chunks of a streamed chat completion together. */
export class ChatAnswer implements Collector<Chunk> {
  readonly #calls = new ToolCallDrafts();
  readonly #details = new ReasoningDetails();
  /** Bytes of text and reasoning. */
  #words = 0;
  #text = '';
  #reasoning = '';
  #sendsReasoningContent = false;
  #refused = false;
  #finish: string | undefined;
  #usage: TokenUsage = NO_USAGE;
  #model: string;
  readonly #seal: string;

  /** `seal`: what the signatures of its reasoning begin with. */
  constructor(model: string, seal: string) {
    this.#model = model;
    this.#seal = seal;
  }

  take(chunk: Chunk): ModelEvent[] {
    const { model, choices, usage }: WireChunk = fields(chunk);
    const choice: Choice = fields(Array.isArray(choices) ? choices[0] : undefined);
    this.#model = stringOf(model) || this.#model;
    const counted = usage ?? choice.usage;
    if (counted) this.#usage = usageOf(fields(counted));
    const events = this.#takeDelta(fields(choice.delta));
    const finish = stringOf(choice.finish_reason);
    if (finish === '') return events;
    failIfBroken(finish);
    this.#finish = finish;
    return [...events, ...this.#calls.end()];
  }

  get size(): number {
    return this.#words + this.#calls.size + this.#details.size;
  }

  answer(): ModelAnswer | undefined {
    if (this.#finish === undefined) return undefined;
    const calls = this.#calls.parts().flatMap(({ part, extra }) => [...this.#extraParts(extra), part]);
    const parts: Part[] = [...this.#reasoningParts(), ...this.#textParts(), ...calls];
    const stopReason = this.#refused ? 'refusal' : stopReasonOf(this.#finish, calls.length > 0);
    return { parts, stopReason, usage: this.#usage, model: this.#model };
  }

  #takeDelta(delta: Delta): ModelEvent[] {
    const events: ModelEvent[] = [];
    const reasoningContent = stringOf(delta.reasoning_content);
    this.#details.take(delta.reasoning_details);
    const refusal = stringOf(delta.refusal);
    const reasoning = reasoningContent || textOf(delta.reasoning) || textOf(delta.content, 'thinking');
    if (reasoningContent !== '') this.#sendsReasoningContent = true;
    if (reasoning !== '') events.push({ type: 'reasoning', delta: reasoning });
    if (refusal !== '') this.#refused = true;
    const text = textOf(delta.content) + refusal;
    if (text !== '') events.push({ type: 'text', delta: text });
    this.#words += Buffer.byteLength(reasoning) + Buffer.byteLength(text);
    this.#reasoning += reasoning;
    this.#text += text;
    return [...events, ...callsIn(delta.tool_calls).flatMap((call) => this.#calls.take(call))];
  }

  #reasoningParts(): Part[] {
    const details = this.#details.json();
    const proof = details !== '' ? REASONING_DETAILS + details : REASONING_CONTENT;
    const isProven = details !== '' || this.#sendsReasoningContent;
    if (this.#reasoning === '' && !isProven) return [];
    const signature = isProven ? { signature: this.#seal + proof } : {};
    return [{ type: 'reasoning', text: this.#reasoning, ...signature }];
  }

  /** Stands before its call. */
  #extraParts(extra: string): Part[] {
    return extra === ''
      ? []
      : [{ type: 'reasoning', text: '', signature: this.#seal + EXTRA_CONTENT + extra }];
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
  const found = value.map(fields).filter((part) => part.type === type);
  return found
    .map((part) => stringOf(part[type]) || (type === 'thinking' ? textOf(part[type]) : ''))
    .join('');
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

/** Gateways to Anthropic also say what was written to a cache; OpenRouter beside the other details, LiteLLM in Anthropic's words. */
function usageOf(usage: WireUsage): TokenUsage {
  const details = fields(usage.prompt_tokens_details);
  const cached = details.cached_tokens ?? usage.prompt_cache_hit_tokens ?? usage.cache_read_input_tokens;
  const cacheWritten = tokens(details.cache_write_tokens ?? usage.cache_creation_input_tokens);
  return {
    input: tokens(usage.prompt_tokens),
    output: tokens(usage.completion_tokens),
    cached: tokens(cached),
    ...(cacheWritten > 0 ? { cacheWritten } : {}),
    reasoning: tokens(fields(usage.completion_tokens_details).reasoning_tokens),
  };
}
