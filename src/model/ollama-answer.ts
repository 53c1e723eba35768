import type { ChatResponse } from 'ollama';
import type { Part, StopReason } from '../core/entry.ts';
import { REASONING_CONTENT } from './history.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { fields, MalformedAnswer, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { ToolCallDrafts } from './tool-calls.ts';
import { NO_USAGE, tokens } from './usage.ts';

/** Puts the pieces of a streamed chat together. A call comes whole, in one of them. */
export class OllamaAnswer implements Collector<ChatResponse> {
  readonly #calls = new ToolCallDrafts();
  #count = 0;
  /** Bytes of text and thinking. */
  #words = 0;
  #text = '';
  #thinking = '';
  #end: string | undefined;
  #usage: TokenUsage = NO_USAGE;
  #model: string;

  constructor(model: string) {
    this.#model = model;
  }

  take(piece: ChatResponse): ModelEvent[] {
    const { model, message, done, done_reason, prompt_eval_count, eval_count } = fields(piece);
    this.#model = stringOf(model) || this.#model;
    const events = this.#takeMessage(fields(message));
    if (done !== true) return events;
    this.#end = stringOf(done_reason);
    this.#usage = { ...NO_USAGE, input: tokens(prompt_eval_count), output: tokens(eval_count) };
    return [...events, ...this.#calls.end()];
  }

  get size(): number {
    return this.#words + this.#calls.size;
  }

  answer(): ModelAnswer | undefined {
    if (this.#end === undefined) return undefined;
    const calls = this.#calls.parts().map(({ part }) => part);
    const parts: Part[] = [
      ...(this.#thinking === ''
        ? []
        : [{ type: 'reasoning' as const, text: this.#thinking, signature: REASONING_CONTENT }]),
      ...(this.#text === '' ? [] : [{ type: 'text' as const, text: this.#text }]),
      ...calls,
    ];
    const stopReason = stopReasonOf(this.#end, calls.length > 0);
    return { parts, stopReason, usage: this.#usage, model: this.#model };
  }

  #takeMessage({ content, thinking, tool_calls }: Record<string, unknown>): ModelEvent[] {
    const events: ModelEvent[] = [];
    const [thought, text] = [stringOf(thinking), stringOf(content)];
    if (thought !== '') events.push({ type: 'reasoning', delta: thought });
    if (text !== '') events.push({ type: 'text', delta: text });
    this.#words += Buffer.byteLength(thought) + Buffer.byteLength(text);
    this.#thinking += thought;
    this.#text += text;
    return [...events, ...callsIn(tool_calls).flatMap((call) => this.#takeCall(call))];
  }

  /** Each is another one, whatever index the server gives it. */
  #takeCall({ id, function: called }: Record<string, unknown>): ModelEvent[] {
    this.#count += 1;
    return this.#calls.take({ index: this.#count, id, function: called });
  }
}

function callsIn(value: unknown): readonly Record<string, unknown>[] {
  const calls = value ?? [];
  const isObject = (call: unknown) => typeof call === 'object' && call !== null && !Array.isArray(call);
  if (!Array.isArray(calls) || !calls.every(isObject))
    throw new MalformedAnswer('tool calls that are no list of objects');
  return calls;
}

/** It says `stop` beside calls too. */
function stopReasonOf(end: string, hasCalls: boolean): StopReason {
  if (end === 'length') return 'length';
  return hasCalls ? 'tool_calls' : 'stop';
}
