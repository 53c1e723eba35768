import type { ScriptedRequest } from './request.ts';
import type { ScriptedUsage, StopWord } from './step.ts';
import { EventStream, type Exchange, errorBody, type Whole, WholeAnswer, type Writer } from './writer.ts';

const STOP_REASON: Readonly<Record<StopWord, string>> = {
  stop: 'end_turn',
  tool_calls: 'tool_use',
  length: 'max_tokens',
  refusal: 'refusal',
};

export function messagesWriter(exchange: Exchange): Writer {
  if (exchange.request.body.stream === true) return new MessageStream(exchange);
  return new WholeAnswer(exchange, (answer) => messageOf(exchange, answer));
}

const UNCHANGED = { input_tokens: null, cache_creation_input_tokens: null, cache_read_input_tokens: null };

/**
 * Streams the events of a message. Text and thinking blocks follow each other; the blocks of calls that come together
 * are open together, so that a client has to go by their index.
 */
class MessageStream implements Writer {
  readonly #stream: EventStream;
  readonly #request: ScriptedRequest;
  readonly #usage: ScriptedUsage;
  readonly #callBlocks = new Map<number, number>();
  #blocks = 0;
  #begun = false;
  #open: 'text' | 'thinking' | 'calls' | undefined;

  constructor({ response, request, usage }: Exchange) {
    this.#stream = new EventStream(response);
    this.#request = request;
    this.#usage = usage;
  }

  text(delta: string): void {
    this.#enter('text', { type: 'text', text: '', citations: null });
    this.#delta(this.#blocks - 1, { type: 'text_delta', text: delta });
  }

  reasoning(delta: string): void {
    this.#enter('thinking', { type: 'thinking', thinking: '', signature: '' });
    this.#delta(this.#blocks - 1, { type: 'thinking_delta', thinking: delta });
  }

  signature(value: string): void {
    this.#enter('thinking', { type: 'thinking', thinking: '', signature: '' });
    this.#delta(this.#blocks - 1, { type: 'signature_delta', signature: value });
    this.#leave();
  }

  callStart(slot: number, id: string, name: string): void {
    if (this.#open !== 'calls') this.#leave();
    this.#open = 'calls';
    this.#callBlocks.set(slot, this.#blocks);
    this.#startBlock({ type: 'tool_use', id, name, input: {}, caller: { type: 'direct' } });
  }

  callDelta(slot: number, piece: string): void {
    const index = this.#callBlocks.get(slot) ?? 0;
    this.#delta(index, { type: 'input_json_delta', partial_json: piece });
  }

  finish(stop: StopWord): void {
    this.#leave();
    const delta = {
      container: null,
      stop_details: null,
      stop_reason: STOP_REASON[stop],
      stop_sequence: null,
    };
    // What was read was counted at the start; only what was written is new.
    const usage = { ...wireUsage(this.#usage), ...UNCHANGED };
    this.#event({ type: 'message_delta', delta, usage });
    this.#event({ type: 'message_stop' });
  }

  fail(status: number, message: string): void {
    this.#stream.send(errorBody('messages', status, message), 'error');
  }

  #enter(kind: 'text' | 'thinking', block: Record<string, unknown>): void {
    if (this.#open === kind) return;
    this.#leave();
    this.#open = kind;
    this.#startBlock(block);
  }

  #leave(): void {
    const last = this.#blocks - 1;
    const indexes =
      this.#open === 'calls' ? [...this.#callBlocks.values()] : this.#open === undefined ? [] : [last];
    for (const index of indexes) this.#event({ type: 'content_block_stop', index });
    if (this.#open === 'calls') this.#callBlocks.clear();
    this.#open = undefined;
  }

  #startBlock(block: Record<string, unknown>): void {
    this.#event({ type: 'content_block_start', index: this.#blocks, content_block: block });
    this.#blocks += 1;
  }

  #delta(index: number, delta: Record<string, unknown>): void {
    this.#event({ type: 'content_block_delta', index, delta });
  }

  #event(event: { readonly type: string } & Record<string, unknown>): void {
    if (!this.#begun) {
      this.#begun = true;
      const message = messageHead(this.#request, { ...this.#usage, output: 1, reasoning: 0 });
      this.#stream.send({ type: 'message_start', message: { ...message, content: [] } }, 'message_start');
      this.#stream.send({ type: 'ping' }, 'ping');
    }
    this.#stream.send(event, event.type);
  }
}

function messageOf({ request, usage }: Exchange, answer: Whole): unknown {
  const thinking = { type: 'thinking', thinking: answer.reasoning, signature: answer.signature };
  const content = [
    ...(answer.reasoning === '' ? [] : [thinking]),
    ...(answer.text === '' ? [] : [{ type: 'text', text: answer.text, citations: null }]),
    ...answer.calls.map(({ id, name, arguments: text }) => ({
      type: 'tool_use',
      id,
      name,
      input: JSON.parse(text || '{}'),
      caller: { type: 'direct' },
    })),
  ];
  return { ...messageHead(request, usage), content, stop_reason: STOP_REASON[answer.stop] };
}

function messageHead(request: ScriptedRequest, usage: ScriptedUsage) {
  return {
    id: `msg_${request.number}`,
    type: 'message',
    role: 'assistant',
    model: request.model,
    container: null,
    diagnostics: null,
    stop_details: null,
    stop_reason: null,
    stop_sequence: null,
    usage: wireUsage(usage),
  };
}

/** `input` counts all of it, as `ScriptedUsage` does; on the wire the cached share is separate. */
function wireUsage({ input, output, cached, reasoning }: ScriptedUsage) {
  return {
    input_tokens: input - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: output,
    output_tokens_details: { thinking_tokens: reasoning },
    server_tool_use: null,
  };
}
