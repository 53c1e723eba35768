import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { ScriptedRequest } from './request.ts';

/** What the scripted model does with a request: one action, or several in order. */
export type Step = Action | readonly Action[];

/** Answers one request. Throwing answers 400 with the error's message, which no client retries. */
export type Script = (request: ScriptedRequest) => Step | Promise<Step>;

export type StopWord = 'stop' | 'tool_calls' | 'length' | 'refusal';

export interface ScriptedUsage {
  readonly input: number;
  readonly output: number;
  readonly cached: number;
  readonly reasoning: number;
}

export type Action =
  | { readonly type: 'say'; readonly text: string }
  | { readonly type: 'think'; readonly text: string; readonly signature: string }
  | { readonly type: 'call'; readonly id?: string; readonly name: string; readonly arguments: string }
  | { readonly type: 'usage'; readonly usage: Partial<ScriptedUsage> }
  | { readonly type: 'stop'; readonly reason: StopWord }
  | { readonly type: 'delay'; readonly ms: number }
  | { readonly type: 'hang'; readonly until?: Promise<unknown> }
  | { readonly type: 'error'; readonly status: number; readonly options: ErrorOptions }
  | { readonly type: 'cut' }
  | { readonly type: 'raw'; readonly handler: RawHandler };

export interface ErrorOptions {
  /** `Retry-After`: seconds, or any text. */
  readonly retryAfter?: number | string;
  /** The provider's words; a fitting sentence where undefined. */
  readonly message?: string;
  /** The whole body instead of the protocol's own. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Writes the response itself; it is ended when the handler is done and has not ended it. */
export type RawHandler = (response: ServerResponse, request: ScriptedRequest) => void | Promise<void>;

/** Text of the answer. */
export function say(text: string): Action {
  return { type: 'say', text };
}

/** Reasoning before the answer. The signature is only sent where the protocol has one. */
export function think(text: string, signature = `sig-${randomBytes(6).toString('hex')}`): Action {
  return { type: 'think', text, signature };
}

/** A tool call. A string is sent as it is, so that it may also be what is not JSON. Calls in a row are parallel. */
export function call(name: string, args: unknown = {}, id?: string): Action {
  const text = typeof args === 'string' ? args : JSON.stringify(args);
  return { type: 'call', name, arguments: text, ...(id === undefined ? {} : { id }) };
}

/** Counts to report instead of the estimated ones. */
export function usage(counts: Partial<ScriptedUsage>): Action {
  return { type: 'usage', usage: counts };
}

/** Why the answer ended, where it is not what its content says. */
export function stop(reason: StopWord): Action {
  return { type: 'stop', reason };
}

/** Waits before the next action. */
export function delay(ms: number): Action {
  return { type: 'delay', ms };
}

/** Sends nothing more until the promise, `release()` of the server, or the client's going away; then goes on. */
export function hang(until?: Promise<unknown>): Action {
  return { type: 'hang', ...(until === undefined ? {} : { until }) };
}

/** As first action: this status and an error body. Later: an error inside the stream, which ends it. */
export function error(status: number, options: ErrorOptions = {}): Action {
  return { type: 'error', status, options };
}

/** Destroys the connection, after whatever was sent before it. */
export function cut(): Action {
  return { type: 'cut' };
}

export function raw(handler: RawHandler): Action {
  return { type: 'raw', handler };
}

/**
 * Plays the n-th step for a request that holds n answers so far. It keeps no state, so it goes on in the right place after
 * a restart of either side, and plays the same step again for a repeated request.
 */
export function sequence(steps: readonly Step[]): Script {
  return (request) => {
    const step = steps[request.answers];
    if (step !== undefined) return step;
    throw new Error(`the script has ${steps.length} steps, but the request holds ${request.answers} answers`);
  };
}
