import type { IncomingHttpHeaders } from 'node:http';
import type { ScriptedImage } from './images.ts';

/** What `wires.ts` says more of. */
export type Protocol = 'chat' | 'messages' | 'responses' | 'ollama' | 'oci';

/** A request for an answer, in the same words for all protocols. */
export interface ScriptedRequest {
  readonly protocol: Protocol;
  readonly model: string;
  readonly system: string;
  readonly messages: readonly ScriptedMessage[];
  /** Names of the tools that were offered. */
  readonly tools: readonly string[];
  /** Assistant messages in the request: how often the model has answered in this conversation. */
  readonly answers: number;
  /** The results that follow the last answer, in their order. */
  readonly lastToolResults: readonly ScriptedResult[];
  /** All that it shows. */
  readonly images: readonly ScriptedImage[];
  /** From the `x-capybara-*` headers; undefined where they were not sent. */
  readonly sessionId: string | undefined;
  readonly taskId: string | undefined;
  readonly turn: number | undefined;
  /** How often this session and turn was asked for, this time included. */
  readonly attempt: number;
  /** Counts all requests of the server, from 1. */
  readonly number: number;
  readonly headers: IncomingHttpHeaders;
  /** The parsed body as it was sent. */
  readonly body: Body;
  /** `abandoned`: the client went away before the end. */
  outcome: 'open' | 'answered' | 'failed' | 'cut' | 'abandoned';
}

export interface ScriptedResult {
  readonly callId: string;
  readonly text: string;
  readonly isError: boolean;
}

export interface ScriptedCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export type ScriptedMessage =
  | { readonly role: 'user'; readonly text: string }
  | { readonly role: 'assistant'; readonly text: string; readonly calls: readonly ScriptedCall[] }
  | ({ readonly role: 'tool' } & ScriptedResult);

/** What a body may hold: it is checked field by field, because it comes from the code under test. */
// biome-ignore lint/suspicious/noExplicitAny: a parsed body of any protocol
export type Body = any;

/** What a body of any protocol says. */
export interface WireBody {
  readonly model: string;
  readonly system: string;
  readonly messages: readonly ScriptedMessage[];
  readonly tools: readonly string[];
}

/** What follows from the messages of a body. */
export function placeIn(messages: readonly ScriptedMessage[]) {
  const lastAnswer = messages.findLastIndex((message) => message.role === 'assistant');
  return {
    answers: messages.filter((message) => message.role === 'assistant').length,
    lastToolResults: messages.slice(lastAnswer + 1).filter((message) => message.role === 'tool'),
  };
}

export function readChat(body: Body): WireBody {
  const tools = (body.tools ?? []).map((tool: Body) => String(tool.function?.name));
  return { model: String(body.model), system: chatSystem(body), messages: chatMessages(body), tools };
}

export function readMessages(body: Body): WireBody {
  const tools = (body.tools ?? []).map((tool: Body) => String(tool.name));
  const system = textOf(body.system);
  return { model: String(body.model), system, messages: anthropicMessages(body), tools };
}

function chatSystem(body: Body): string {
  const first = body.messages.filter(
    (message: Body) => message.role === 'system' || message.role === 'developer',
  );
  return first.map((message: Body) => textOf(message.content)).join('\n');
}

function chatMessages(body: Body): ScriptedMessage[] {
  return body.messages.flatMap((message: Body): ScriptedMessage[] => {
    const text = textOf(message.content);
    if (message.role === 'user') return [{ role: 'user', text }];
    if (message.role === 'tool')
      return [{ role: 'tool', callId: message.tool_call_id, text, isError: false }];
    if (message.role !== 'assistant') return [];
    const calls = (message.tool_calls ?? []).map((item: Body) => ({
      id: item.id,
      name: item.function.name,
      arguments: item.function.arguments,
    }));
    return [{ role: 'assistant', text, calls }];
  });
}

function anthropicMessages(body: Body): ScriptedMessage[] {
  return body.messages.flatMap((message: Body): ScriptedMessage[] => {
    const blocks: Body[] = blocksOf(message.content);
    if (message.role === 'assistant') {
      const calls = blocks.filter((block) => block.type === 'tool_use').map(callOf);
      return [{ role: 'assistant', text: textOf(blocks), calls }];
    }
    return blocks.flatMap((block): ScriptedMessage[] => {
      if (block.type === 'text') return [{ role: 'user', text: block.text }];
      if (block.type !== 'tool_result') return [];
      const isError = block.is_error === true;
      return [{ role: 'tool', callId: block.tool_use_id, text: textOf(block.content), isError }];
    });
  });
}

function callOf(block: Body): ScriptedCall {
  return { id: block.id, name: block.name, arguments: JSON.stringify(block.input) };
}

export function blocksOf(content: Body): Body[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
}

export function textOf(content: Body): string {
  return blocksOf(content)
    .map((block) => (block.type === 'text' ? block.text : ''))
    .join('');
}
