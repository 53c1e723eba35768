/**
 * What both providers share below the SDK: where to send a request, which headers go with it, and how long to wait.
 */

import { eventsOf, isJsonType, MAX_JSON_BYTES } from './json-answer.ts';
import { BadEndpoint } from './report.ts';

/** What a model is made from. */
export interface ModelOptions {
  /** The provider's name in the configuration: `anthropic`, `openai` or `env`. */
  readonly provider: string;
  readonly model: string;
  /** Optional: many compatible endpoints want none, and then no Authorization header is sent. */
  readonly apiKey?: string;
  /** The provider's own address where undefined. */
  readonly baseUrl?: string;
  readonly timeouts?: Partial<Timeouts>;
  /** The longest answer that is read; `DEFAULT_ANSWER_BYTES` where undefined. */
  readonly answerBytes?: number;
}

/** Milliseconds. Node's own fetch gives up after 300,000 of either, so that is the most that has an effect. */
export interface Timeouts {
  /** From the request to the first bytes of the answer. */
  readonly firstTokenMs: number;
  /** Between any two pieces of the answer. A provider's keep-alive bytes count as a piece. */
  readonly idleMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { firstTokenMs: 300_000, idleMs: 60_000 };

/** Text, reasoning and arguments of one answer, in UTF-8: several times what any model can write in one go. */
export const DEFAULT_ANSWER_BYTES = 16 * 1024 * 1024;

/** Where a request goes, as failures name it. */
export interface Origin {
  readonly provider: string;
  readonly model: string;
  /** Without user, password and query. */
  readonly endpoint: string;
  /** Kept so that a provider's error text can be cleaned of it. */
  readonly apiKey?: string;
}

export function originOf(options: ModelOptions, baseUrl: string): Origin {
  const apiKey = options.apiKey?.trim();
  return {
    provider: options.provider,
    model: options.model,
    endpoint: shownUrl(baseUrl),
    ...(apiKey ? { apiKey } : {}),
  };
}

/** Headers by which a gateway, or a test's scripted model, tells sessions and turns apart. */
export function traceHeaders(trace: { sessionId: string; taskId: string; turn: number }) {
  return {
    'x-capybara-session': trace.sessionId,
    'x-capybara-task': trace.taskId,
    'x-capybara-turn': String(trace.turn),
  };
}

/** The host of a base URL, or '' where it is not a URL (the request itself will then say so). */
export function hostOf(baseUrl: string): string {
  return URL.parse(baseUrl)?.host ?? '';
}

function shownUrl(baseUrl: string): string {
  const url = URL.parse(baseUrl);
  return url === null ? baseUrl : `${url.protocol}//${url.host}${url.pathname}`.replace(/\/+$/, '');
}

/** Both SDKs also send the headers of an environment variable; only these leave the process. */
const SENT_HEADERS =
  /^(accept|authorization|content-type|user-agent|x-api-key|anthropic-version|x-(stainless|capybara)-.*)$/;

const ON_BYTES = Symbol('onBytes');

/** Told how many bytes came. */
type OnBytes = (bytes: number) => void;

/** Says to `guardedFetch`, through the SDKs' per-request `fetchOptions`, whom to tell of every piece of the body. */
export function watchedBy(onBytes: OnBytes): object {
  return { [ON_BYTES]: onBytes };
}

/**
 * The `fetch` of both SDKs. Keep-alives count as pieces of the body, though the SDKs hide them. It follows no redirect: that
 * would hand the key and the conversation to a host that nobody configured.
 */
export const guardedFetch: typeof fetch = async (input, init = {}) => {
  const { [ON_BYTES]: onBytes = () => {}, ...given } = init as RequestInit & { [ON_BYTES]?: OnBytes };
  const headers = new Headers(given.headers);
  for (const name of [...headers.keys()]) if (!SENT_HEADERS.test(name)) headers.delete(name);
  const response = await fetch(input, { ...given, headers, redirect: 'manual' });
  if (isRedirect(response)) await refuseRedirect(response, input);
  const type = response.headers.get('content-type') ?? '';
  if (response.ok && type.includes('text/html')) {
    await response.body?.cancel();
    throw new BadEndpoint('answered with a web page');
  }
  if (response.body === null) return response;
  const { ok, body, statusText } = response;
  // A `Response` can be made with no higher one.
  const status = Math.min(response.status, 599);
  const read = ok ? watchedBody(body, onBytes) : beginningOf(body);
  return new Response(ok && isJsonType(type) ? await eventsOf(read) : read, {
    status,
    statusText,
    headers: response.headers,
  });
};

/** Of an error, which the SDKs read whole, however long it is. */
function beginningOf(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  let left = MAX_JSON_BYTES;
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        controller.enqueue(piece.subarray(0, left));
        left -= piece.length;
        if (left <= 0) controller.terminate();
      },
    }),
  );
}

function isRedirect(response: Response): boolean {
  return response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400);
}

async function refuseRedirect(response: Response, input: string | URL | Request): Promise<never> {
  await response.body?.cancel();
  const from = input instanceof Request ? input.url : String(input);
  const target = URL.parse(response.headers.get('location') ?? '', from);
  if (target === null || !response.headers.has('location'))
    throw new BadEndpoint('answered with a redirect to nowhere');
  const found = `answered with a redirect to ${shownUrl(target.href)}`;
  throw new BadEndpoint(found, 'set that as the base URL');
}

function watchedBody(body: ReadableStream<Uint8Array>, onBytes: OnBytes): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        onBytes(value.length);
        controller.enqueue(value);
      },
      cancel: () => drain(reader),
    },
    { highWaterMark: 0 },
  );
}

/** How long a body that nobody reads any more may take to end by itself before its connection is closed. */
const DRAIN_MS = 250;

/**
 * The OpenAI SDK stops reading at `[DONE]`, a few bytes before the body's end. Reading those keeps the connection
 * usable for the next turn; closing it here would cost a TLS handshake per turn.
 */
async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const timer = setTimeout(() => void reader.cancel().catch(() => undefined), DRAIN_MS);
  timer.unref();
  try {
    while (!(await reader.read()).done);
  } catch {
    // Aborted or reset: there is nothing left to keep.
  } finally {
    clearTimeout(timer);
  }
}
