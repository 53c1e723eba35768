/** What the contract suite knows of a kind of provider, whatever its wire. */
import type { ProviderKind } from '../../src/core/provider.ts';
import type { ModelOptions } from '../../src/model/connection.ts';
import type { Model } from '../../src/model/model.ts';

export type Fields = Record<string, unknown>;
// biome-ignore lint/suspicious/noExplicitAny: a parsed body, which comes from the code under test
export type Body = any;

export interface ShownImage {
  readonly mediaType: string;
  readonly base64: string;
}

export type Lack =
  | 'cached'
  | 'reasoning'
  | 'refusal'
  | 'status of errors inside the stream'
  /** Requests are signed. */
  | 'key'
  /** Whether a model sees is told by its name. */
  | 'images of unknown models'
  /** Reasoning is plain words, and goes back to the provider wherever that is. */
  | 'a seal by its address';

export interface Kind {
  /** The provider's name in the settings. */
  readonly provider: string;
  readonly kind: ProviderKind;
  readonly create: (options: ModelOptions) => Model;
  /** Where an answer is asked for, at the scripted model. */
  readonly path: string;
  readonly baseUrl: (url: string) => string;
  /** What a base URL may end in. */
  readonly ends: readonly string[];
  /** A plain request for an answer that streams. */
  readonly plainBody: Fields;
  /** What a request says of these; undefined where it does not. */
  readonly limitsIn: (body: Body) => { readonly temperature?: unknown; readonly maxTokens?: unknown };
  /** Fields of a body that are left out where nothing is said of them. */
  readonly optional: readonly string[];
  /** The limit that is sent where none is configured. */
  readonly defaultMaxTokens: number | undefined;
  /** How the id of a call looks when it is sent back. */
  readonly sentId: (id: string) => string;
  /** What went back of the reasoning `Hm.` with the signature `proof`, and what should have. */
  readonly reasoningIn: (body: Body) => unknown;
  readonly reasoning: unknown;
  /** The arguments of the conversation's only call. */
  readonly argumentsIn: (body: Body) => unknown;
  /** The conversation's items behind the last answer, and what they should be for one result with images. */
  readonly newestIn: (body: Body) => Body[];
  readonly imagesOf: (callId: string, text: string, images: readonly ShownImage[]) => unknown[];
  /** The provider's words for a conversation that is too long. */
  readonly overflow: string;
  /** Pieces of an answer as bytes of the wire. */
  readonly frames: (events: readonly Fields[]) => string;
  readonly contentType: string;
  /** What ends one. */
  readonly frameEnd: string;
  /** An error in the middle of an answer, `json` being `{"error": …}`. */
  readonly errorFrame: (json: string) => string;
  /** In the bytes of an answer that is `say`: where the piece begins without which it is not whole. */
  readonly endMark: string;
  /** Bytes that begin a piece, and are no JSON. */
  readonly broken: string;
  /** Bytes that keep a connection alive, and say nothing. */
  readonly keepAlive: string;
  /** What its wire has no words for. */
  readonly lacks: readonly Lack[];
  /** Pieces that hold just this. `head` begins an answer and a call with the id `id` and the name `ls`. */
  readonly pieces: {
    readonly head: readonly Fields[];
    readonly tail: readonly Fields[];
    readonly text: (text: string) => Fields;
    readonly reasoning: (text: string) => Fields;
    readonly arguments: (text: string) => Fields;
    readonly nothing: Fields;
    /** A whole call with an index of its own. */
    readonly call: (at: number, id: string, name: string, args: Fields) => Fields;
    /** A whole answer that reports this many tokens of input, none from a cache, and of output. */
    readonly counted: (count: number) => readonly Fields[];
  };
}

/** `data` lines, with the event's name where it has one. */
export function sseFrames(events: readonly Fields[]): string {
  return events
    .map((event) => `${'type' in event ? `event: ${event.type}\n` : ''}data: ${JSON.stringify(event)}\n\n`)
    .join('');
}

/** What event streams have in common. */
export const SSE = {
  keepAlive: ': still here\n\n',
  lacks: [],
  frames: sseFrames,
  contentType: 'text/event-stream',
  frameEnd: '\n\n',
  errorFrame: (json: string) => `event: error\ndata: ${json}\n\n`,
};

export const behindAnswer = (items: Body[], isAnswer: (item: Body) => boolean) =>
  items.slice(items.findLastIndex(isAnswer) + 1);
