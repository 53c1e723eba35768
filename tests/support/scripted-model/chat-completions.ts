import type { ScriptedRequest } from './request.ts';
import type { ScriptedUsage, StopWord } from './step.ts';
import { EventStream, type Exchange, errorBody, type Whole, WholeAnswer, type Writer } from './writer.ts';

const FINISH: Readonly<Record<StopWord, string>> = {
  stop: 'stop',
  tool_calls: 'tool_calls',
  length: 'length',
  refusal: 'content_filter',
};

export function chatWriter(exchange: Exchange): Writer {
  if (exchange.request.body.stream === true) return new ChatStream(exchange);
  return new WholeAnswer(exchange, (answer) => completionOf(exchange, answer));
}

/** Streams `chat.completion.chunk` objects and ends with `[DONE]`. */
class ChatStream implements Writer {
  readonly #stream: EventStream;
  readonly #request: ScriptedRequest;
  readonly #usage: ScriptedUsage;
  #begun = false;

  constructor({ response, request, usage }: Exchange) {
    this.#stream = new EventStream(response);
    this.#request = request;
    this.#usage = usage;
  }

  text(content: string): void {
    this.#delta({ content });
  }

  reasoning(delta: string): void {
    this.#delta({ reasoning_content: delta });
  }

  signature(): void {}

  callStart(index: number, id: string, name: string): void {
    this.#delta({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] });
  }

  callDelta(index: number, piece: string): void {
    this.#delta({ tool_calls: [{ index, function: { arguments: piece } }] });
  }

  finish(stop: StopWord): void {
    this.#chunk({ choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: FINISH[stop] }] });
    if (this.#request.body.stream_options?.include_usage === true) {
      this.#chunk({ choices: [], usage: wireUsage(this.#usage) });
    }
    this.#stream.send('[DONE]');
  }

  fail(status: number, message: string): void {
    this.#stream.send(errorBody('chat', status, message));
  }

  #delta(delta: Record<string, unknown>): void {
    const role = this.#begun ? {} : { role: 'assistant' };
    this.#begun = true;
    this.#chunk({
      choices: [{ index: 0, delta: { ...role, ...delta }, logprobs: null, finish_reason: null }],
    });
  }

  #chunk(rest: Record<string, unknown>): void {
    this.#stream.send({ ...head(this.#request, 'chat.completion.chunk'), ...rest });
  }
}

function completionOf({ request, usage }: Exchange, answer: Whole): unknown {
  const calls = answer.calls.map(({ id, name, arguments: text }) => ({
    id,
    type: 'function',
    function: { name, arguments: text },
  }));
  const message = {
    role: 'assistant',
    content: answer.text === '' ? null : answer.text,
    refusal: null,
    ...(answer.reasoning === '' ? {} : { reasoning_content: answer.reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  const choices = [{ index: 0, message, logprobs: null, finish_reason: FINISH[answer.stop] }];
  return { ...head(request, 'chat.completion'), choices, usage: wireUsage(usage) };
}

function head(request: ScriptedRequest, object: string) {
  const created = Math.floor(Date.now() / 1000);
  return { id: `chatcmpl-${request.number}`, object, created, model: request.model };
}

function wireUsage({ input, output, cached, reasoning }: ScriptedUsage) {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}
