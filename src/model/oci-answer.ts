import type { Part, StopReason } from '../core/entry.ts';
import { REASONING_CONTENT } from './history.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { failIfBroken, type OciChunk, usageOf } from './oci-format.ts';
import { fields, MalformedAnswer, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { ToolCallDrafts } from './tool-calls.ts';
import { NO_USAGE } from './usage.ts';

/** Puts the messages of an answer in `GENERIC` or `COHEREV2` together: each holds the next piece of the model's message. */
export class OciMessageAnswer implements Collector<OciChunk> {
  readonly #calls = new ToolCallDrafts();
  readonly #model: string;
  readonly #seal: string;
  /** Bytes of text and reasoning. */
  #words = 0;
  #text = '';
  #reasoning = '';
  #refused = false;
  #finish: string | undefined;
  #usage: TokenUsage = NO_USAGE;

  /** `seal`: what the signatures of its reasoning begin with. */
  constructor(model: string, seal: string) {
    this.#model = model;
    this.#seal = seal;
  }

  get size(): number {
    return this.#words + this.#calls.size;
  }

  take(given: OciChunk): ModelEvent[] {
    const chunk = fields(given);
    this.#usage = usageOf(chunk.usage) ?? this.#usage;
    const events = this.#takeMessage(fields(chunk.message));
    const finish = stringOf(chunk.finishReason);
    if (finish === '') return events;
    failIfBroken(finish.toUpperCase(), chunk);
    this.#finish = finish.toLowerCase();
    return [...events, ...this.#calls.end()];
  }

  answer(): ModelAnswer | undefined {
    if (this.#finish === undefined) return undefined;
    const calls = this.#calls.parts().map(({ part }) => part);
    const parts: Part[] = [
      ...(this.#reasoning === ''
        ? []
        : [{ type: 'reasoning' as const, text: this.#reasoning, signature: this.#seal + REASONING_CONTENT }]),
      ...(this.#text === '' ? [] : [{ type: 'text' as const, text: this.#text }]),
      ...calls,
    ];
    const stopReason = this.#refused ? 'refusal' : stopReasonOf(this.#finish, calls.length > 0);
    return { parts, stopReason, usage: this.#usage, model: this.#model };
  }

  #takeMessage(message: Readonly<Record<string, unknown>>): ModelEvent[] {
    const events: ModelEvent[] = [];
    const refusal = stringOf(message.refusal);
    if (refusal !== '') this.#refused = true;
    const reasoning = stringOf(message.reasoningContent) + contentOf(message.content, 'thinking');
    const text = contentOf(message.content, 'text') + refusal;
    if (reasoning !== '') events.push({ type: 'reasoning', delta: reasoning });
    if (text !== '') events.push({ type: 'text', delta: text });
    this.#words += Buffer.byteLength(reasoning) + Buffer.byteLength(text);
    this.#reasoning += reasoning;
    this.#text += text;
    return [...events, ...callsIn(message.toolCalls).flatMap((call) => this.#calls.take(call))];
  }
}

function contentOf(content: unknown, type: 'text' | 'thinking'): string {
  if (typeof content === 'string') return type === 'text' ? content : '';
  if (!Array.isArray(content)) return '';
  return content.map((part) => stringOf(fields(part)[type])).join('');
}

/** `GENERIC` has a call's name and arguments beside its id, `COHEREV2` in its `function`. */
function callsIn(value: unknown) {
  const calls = value ?? [];
  if (!Array.isArray(calls)) throw new MalformedAnswer('tool calls that are no list');
  return calls.map(fields).map((call) => ({
    index: call.index,
    id: call.id,
    function: call.function ?? { name: call.name, arguments: call.arguments },
  }));
}

function stopReasonOf(finish: string, hasCalls: boolean): StopReason {
  if (finish === 'length' || finish === 'max_tokens') return 'length';
  if (finish === 'content_filter' || finish === 'content_filtered' || finish === 'error_toxic')
    return 'refusal';
  return hasCalls ? 'tool_calls' : 'stop';
}
