import type { ServerResponse } from 'node:http';
import type { Protocol, ScriptedRequest } from './request.ts';
import type { ScriptedUsage, StopWord } from './step.ts';

/** Speaks one protocol: the player says what happens, the writer how it looks on the wire. */
export interface Writer {
  text(delta: string): void;
  reasoning(delta: string): void;
  signature(value: string): void;
  /** `slot` counts the answer's calls from 0. */
  callStart(slot: number, id: string, name: string): void;
  callDelta(slot: number, piece: string): void;
  finish(stop: StopWord): void;
  /** An error inside the stream. */
  fail(status: number, message: string): void;
}

/** One request with its response, and the counts that the answer will report. */
export interface Exchange {
  readonly request: ScriptedRequest;
  readonly response: ServerResponse;
  readonly usage: ScriptedUsage;
}

/** The body of an error response, as the real servers write it. */
export function errorBody(protocol: Protocol, status: number, message: string): unknown {
  if (protocol === 'ollama') return { error: message };
  if (protocol === 'oci') return { code: OCI_WORDS[status] ?? OCI_WORDS[status < 500 ? 400 : 500], message };
  if (protocol === 'messages') {
    const type = ANTHROPIC_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
    return { type: 'error', error: { type, message }, request_id: 'req_scripted' };
  }
  const [type, code] = OPENAI_TYPES[status] ?? [
    status >= 500 ? 'server_error' : 'invalid_request_error',
    null,
  ];
  return { error: { message, type, param: null, code } };
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

const OCI_WORDS: Readonly<Record<number, string>> = {
  400: 'InvalidParameter',
  401: 'NotAuthenticated',
  404: 'NotAuthorizedOrNotFound',
  409: 'IncorrectState',
  429: 'TooManyRequests',
  500: 'InternalServerError',
  503: 'ServiceUnavailable',
};

const OPENAI_TYPES: Readonly<Record<number, readonly [string, string | null]>> = {
  401: ['invalid_request_error', 'invalid_api_key'],
  404: ['invalid_request_error', 'model_not_found'],
  429: ['requests', 'rate_limit_exceeded'],
};

/** Begins the response on its first event, so that an error before it can still be a status. */
export class EventStream {
  readonly #response: ServerResponse;
  constructor(response: ServerResponse) {
    this.#response = response;
  }

  send(data: unknown, event?: string): void {
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    }
    const text = typeof data === 'string' ? data : JSON.stringify(data);
    this.#response.write(`${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`);
  }
}

/** Keeps the answer and sends it whole: a request without `stream`. */
export class WholeAnswer implements Writer {
  readonly #response: ServerResponse;
  readonly #toBody: (answer: Whole) => unknown;
  readonly #protocol: Protocol;
  readonly #answer = { text: '', reasoning: '', signature: '', calls: [] as WholeCall[] };

  constructor({ response, request }: Exchange, toBody: (answer: Whole) => unknown) {
    this.#response = response;
    this.#protocol = request.protocol;
    this.#toBody = toBody;
  }

  text(delta: string): void {
    this.#answer.text += delta;
  }

  reasoning(delta: string): void {
    this.#answer.reasoning += delta;
  }

  signature(value: string): void {
    this.#answer.signature = value;
  }

  callStart(slot: number, id: string, name: string): void {
    this.#answer.calls[slot] = { id, name, arguments: '' };
  }

  callDelta(slot: number, piece: string): void {
    const begun = this.#answer.calls[slot];
    if (begun !== undefined) begun.arguments += piece;
  }

  finish(stop: StopWord): void {
    sendJson(this.#response, 200, this.#toBody({ ...this.#answer, stop }));
  }

  fail(status: number, message: string): void {
    sendJson(this.#response, status, errorBody(this.#protocol, status, message));
  }
}

interface WholeCall {
  readonly id: string;
  readonly name: string;
  arguments: string;
}

export interface Whole {
  readonly text: string;
  readonly reasoning: string;
  readonly signature: string;
  readonly calls: readonly WholeCall[];
  readonly stop: StopWord;
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
