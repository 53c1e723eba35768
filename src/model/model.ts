import type { ContextMessage } from '../core/context.ts';
import type { Part, StopReason } from '../core/entry.ts';
import type { Failure } from '../core/errors.ts';
import type { Effort } from '../core/profile.ts';
import type { ModelSettings } from '../core/provider.ts';

/**
 * A model as the worker sees it, whatever the provider. Built from the log by `core/context.ts`.
 *
 * Contract of `stream`: it never throws and never ends early; the last event is `finished` or `failed`, and nothing
 * follows it. An aborted signal ends it with `failed` of kind `cancelled` within a second. Retries are not its
 * business: it makes one request.
 */
export interface Model {
  /** `provider/model`, as shown to people. */
  readonly name: string;
  /** Whether it is shown images; else it must be told of them in words. */
  readonly takesImages: boolean;
  /** What is known of it: from the kept data, and what a person says. */
  readonly info: ModelSettings;
  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent>;
}

export interface ModelRequest {
  readonly system: string;
  readonly messages: readonly ModelMessage[];
  readonly tools: readonly ToolSpec[];
  /** The images that the messages name, by hash, each as the bytes of its base64. */
  readonly images?: ReadonlyMap<string, Uint8Array>;
  /** 0.0 to 2.0; left out of the wire request where undefined. */
  readonly temperature?: number;
  /** Tokens the answer may have; the provider's default where undefined (Anthropic: 4,096). */
  readonly maxTokens?: number;
  /** How much it is to think first; each provider is told in its own words, the nearest that it has. */
  readonly effort?: Effort;
  /** Sent as headers, so that a gateway (or a test's scripted model) can tell sessions and turns apart. */
  readonly trace: { readonly sessionId: string; readonly taskId: string; readonly turn: number };
}

export type ModelMessage = ContextMessage;

export interface ToolSpec {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of type object. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

export type ModelEvent =
  | { readonly type: 'text'; readonly delta: string }
  | { readonly type: 'reasoning'; readonly delta: string }
  /** A call's name is known; its arguments follow in the answer. */
  | { readonly type: 'tool'; readonly name: string }
  | { readonly type: 'finished'; readonly answer: ModelAnswer }
  | { readonly type: 'failed'; readonly failure: FailedRequest };

export interface FailedRequest extends Failure {
  /** The provider may have charged for it: it had begun to answer, or nobody heard whether it had. */
  readonly mayHaveCost: boolean;
}

/** The whole answer, as it will be committed. */
export interface ModelAnswer {
  readonly parts: readonly Part[];
  readonly stopReason: StopReason;
  readonly usage: TokenUsage;
  /** The model that the provider says it used. */
  readonly model: string;
}

/** Tokens as the provider counted them. `cached` is the share of `input` read from a cache, `cacheWritten` written to one; `reasoning` of `output`. */
export interface TokenUsage {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly cacheWritten?: number;
  readonly reasoning: number;
}
