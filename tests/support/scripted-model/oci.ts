import { NAME } from './check.ts';
import { imageOf, type ScriptedImage } from './images.ts';
import { type Body, type ScriptedMessage, textOf, type WireBody } from './request.ts';
import type { ScriptedUsage, StopWord } from './step.ts';
import { EventStream, type Exchange, errorBody, type Writer } from './writer.ts';

/** Oracle's inference API, in its format `GENERIC`. It does not ask who signed: `oci-server.ts` does. */
const FINISH: Readonly<Record<StopWord, string>> = {
  stop: 'stop',
  tool_calls: 'tool_calls',
  length: 'length',
  refusal: 'content_filter',
};

/** Streams pieces of one message, then why it ended, then the counts; nothing stands behind them. */
export class OciStream implements Writer {
  readonly #stream: EventStream;
  readonly #usage: ScriptedUsage;
  readonly #ids = new Map<number, string>();

  constructor({ response, usage }: Exchange) {
    this.#stream = new EventStream(response);
    this.#usage = usage;
  }

  text(text: string): void {
    this.#message({ content: [{ type: 'TEXT', text }] });
  }

  reasoning(reasoningContent: string): void {
    this.#message({ reasoningContent });
  }

  signature(): void {}

  callStart(slot: number, id: string, name: string): void {
    this.#ids.set(slot, id);
    this.#message({ toolCalls: [{ type: 'FUNCTION', id, name, arguments: '' }] });
  }

  /** Calls have no index: a piece has its call's id. */
  callDelta(slot: number, piece: string): void {
    this.#message({ toolCalls: [{ type: 'FUNCTION', id: this.#ids.get(slot), arguments: piece }] });
  }

  finish(stop: StopWord): void {
    this.#stream.send({ finishReason: FINISH[stop], pad: 'aaaaaaa' });
    this.#stream.send({ usage: wireUsage(this.#usage), pad: 'aaaa' });
  }

  fail(status: number, message: string): void {
    this.#stream.send(errorBody('oci', status, message));
  }

  #message(message: object): void {
    this.#stream.send({ index: 0, message: { role: 'ASSISTANT', ...message }, pad: 'aaaaaaaaa' });
  }
}

function wireUsage({ input, output, cached, reasoning }: ScriptedUsage) {
  return {
    promptTokens: input,
    completionTokens: output,
    totalTokens: input + output,
    promptTokensDetails: { cachedTokens: cached },
    completionTokensDetails: { reasoningTokens: reasoning },
  };
}

export function ociModel({ servingMode }: Body): unknown {
  return servingMode?.modelId ?? servingMode?.endpointId;
}

export function readOci(body: Body): WireBody {
  const { messages, tools = [] } = body.chatRequest;
  const systems = messages.filter(({ role }: Body) => role === 'SYSTEM');
  return {
    model: String(ociModel(body)),
    system: systems.map(({ content }: Body) => said(content)).join('\n'),
    messages: messages.flatMap(messagesIn),
    tools: tools.map(({ name }: Body) => String(name)),
  };
}

function messagesIn({ role, content, toolCalls = [], toolCallId }: Body): ScriptedMessage[] {
  const text = said(content);
  if (role === 'USER') return [{ role: 'user', text }];
  if (role === 'TOOL') return [{ role: 'tool', callId: toolCallId, text, isError: false }];
  if (role !== 'ASSISTANT') return [];
  const calls = toolCalls.map(({ id, name, arguments: args }: Body) => ({ id, name, arguments: args }));
  // A message of the model's must have content: this stands for none.
  return [{ role: 'assistant', text: text === '.' ? '' : text, calls }];
}

function said(content: Body[]): string {
  return textOf(content.map((part) => ({ ...part, type: part.type === 'TEXT' ? 'text' : part.type })));
}

export function ociImages(body: Body): ScriptedImage[] {
  return body.chatRequest.messages.flatMap(({ role, content }: Body) =>
    content
      .filter(({ type }: Body) => type === 'IMAGE')
      .map(({ imageUrl }: Body) => imageOf(imageUrl.url, role === 'TOOL' ? 'tool' : 'user')),
  );
}

/** Why the service would refuse a body, more or less in its words. */
export function ociRefusal({ compartmentId, servingMode, chatRequest }: Body): string | undefined {
  if (typeof compartmentId !== 'string') return 'compartmentId must not be null';
  const modes: Readonly<Record<string, string>> = { ON_DEMAND: 'modelId', DEDICATED: 'endpointId' };
  if (servingMode[modes[servingMode.servingType] ?? ''] === undefined)
    return 'servingMode has the wrong servingType';
  if (chatRequest?.apiFormat !== 'GENERIC') return 'apiFormat: only GENERIC is scripted';
  if (chatRequest.isStream !== true) return 'isStream: only answers that stream are scripted';
  if (!Array.isArray(chatRequest.messages) || chatRequest.messages.length === 0)
    return 'messages must not be empty';
  return (
    first(chatRequest.messages, messageRefusal) ??
    orderRefusal(chatRequest.messages) ??
    first(chatRequest.tools ?? [], toolRefusal)
  );
}

function first(list: Body[], refusal: (each: Body) => string | undefined): string | undefined {
  return list.map(refusal).find((words) => words !== undefined);
}

const ROLES = ['SYSTEM', 'DEVELOPER', 'USER', 'ASSISTANT', 'TOOL'];

function messageRefusal({ role, content, toolCalls = [] }: Body): string | undefined {
  if (!ROLES.includes(role)) return `unknown role: ${role}`;
  if (!Array.isArray(content) || content.length === 0) return `content of ${role} must not be empty`;
  if (role !== 'ASSISTANT' && toolCalls.length > 0) return `toolCalls in a message of ${role}`;
  return first(content, (part) => partRefusal(part, role)) ?? first(toolCalls, callRefusal);
}

function partRefusal({ type, text, imageUrl }: Body, role: string): string | undefined {
  if (type === 'TEXT')
    return typeof text === 'string' && text.trim() !== '' ? undefined : 'text must not be blank';
  if (type !== 'IMAGE') return `unknown type of content: ${type}`;
  if (role !== 'USER') return `an image in a message of ${role}`;
  return typeof imageUrl?.url === 'string' ? undefined : 'imageUrl.url must not be null';
}

function callRefusal({ id, type, name, arguments: args }: Body): string | undefined {
  if (type !== 'FUNCTION') return `unknown type of a tool call: ${type}`;
  if (typeof id !== 'string' || id === '') return 'a tool call must have an id';
  if (!NAME.test(name ?? '')) return `invalid name of a tool call: ${name}`;
  return typeof args === 'string' ? undefined : 'arguments of a tool call must be a string';
}

function toolRefusal({ type, name, parameters }: Body): string | undefined {
  if (type !== 'FUNCTION') return `unknown type of a tool: ${type}`;
  if (!NAME.test(name ?? '')) return `invalid name of a tool: ${name}`;
  const [word] = /"(\$ref|anyOf|oneOf)":/.exec(JSON.stringify(parameters)) ?? [];
  return word === undefined ? undefined : `unsupported in a schema: ${word}`;
}

/** Every call has its result in the messages that follow at once. */
function orderRefusal(messages: Body[]): string | undefined {
  const open = new Set<string>();
  for (const { role, toolCallId, toolCalls = [] } of messages) {
    if (role === 'TOOL' && !open.delete(toolCallId)) return `no tool call ${toolCallId} before its result`;
    if (role !== 'TOOL' && open.size > 0) break;
    for (const { id } of toolCalls) open.add(id);
  }
  return open.size === 0 ? undefined : `tool calls without a result: ${[...open].join(', ')}`;
}
