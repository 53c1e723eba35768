/** Requests: sent with the key, repeated where the server asks for it, their answers checked against the wire schemas. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import { UserError } from '../core/errors.ts';
import { badAnswer, isTransient, refusalOf, unreachable } from './errors.ts';
import { addressOf, type Server } from './server.ts';

export type Query = Readonly<Record<string, string | number | undefined>>;
export interface Page<Item> {
  readonly data: Item[];
  readonly nextCursor: string | null;
}

/** Longest wait for the start of an answer, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** Longest silence in the middle of an answer, in milliseconds. */
export const IDLE_BODY_MS = 30_000;
/** How long all waits together may be that a server asks for with `Retry-After`, in milliseconds. */
export const PATIENCE_MS = 10_000;
/** Shortest wait, in milliseconds; the next is twice as long, and so on: a server that asks for none is not asked for ever. */
const FIRST_PAUSE_MS = 50;

export interface ClientOptions {
  /** How long a request may wait in all where the server says `Retry-After`; 0 waits never. `PATIENCE_MS` where left out. */
  readonly patienceMs?: number;
  /** Longest wait for the start of an answer. `REQUEST_TIMEOUT_MS` where left out. */
  readonly timeoutMs?: number;
  /** Longest silence in the middle of an answer. `IDLE_BODY_MS` where left out. */
  readonly idleMs?: number;
  /** Ends every request that is under way, and those to come. */
  readonly signal?: AbortSignal;
  /** Told of each request when its answer begins, or when there is none. */
  readonly onRequest?: (sent: SentRequest) => void;
}

export interface SentRequest {
  readonly method: string;
  /** Without its query, which may hold what somebody said. */
  readonly path: string;
  /** Undefined where nothing answered. */
  readonly status: number | undefined;
  readonly ms: number;
}

export interface Sending {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: NonNullable<RequestInit['body']>;
  readonly duplex?: 'half';
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export class Http {
  /** Asked before each request: an embedded Capybara may move. */
  readonly server: () => Server;
  readonly #options: ClientOptions;

  constructor(server: () => Server, options: ClientOptions = {}) {
    this.server = server;
    this.#options = options;
  }

  /** `waitMs`: how long the server was asked to wait before it answers. */
  get<Schema extends z.ZodType>(path: string, schema: Schema, waitMs = 0): Promise<z.infer<Schema>> {
    return this.#json(path, schema, { headers: {}, timeoutMs: this.#timeoutMs + waitMs });
  }

  delete<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.infer<Schema>> {
    return this.#json(path, schema, { method: 'DELETE', headers: {} });
  }

  /** Changes something that is there; a repeat finds it changed. */
  change<Schema extends z.ZodType>(
    request: `${'POST' | 'PUT' | 'PATCH'} ${string}`,
    schema: Schema,
    body?: unknown,
  ): Promise<z.infer<Schema>> {
    const [method = '', path = ''] = request.split(' ');
    return this.#json(path, schema, { method, ...jsonBody(body) });
  }

  /** Makes something. `key` makes repeating the call harmless: the same key is the same thing. */
  create<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    { body, key = randomUUID() }: { readonly body: unknown; readonly key?: string | undefined },
  ): Promise<z.infer<Schema>> {
    const { headers, ...sent } = jsonBody(body);
    return this.#json(path, schema, {
      method: 'POST',
      ...sent,
      headers: { ...headers, 'idempotency-key': key },
    });
  }

  async bytes(path: string, accept: string): Promise<Buffer> {
    return this.#body(await this.fetch(path, { headers: { accept } }));
  }

  async read<Schema extends z.ZodType>(
    response: Response,
    path: string,
    schema: Schema,
  ): Promise<z.infer<Schema>> {
    const parsed = schema.safeParse(await this.#answer(response, path));
    if (parsed.success) return parsed.data;
    throw badAnswer(this.server(), path, faultOf(parsed.error));
  }

  /** An answer of status 2xx; anything else is thrown. */
  async fetch(path: string, given: Sending): Promise<Response> {
    const sending = this.#endedBySignal(given);
    let patience = this.#options.patienceMs ?? PATIENCE_MS;
    for (let least = FIRST_PAUSE_MS; ; least *= 2) {
      try {
        return await this.fetchOnce(path, sending);
      } catch (error) {
        const asked = waitOf(error, sending);
        const wait = Math.max(asked ?? 0, least);
        if (asked === undefined || wait > patience) throw error;
        patience -= wait;
        await delay(wait, undefined, sending.signal && { signal: sending.signal });
      }
    }
  }

  /** Without a wait for a server that asks for it. */
  async fetchOnce(path: string, given: Sending): Promise<Response> {
    const { timeoutMs, ...sending } = this.#endedBySignal(given);
    const server = this.server();
    checkHeader(server.apiKey, 'API key');
    checkHeader(sending.headers['idempotency-key'], 'Idempotency-Key');
    const authorization = server.apiKey ? { authorization: `Bearer ${server.apiKey}` } : {};
    const limitMs = timeoutMs ?? this.#timeoutMs;
    const slow = new AbortController();
    const late = new Error(`no answer within ${limitMs / 1000} s`);
    const timer = setTimeout(() => slow.abort(late), limitMs);
    const signal = sending.signal ? AbortSignal.any([sending.signal, slow.signal]) : slow.signal;
    const told = this.#telling(sending.method, path);
    try {
      const headers = { ...sending.headers, ...authorization };
      const response = await fetch(addressOf(server, path), { ...sending, headers, signal });
      told(response.status);
      if (response.ok) return response;
      throw await refusalOf(response, server);
    } catch (error) {
      if (error instanceof UserError || sending.signal?.aborted) throw error;
      told(undefined);
      throw unreachable(this.server(), error);
    } finally {
      clearTimeout(timer);
    }
  }

  #endedBySignal(sending: Sending): Sending {
    const { signal } = this.#options;
    if (signal === undefined) return sending;
    return { ...sending, signal: sending.signal ? AbortSignal.any([sending.signal, signal]) : signal };
  }

  #telling(method = 'GET', path: string): (status: number | undefined) => void {
    const began = performance.now();
    return (status) => {
      const [bare = ''] = path.split('?');
      this.#options.onRequest?.({ method, path: bare, status, ms: performance.now() - began });
    };
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? REQUEST_TIMEOUT_MS;
  }

  async #json<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    sending: Sending,
  ): Promise<z.infer<Schema>> {
    const headers = { accept: 'application/json', ...sending.headers };
    return this.read(await this.fetch(path, { ...sending, headers }), path, schema);
  }

  async #answer(response: Response, path: string): Promise<unknown> {
    const body = await this.#body(response);
    try {
      return JSON.parse(new TextDecoder().decode(body));
    } catch {
      throw badAnswer(this.server(), path, 'this is not JSON');
    }
  }

  async #body(response: Response): Promise<Buffer> {
    try {
      return await bodyOf(response, this.#options.idleMs ?? IDLE_BODY_MS);
    } catch (error) {
      throw unreachable(this.server(), error);
    }
  }
}

/** All of it; throws where nothing of it comes for `idleMs`. */
async function bodyOf({ body }: Response, idleMs: number): Promise<Buffer> {
  if (body === null) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  const silence = new AbortController();
  const stalled = new Error(`its answer stopped in the middle for ${idleMs / 1000} s`);
  const timer = setTimeout(() => silence.abort(stalled), idleMs);
  const taken = new WritableStream<Uint8Array>({
    write: (piece) => {
      timer.refresh();
      pieces.push(piece);
    },
  });
  try {
    await body.pipeTo(taken, { signal: silence.signal });
    return Buffer.concat(pieces);
  } finally {
    clearTimeout(timer);
  }
}

/** What a header cannot hold is not quoted: it may be a secret. Throws `UserError`. */
function checkHeader(value: string | undefined, what: string): void {
  // Of Latin-1 (RFC 9110 §5.5), without its control characters.
  if (value === undefined || /^[\t\x20-\x7e\x80-\xff]*$/.test(value)) return;
  throw new UserError(
    'bad_header',
    `The ${what} has characters that cannot be sent, such as the end of a line: expected letters, digits and signs on one line.`,
  );
}

/** `data.0.id: expected string, received undefined` */
function faultOf({ issues: [issue] }: z.ZodError): string {
  if (issue === undefined) return 'it has another shape';
  const at = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return `${at}${issue.message.replace(/^Invalid input: /, '')}`;
}

function jsonBody(body: unknown): Pick<Sending, 'headers' | 'body'> {
  if (body === undefined) return { headers: {} };
  return { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

/**
 * What the server asks to be waited for before the same request, in milliseconds; undefined where it asks for nothing, or a repeat may
 * do harm: 429 says that nothing was done, 503 may come from the middle of it.
 */
function waitOf(error: unknown, { method = 'GET', headers, body }: Sending): number | undefined {
  if (!isTransient(error) || body instanceof ReadableStream) return undefined;
  const nothingDone = 'status' in error && error.status === 429;
  const repeatable = method === 'GET' || method === 'HEAD' || 'idempotency-key' in headers;
  return nothingDone || repeatable ? error.retryAfterMs : undefined;
}

/** An address with what is set of a query. */
export function withQuery(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? path : `${path}?${parameters}`;
}

/**
 * `/v1/tasks/task_…/cancel`: the id is one part of it, whatever it holds. Throws `UserError` where it can be none: an address would
 * lead somewhere else, or cannot be written.
 */
export function below(folder: string, id: string, rest = ''): string {
  if (['', '.', '..'].includes(id) || !id.isWellFormed())
    throw new UserError(
      'invalid_request',
      `${JSON.stringify(id)} is no name or id of anything: expected one as Capybara shows it.`,
    );
  return `/v1/${folder}/${encodeURIComponent(id)}${rest}`;
}
