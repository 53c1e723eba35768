/**
 * The `fetch` of the SDKs. Not the platform's: that copies a body several times before it sends it, which a request of turn
 * 2,000 would feel, and gives up after five minutes of silence whatever the limit is.
 */
import { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import { shownUrl } from './connection.ts';
import { type Begins, isJsonType, MAX_JSON_BYTES, streamIn } from './json-answer.ts';
import { BadEndpoint } from './report.ts';

/** What `guardedFetch` is told beside the address and the headers. */
interface Exchange {
  /** Sent one after the other as they are, none of them copied. */
  readonly body: readonly Uint8Array[];
  /** Ours: they come before what the SDK would send under the same name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Told how many bytes of the answer came; not of an error's. */
  readonly onBytes: (bytes: number) => void;
  /** How what is called JSON begins if it is what was asked for; as an event stream where left out. */
  readonly begins?: Begins;
}

const EXCHANGE = Symbol('exchange');

/** Goes through the SDKs as a request's `fetchOptions`. */
export function exchanging(exchange: Exchange): object {
  return { [EXCHANGE]: exchange };
}

/** Both SDKs also send the headers of an environment variable; only these of theirs leave the process. */
const SDK_HEADERS = /^(accept|content-type|user-agent|anthropic-version|x-stainless-.*)$/;

/**
 * Keep-alives count as pieces of the answer, though the SDKs hide them. It follows no redirect: that would hand the key and
 * the conversation to a host that nobody configured.
 */
export const guardedFetch: typeof fetch = async (input, init = {}) => {
  const { [EXCHANGE]: exchange, ...given } = init as RequestInit & { [EXCHANGE]: Exchange };
  const url = String(input);
  const answer = await send(url, given, exchange);
  const { statusCode: status, headers: raw, body } = answer;
  const headers = headersOf(raw);
  if (status >= 300 && status < 400) return refused(body, redirectOf(headers, url));
  const encoded = headers.get('content-encoding') ?? 'identity';
  // A `Response` can be made with no higher status.
  const options = { status: Math.min(status, 599), headers };
  if (status >= 400) return new Response(errorBody(body, encoded), options);
  const type = headers.get('content-type') ?? '';
  const wrong = wrongAnswer(status, type, encoded);
  if (wrong !== undefined) return refused(body, wrong);
  const pieces = piecesOf(body, exchange.onBytes);
  return new Response(isJsonType(type) ? await streamIn(pieces, exchange.begins) : pieces, options);
};

/** Why a success cannot be an answer. Nobody asked for an encoding: none is undone here. */
function wrongAnswer(status: number, type: string, encoded: string): BadEndpoint | undefined {
  if (status === 204 || status === 205) return new BadEndpoint(`answered with nothing (${status})`);
  if (type.includes('text/html')) return new BadEndpoint('answered with a web page');
  if (encoded === 'identity') return undefined;
  return new BadEndpoint(
    `answered in the encoding ${encoded}, which nobody asked for`,
    'turn that off there',
  );
}

/** How long to wait is decided by who reads: no clock runs here but that for connecting. */
function send(
  url: string,
  { method = 'POST', headers, signal }: RequestInit,
  { body, headers: own }: Exchange,
): Promise<Dispatcher.ResponseData> {
  const theirs = [...new Headers(headers)].filter(([name]) => SDK_HEADERS.test(name));
  const sent = [...new Headers({ ...Object.fromEntries(theirs), ...own })];
  const length = body.reduce((sum, piece) => sum + piece.length, 0);
  return request(url, {
    method: method as Dispatcher.HttpMethod,
    headers: { ...Object.fromEntries(sent), 'content-length': String(length) },
    body: Readable.from(body, { objectMode: false }),
    ...(signal ? { signal } : {}),
    ...{ headersTimeout: 0, bodyTimeout: 0 },
  });
}

function headersOf(raw: Dispatcher.ResponseData['headers']): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(raw)) {
    for (const value of [values ?? []].flat()) headers.append(name, value);
  }
  return headers;
}

function refused(body: Readable, why: BadEndpoint): never {
  unread(body);
  throw why;
}

function unread(body: Readable): null {
  body.on('error', () => undefined).destroy();
  return null;
}

function redirectOf(headers: Headers, from: string): BadEndpoint {
  const location = headers.get('location');
  const target = location === null ? null : URL.parse(location, from);
  if (target === null) return new BadEndpoint('answered with a redirect to nowhere');
  const found = `answered with a redirect to ${shownUrl(target.href)}`;
  return new BadEndpoint(found, 'set that as the base URL');
}

/** Its beginning: the SDKs read it whole, however long it is. Nothing where it cannot be read; its status says enough. */
function errorBody(body: Readable, encoded: string): ReadableStream<Uint8Array> | null {
  if (encoded !== 'identity') return unread(body);
  let left = MAX_JSON_BYTES;
  let list: Uint8Array[] | undefined;
  let isFirst = true;
  return piecesOf(body).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        const kept = piece.subarray(0, left);
        if (isFirst && kept[0] === LIST) list = [];
        isFirst = false;
        if (list === undefined) controller.enqueue(kept);
        else list.push(kept);
        left -= piece.length;
        if (left <= 0) controller.terminate();
      },
      flush(controller) {
        if (list !== undefined) controller.enqueue(firstOf(Buffer.concat(list)));
      },
    }),
  );
}

const LIST = '['.charCodeAt(0);

/** Google sends its error in a list, of which the SDKs would read nothing. */
function firstOf(body: Buffer): Uint8Array {
  try {
    const [first] = JSON.parse(body.toString()) as unknown[];
    return Buffer.from(JSON.stringify(first) ?? '');
  } catch {
    return body;
  }
}

function piecesOf(body: Readable, onBytes: Exchange['onBytes'] = () => {}): ReadableStream<Uint8Array> {
  const pieces: AsyncIterator<Uint8Array> = body[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) return controller.close();
        onBytes(value.length);
        controller.enqueue(value);
      },
      cancel: () => drain(body, pieces),
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
async function drain(body: Readable, pieces: AsyncIterator<Uint8Array>): Promise<void> {
  const timer = setTimeout(() => body.destroy(), DRAIN_MS);
  timer.unref();
  try {
    while (!(await pieces.next()).done);
  } catch {
    // Aborted or reset: there is nothing left to keep.
  } finally {
    clearTimeout(timer);
  }
}
