import type { ServerResponse } from 'node:http';
import { type ScriptedImage, signedType } from './images.ts';
import type { Body, ScriptedMessage, ScriptedRequest, WireBody } from './request.ts';
import type { ScriptedUsage, StopWord } from './step.ts';
import { type Exchange, type Whole, WholeAnswer, type Writer } from './writer.ts';

/** It has words for no more. */
const DONE: Readonly<Record<StopWord, string>> = {
  stop: 'stop',
  tool_calls: 'stop',
  length: 'length',
  refusal: 'stop',
};

export function ollamaWriter(exchange: Exchange): Writer {
  if (exchange.request.body.stream !== false) return new OllamaStream(exchange);
  return new WholeAnswer(exchange, (whole) => ({
    ...head(exchange.request),
    message: messageOf(whole),
    ...ending(whole.stop, exchange.usage),
  }));
}

/** Streams JSON objects, one a line. Calls come whole, in the last of them. */
class OllamaStream implements Writer {
  readonly #response: ServerResponse;
  readonly #request: ScriptedRequest;
  readonly #usage: ScriptedUsage;
  readonly #calls: { id: string; name: string; arguments: string }[] = [];

  constructor({ response, request, usage }: Exchange) {
    this.#response = response;
    this.#request = request;
    this.#usage = usage;
  }

  text(content: string): void {
    this.#message({ content });
  }

  reasoning(thinking: string): void {
    this.#message({ content: '', thinking });
  }

  signature(): void {}

  callStart(slot: number, id: string, name: string): void {
    this.#calls[slot] = { id, name, arguments: '' };
    this.#message({ content: '' });
  }

  callDelta(slot: number, piece: string): void {
    const begun = this.#calls[slot];
    if (begun !== undefined) begun.arguments += piece;
  }

  finish(stop: StopWord): void {
    if (this.#calls.length > 0) this.#message({ content: '', tool_calls: this.#calls.map(wireCall) });
    this.#message({ content: '' }, ending(stop, this.#usage));
  }

  /** What it says in the middle of an answer has no status. */
  fail(_status: number, error: string): void {
    this.#line({ error });
  }

  #message(message: object, more: object = { done: false }): void {
    this.#line({ ...head(this.#request), message: { role: 'assistant', ...message }, ...more });
  }

  #line(object: object): void {
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    }
    this.#response.write(`${JSON.stringify(object)}\n`);
  }
}

function head({ model }: ScriptedRequest) {
  return { model, created_at: new Date().toISOString() };
}

function messageOf({ text, reasoning, calls }: Whole) {
  return {
    ...{ role: 'assistant', content: text },
    ...(reasoning === '' ? {} : { thinking: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls.map(wireCall) }),
  };
}

/** It parses what the model wrote: the arguments are an object. */
function wireCall(
  { id, name, arguments: text }: { id: string; name: string; arguments: string },
  index: number,
) {
  return { id, function: { index, name, arguments: JSON.parse(text === '' ? '{}' : text) } };
}

function ending(stop: StopWord, { input, output }: ScriptedUsage) {
  const durations = {
    total_duration: 5e9,
    load_duration: 1e9,
    prompt_eval_duration: 1e9,
    eval_duration: 3e9,
  };
  return {
    ...{ done: true, done_reason: DONE[stop], ...durations },
    ...{ prompt_eval_count: input, eval_count: output },
  };
}

export function readOllama(body: Body): WireBody {
  const systems = body.messages.filter(({ role }: Body) => role === 'system');
  return {
    model: String(body.model),
    system: systems.map(({ content }: Body) => String(content)).join('\n'),
    messages: body.messages.flatMap(messagesIn),
    tools: (body.tools ?? []).map((tool: Body) => String(tool.function?.name)),
  };
}

function messagesIn({ role, content, tool_calls, tool_call_id }: Body): ScriptedMessage[] {
  if (role === 'user') return [{ role, text: content }];
  if (role === 'tool') return [{ role, callId: tool_call_id, text: content, isError: false }];
  if (role !== 'assistant') return [];
  const calls = (tool_calls ?? []).map(({ id, function: called }: Body) => ({
    ...{ id, name: called.name, arguments: JSON.stringify(called.arguments) },
  }));
  return [{ role, text: content, calls }];
}

/** They have no type: their beginning says it. */
export function ollamaImages(body: Body): ScriptedImage[] {
  return body.messages.flatMap(({ role, images = [] }: Body) =>
    images.map((base64: string) => ({ mediaType: signedType(base64), base64, role })),
  );
}

const ROLES = ['system', 'user', 'assistant', 'tool'];

/** In the words of Go, whose JSON it reads strictly by type. */
export function ollamaRefusal(body: Body): string | undefined {
  if (!Array.isArray(body.messages)) return 'messages must be a list';
  for (const message of body.messages) {
    if (!ROLES.includes(message.role)) return `invalid role: ${message.role}`;
    if (typeof message.content !== 'string')
      return 'cannot unmarshal into Go struct field Message.content of type string';
    for (const { function: called } of message.tool_calls ?? []) {
      const args = called?.arguments;
      if (typeof args !== 'object' || args === null || Array.isArray(args))
        return 'Value looks like object, but is not';
    }
  }
  for (const name of ['num_ctx', 'num_predict']) {
    const value = body.options?.[name];
    if (value !== undefined && !Number.isInteger(value)) return `option "${name}" must be of type integer`;
  }
  return undefined;
}
