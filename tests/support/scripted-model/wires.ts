import { chatWriter } from './chat-completions.ts';
import { chatRefusal, messagesRefusal } from './check.ts';
import { chatImages, messagesImages, type ScriptedImage } from './images.ts';
import { messagesWriter } from './messages.ts';
import { OciStream, ociImages, ociModel, ociRefusal, readOci } from './oci.ts';
import { ollamaImages, ollamaRefusal, ollamaWriter, readOllama } from './ollama.ts';
import { type Body, type Protocol, readChat, readMessages, type WireBody } from './request.ts';
import { responsesWriter } from './responses.ts';
import { readResponses, responsesImages, responsesRefusal } from './responses-body.ts';
import type { Exchange, Writer } from './writer.ts';

/** All that the server knows of one protocol; `errorBody` in `writer.ts` is the other thing that a new one needs. */
export interface Wire {
  /** Where it is asked for an answer, with POST. */
  readonly path: RegExp;
  /** The model that a body asks. */
  readonly model: (body: Body) => unknown;
  /** Why the real API would refuse a body that is an object with a model. */
  readonly refusal: (body: Body) => string | undefined;
  /** What a body says, in the words of every protocol. */
  readonly read: (body: Body) => WireBody;
  readonly images: (body: Body) => ScriptedImage[];
  readonly writer: (exchange: Exchange) => Writer;
  /** How the ids of calls begin. */
  readonly callPrefix: string;
  /** The part of a body that its conversation is. */
  readonly conversation: (body: Body) => unknown;
}

const modelOf = (body: Body): unknown => body.model;

export const WIRES: Readonly<Record<Protocol, Wire>> = {
  chat: {
    path: /^(\/openai)?\/(v1|deployments\/[^/]+)\/chat\/completions$/,
    model: modelOf,
    refusal: chatRefusal,
    read: readChat,
    images: chatImages,
    writer: chatWriter,
    callPrefix: 'call_',
    conversation: (body) => body.messages,
  },
  messages: {
    path: /^\/v1\/messages$/,
    model: modelOf,
    refusal: messagesRefusal,
    read: readMessages,
    images: messagesImages,
    writer: messagesWriter,
    callPrefix: 'toolu_',
    conversation: (body) => body.messages,
  },
  ollama: {
    path: /^\/api\/chat$/,
    model: modelOf,
    refusal: ollamaRefusal,
    read: readOllama,
    images: ollamaImages,
    writer: ollamaWriter,
    callPrefix: 'call_',
    conversation: (body) => body.messages,
  },
  oci: {
    path: /^\/20231130\/actions\/chat$/,
    model: ociModel,
    refusal: ociRefusal,
    read: readOci,
    images: ociImages,
    writer: (exchange) => new OciStream(exchange),
    callPrefix: 'chatcmpl-tool-',
    conversation: (body) => body.chatRequest.messages,
  },
  responses: {
    path: /^(\/openai)?\/v1\/responses$/,
    model: modelOf,
    refusal: responsesRefusal,
    read: readResponses,
    images: responsesImages,
    writer: responsesWriter,
    callPrefix: 'call_',
    conversation: (body) => body.input,
  },
};

/** The protocol that is spoken at a path; Chat Completions is what other paths are refused in. */
export function protocolAt(path: string): { readonly protocol: Protocol; readonly isAsked: boolean } {
  const found = (Object.keys(WIRES) as Protocol[]).find((protocol) => WIRES[protocol].path.test(path));
  return { protocol: found ?? 'chat', isAsked: found !== undefined };
}
