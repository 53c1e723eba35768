import type { Ollama } from 'ollama';
import { exchanging, guardedFetch } from './guarded-fetch.ts';
import { beginsLines, type JsonLines, jsonLines } from './json-lines.ts';
import { fields, ReportedError, stringOf } from './report.ts';

/** Where Ollama listens unless it is told otherwise. */
export const OLLAMA_URL = 'http://127.0.0.1:11434';

/** One request to an Ollama. */
export interface OllamaRequest {
  readonly baseUrl: string;
  /** Beside those of the SDK, which would take a key from the environment: none of its own leaves the process. */
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Instead of what the SDK would write. */
  readonly body?: readonly Uint8Array[];
  readonly onBytes?: (bytes: number) => void;
  /** The longest line of an answer that streams; it does not where left out. */
  readonly lineBytes?: number;
}

/** The SDK for one request, and the lines of its answer. */
interface OllamaCall {
  readonly sdk: Ollama;
  readonly lines: () => JsonLines | undefined;
}

/** People also give the address with `/v1`, as other clients want it, or the whole one of a method. */
export function ollamaBaseUrl(given: string | undefined): string {
  const url = URL.parse(given?.trim() || OLLAMA_URL);
  if (url === null) return given ?? '';
  url.pathname = url.pathname.replace(/\/+$/, '').replace(/\/(v1(\/chat\/completions)?|api(\/chat)?)$/, '');
  return url.href.replace(/\/$/, '');
}

/** It wants none itself; who stands before it may. */
export function keyHeaders(apiKey: string | undefined): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
}

/** Made for each request, which costs nothing; the SDK is loaded with the first. */
export async function ollamaCall(request: OllamaRequest): Promise<OllamaCall> {
  const { Ollama } = await import('ollama');
  let lines: JsonLines | undefined;
  const sdk = new Ollama({
    host: request.baseUrl,
    fetch: async (input, init = {}) => {
      const answer = await send(withQuery(String(input), request.baseUrl), init, request);
      if (request.lineBytes === undefined || answer.body === null) return answer;
      lines = jsonLines(answer.body, request.lineBytes);
      return new Response(ReadableStream.from(lines.lines));
    },
  });
  return { sdk, lines: () => lines };
}

/** What an SDK's call answers, piece by piece, once the answer has begun. */
export async function streamed<Piece>(
  { sdk, lines }: OllamaCall,
  ask: (sdk: Ollama) => Promise<AsyncIterable<Piece>>,
): Promise<AsyncGenerator<Piece>> {
  const pieces = await ask(sdk);
  return ended(pieces, lines());
}

/** The SDK leaves the rest of a stream unread, and calls an early end an error. */
async function* ended<Piece>(
  pieces: AsyncIterable<Piece>,
  lines: JsonLines | undefined,
): AsyncGenerator<Piece> {
  try {
    yield* pieces;
  } catch (error) {
    if (lines?.hasEnded() !== true) throw error;
  } finally {
    // Not waited for: the server may take its time to end what is whole already.
    void lines?.lines.return(undefined).catch(() => undefined);
  }
}

/** The SDK leaves out what stands behind `?`, which may be what a gateway wants. */
function withQuery(url: string, baseUrl: string): string {
  return url + (URL.parse(baseUrl)?.search ?? '');
}

async function send(url: string, init: RequestInit, request: OllamaRequest): Promise<Response> {
  const written = typeof init.body === 'string' ? [Buffer.from(init.body)] : [];
  const { headers, body = written, onBytes = () => {}, signal = null } = request;
  const begins = request.lineBytes === undefined ? () => true : beginsLines;
  const answer = await guardedFetch(url, {
    ...{ method: init.method ?? 'GET', headers: init.headers ?? {}, signal },
    ...exchanging({ body, headers, onBytes, begins }),
  });
  if (!answer.ok) throw await errorOf(answer);
  return answer;
}

/** The SDK writes to the console where an error's body is not what it expects. */
async function errorOf(answer: Response): Promise<ReportedError> {
  return new ReportedError(answer.status, wordsIn(await answer.text()), answer.headers);
}

function wordsIn(text: string): string {
  try {
    const { error } = fields(JSON.parse(text));
    return stringOf(error) || stringOf(fields(error).message);
  } catch {
    return ''; // A web page, or nothing: the status says enough.
  }
}
