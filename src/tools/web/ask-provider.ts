/** One request to the configured search provider. It may be on a private network: who configured it meant that. */
import { Agent, type Dispatcher, request } from 'undici';
import { messageOf } from '../../core/errors.ts';
import { readBody } from './read-body.ts';
import type { SearchHit, SearchProvider, SearchQuery, SearchRequest } from './search-provider.ts';
import { WebError } from './web-error.ts';

export interface SearchSettings {
  readonly name: string;
  readonly provider: SearchProvider;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly apiKey: string;
}

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 2 * 1024 * 1024;

/** Throws `WebError`, which never holds the key, or the signal's reason where it was aborted. */
export async function askProvider(
  query: SearchQuery,
  { name, provider, baseUrl, apiKey }: SearchSettings,
  { signal, timeoutMs = TIMEOUT_MS }: { readonly signal: AbortSignal; readonly timeoutMs?: number },
): Promise<readonly SearchHit[]> {
  const late = AbortSignal.timeout(timeoutMs);
  // Of its own: searches are rare, and a connection that was kept is often one that the other side has closed.
  const agent = new Agent();
  try {
    const wanted = provider.request(query, apiKey);
    const within = { dispatcher: agent, signal: AbortSignal.any([signal, late]) };
    const answer = await send(`${baseUrl}${wanted.path}`, wanted, within);
    return read(name, provider, answer);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof WebError) throw error;
    const why = late.aborted ? `no answer within ${timeoutMs / 1_000} seconds` : messageOf(error);
    throw new WebError(`${name} cannot be asked: ${why}.`);
  } finally {
    await agent.destroy();
  }
}

interface Answered {
  readonly status: number;
  readonly text: string;
  readonly cut: boolean;
}

/** It follows no redirect: that would hand the key to a host that nobody configured. */
async function send(
  url: string,
  { headers, body }: SearchRequest,
  within: { readonly dispatcher: Dispatcher; readonly signal: AbortSignal },
): Promise<Answered> {
  const answer = await request(url, {
    method: (body === undefined ? 'GET' : 'POST') as Dispatcher.HttpMethod,
    headers: {
      'user-agent': 'Capybara (web_search of a coding agent)',
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...within,
  });
  const encoding = [answer.headers['content-encoding'] ?? ''].flat()[0] ?? '';
  const { bytes, cut } = await readBody(answer.body, encoding, MAX_ANSWER_BYTES);
  return { status: answer.statusCode, text: bytes.toString('utf8'), cut };
}

function read(name: string, provider: SearchProvider, { status, text, cut }: Answered): readonly SearchHit[] {
  if (status === 401 || status === 403) {
    throw new WebError(
      `${name} refuses the key (${status}); a person has to mend CAPYBARA_WEB_SEARCH_API_KEY.`,
    );
  }
  if (status === 429)
    throw new WebError(`${name} takes no more searches now (429); go on without, or later.`);
  if (status !== 200) throw new WebError(`${name} answered with status ${status}, expected 200.`);
  if (cut) throw new WebError(`${name} answered with more than ${MAX_ANSWER_BYTES} bytes.`);
  const parsed = provider.answer.safeParse(jsonIn(name, text));
  if (parsed.success) return provider.hits(parsed.data);
  const at = parsed.error.issues[0]?.path.map(String).join('.') ?? '';
  throw new WebError(`${name} answered in another form than expected (at '${at}'): is its URL right?`);
}

function jsonIn(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WebError(`${name} answered with no JSON (${messageOf(error).slice(0, 80)}): is its URL right?`);
  }
}
