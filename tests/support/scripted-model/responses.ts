import type { ScriptedRequest } from './request.ts';
import type { ScriptedUsage, StopWord } from './step.ts';
import { EventStream, type Exchange, errorBody, type Whole, WholeAnswer, type Writer } from './writer.ts';

type Item = Record<string, unknown>;

export function responsesWriter(exchange: Exchange): Writer {
  if (exchange.request.body.stream === true) return new ResponseStream(exchange);
  return new WholeAnswer(exchange, (answer) => responseOf(exchange, answer.stop, itemsOf(answer)));
}

/**
 * Streams the events of a response. A message and reasoning follow each other; calls that come together are open together, so
 * that a client has to go by their index.
 */
class ResponseStream implements Writer {
  readonly #stream: EventStream;
  readonly #exchange: Exchange;
  readonly #items: Item[] = [];
  /** Places in `#items` that are not done yet. */
  readonly #open = new Set<number>();
  readonly #callAt = new Map<number, number>();
  #sequence = 0;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    this.#stream = new EventStream(exchange.response);
  }

  text(delta: string): void {
    const at = this.#within('message');
    const [part] = (this.#items[at] as { content: { text: string }[] }).content;
    if (part !== undefined) part.text += delta;
    this.#send('response.output_text.delta', { ...this.#where(at), content_index: 0, delta, logprobs: [] });
  }

  reasoning(delta: string): void {
    const at = this.#within('reasoning');
    const [part] = (this.#items[at] as { summary: { text: string }[] }).summary;
    if (part !== undefined) part.text += delta;
    this.#send('response.reasoning_summary_text.delta', { ...this.#where(at), summary_index: 0, delta });
  }

  signature(value: string): void {
    const item = this.#items[this.#within('reasoning')];
    if (item !== undefined) item.encrypted_content = value;
    this.#leave();
  }

  callStart(slot: number, id: string, name: string): void {
    if (this.#openType() !== 'function_call') this.#leave();
    this.#callAt.set(slot, this.#items.length);
    this.#add({
      id: `fc_${id}`,
      type: 'function_call',
      status: 'in_progress',
      arguments: '',
      call_id: id,
      name,
    });
  }

  callDelta(slot: number, delta: string): void {
    const at = this.#callAt.get(slot) ?? 0;
    const item = this.#items[at] as { arguments: string };
    item.arguments += delta;
    this.#send('response.function_call_arguments.delta', { ...this.#where(at), delta });
  }

  finish(stop: StopWord): void {
    this.#leave();
    const response = responseOf(this.#exchange, stop, this.#items);
    this.#send(`response.${response.status}`, { response });
  }

  fail(status: number, message: string): void {
    const { error } = errorBody('responses', status, message) as {
      error: { type: string; code: string | null };
    };
    const code = error.code ?? error.type;
    const failed = { ...head(this.#exchange.request, 'failed'), error: { code, message }, output: [] };
    if (status < 500) this.#send('error', { code, message, param: null });
    else this.#send('response.failed', { response: failed });
  }

  #openType(): unknown {
    const [first] = this.#open;
    return first === undefined ? undefined : this.#items[first]?.type;
  }

  /** The place of the open item of a type. */
  #within(type: 'message' | 'reasoning'): number {
    if (this.#openType() !== type) {
      this.#leave();
      const id = `${type === 'message' ? 'msg' : 'rs'}_${this.#exchange.request.number}_${this.#items.length}`;
      this.#add(type === 'message' ? messageItem(id, '') : reasoningItem(id, '', ''));
    }
    return this.#items.length - 1;
  }

  #add(item: Item): void {
    this.#open.add(this.#items.length);
    this.#items.push(item);
    this.#send('response.output_item.added', { output_index: this.#items.length - 1, item });
  }

  #leave(): void {
    for (const output_index of this.#open) {
      const item = { ...this.#items[output_index], status: 'completed' };
      this.#items[output_index] = item;
      this.#send('response.output_item.done', { output_index, item });
    }
    this.#open.clear();
  }

  #where(output_index: number) {
    return { output_index, item_id: this.#items[output_index]?.id };
  }

  #send(type: string, event: Record<string, unknown>): void {
    if (this.#sequence === 0) {
      for (const first of ['response.created', 'response.in_progress']) {
        const response = { ...head(this.#exchange.request, 'in_progress'), output: [] };
        this.#stream.send({ type: first, response, sequence_number: this.#sequence++ }, first);
      }
    }
    this.#stream.send({ type, ...event, sequence_number: this.#sequence++ }, type);
  }
}

function messageItem(id: string, text: string): Item {
  const content = [{ type: 'output_text', annotations: [], logprobs: [], text }];
  return { id, type: 'message', status: 'in_progress', role: 'assistant', content };
}

function reasoningItem(id: string, text: string, encrypted_content: string): Item {
  return { id, type: 'reasoning', summary: [{ type: 'summary_text', text }], encrypted_content };
}

function itemsOf({ text, reasoning, signature, calls }: Whole): Item[] {
  return [
    ...(reasoning === '' ? [] : [reasoningItem('rs_1', reasoning, signature)]),
    ...(text === '' ? [] : [messageItem('msg_1', text)]),
    ...calls.map(({ id, name, arguments: args }) => ({
      ...{ id: `fc_${id}`, type: 'function_call', status: 'completed', arguments: args, call_id: id, name },
    })),
  ];
}

const REASONS: Readonly<Partial<Record<StopWord, string>>> = {
  length: 'max_output_tokens',
  refusal: 'content_filter',
};

function responseOf({ request, usage }: Exchange, stop: StopWord, output: readonly Item[]) {
  const reason = REASONS[stop];
  const status = reason === undefined ? 'completed' : 'incomplete';
  const incomplete_details = reason === undefined ? null : { reason };
  return { ...head(request, status), incomplete_details, output, usage: wireUsage(usage) };
}

function head(request: ScriptedRequest, status: string) {
  const { instructions = null, tools = [], store = true } = request.body;
  const created_at = Math.floor(Date.now() / 1000);
  const [id, object, error] = [`resp_${request.number}`, 'response', null];
  return { id, object, created_at, status, error, instructions, tools, store, model: request.model };
}

function wireUsage({ input, output, cached, reasoning }: ScriptedUsage) {
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached, cache_write_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: input + output,
  };
}
