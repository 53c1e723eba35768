import type { Part, StopReason, ToolPart } from '../core/entry.ts';
import type { ModelAnswer, ModelEvent, TokenUsage } from './model.ts';
import { failIfBroken, type OciChunk, usageOf } from './oci-format.ts';
import { fields, MalformedAnswer, stringOf } from './report.ts';
import type { Collector } from './stream.ts';
import { CallIds, MAX_CALLS, textOfArguments } from './tool-calls.ts';
import { NO_USAGE } from './usage.ts';

interface Call {
  readonly name: string;
  readonly arguments: string;
}

/**
 * Puts the messages of an answer in `COHERE` together. The last one, which has the reason for the end, repeats the whole: its
 * text and its calls are taken where they did not come before.
 */
export class CohereAnswer implements Collector<OciChunk> {
  readonly #model: string;
  readonly #ids = new CallIds();
  #size = 0;
  #text = '';
  #calls: Call[] = [];
  #announced = 0;
  #finish: string | undefined;
  #usage: TokenUsage = NO_USAGE;

  constructor(model: string) {
    this.#model = model;
  }

  get size(): number {
    return this.#size;
  }

  take(given: OciChunk): ModelEvent[] {
    const chunk = fields(given);
    this.#usage = usageOf(chunk.usage) ?? this.#usage;
    const finish = stringOf(chunk.finishReason).toUpperCase();
    const events = [...this.#takeText(chunk, finish !== ''), ...this.#takeCalls(chunk, finish !== '')];
    if (finish === '') return events;
    failIfBroken(finish, chunk);
    this.#finish = finish;
    return events;
  }

  answer(): ModelAnswer | undefined {
    if (this.#finish === undefined) return undefined;
    const calls = this.#calls.map(
      (call): ToolPart => ({ type: 'tool', callId: this.#ids.next(''), ...call }),
    );
    const text: Part[] = this.#text === '' ? [] : [{ type: 'text', text: this.#text }];
    const stopReason = stopReasonOf(this.#finish, calls.length > 0);
    return { parts: [...text, ...calls], stopReason, usage: this.#usage, model: this.#model };
  }

  #takeText({ text }: OciChunk, isLast: boolean): ModelEvent[] {
    const said = stringOf(text);
    const delta = isLast ? behind(this.#text, said) : said;
    this.#size += Buffer.byteLength(delta);
    this.#text += delta;
    return delta === '' ? [] : [{ type: 'text', delta }];
  }

  #takeCalls({ toolCalls }: OciChunk, isLast: boolean): ModelEvent[] {
    const calls = callsIn(toolCalls);
    if (calls.length === 0 || (isLast && this.#calls.length > 0)) return [];
    this.#calls = [...this.#calls, ...calls].slice(0, MAX_CALLS);
    this.#size += calls.reduce((sum, call) => sum + Buffer.byteLength(call.name + call.arguments), 0);
    const added = this.#calls.slice(this.#announced);
    this.#announced = this.#calls.length;
    return added.map(({ name }) => ({ type: 'tool', name }));
  }
}

/** What the whole has behind its beginning; nothing where it begins otherwise. */
function behind(beginning: string, whole: string): string {
  return whole.startsWith(beginning) ? whole.slice(beginning.length) : '';
}

function callsIn(value: unknown): Call[] {
  const calls = value ?? [];
  if (!Array.isArray(calls)) throw new MalformedAnswer('tool calls that are no list');
  return calls.map(fields).map(({ name, parameters }) => ({
    name: stringOf(name),
    arguments: textOfArguments(parameters ?? {}),
  }));
}

function stopReasonOf(finish: string, hasCalls: boolean): StopReason {
  if (finish === 'MAX_TOKENS') return 'length';
  if (finish === 'ERROR_TOXIC') return 'refusal';
  return hasCalls ? 'tool_calls' : 'stop';
}
