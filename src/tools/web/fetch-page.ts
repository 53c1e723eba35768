/** One GET over the public internet, redirects included, within limits. */
import { type Dispatcher, request } from 'undici';
import { type Reach, raced } from '../../checked-agent.ts';
import { messageOf } from '../../core/errors.ts';
import { publicAgent } from './public-agent.ts';
import { ACCEPTED_ENCODINGS, readBody } from './read-body.ts';
import { WebError } from './web-error.ts';
import { webUrl } from './web-url.ts';

export interface WebLimits {
  /** For all of it: names, redirects, the body. */
  readonly timeoutMs: number;
  /** Of the body, decompressed; what is behind is not read. */
  readonly bytes: number;
  readonly redirects: number;
  /** Ports beside 80 and 443. */
  readonly ports: readonly number[];
}

export interface Page {
  /** Where the last redirect led. */
  readonly url: URL;
  readonly status: number;
  readonly contentType: string;
  readonly bytes: Buffer;
  readonly cut: boolean;
}

const HEADERS = {
  'user-agent': 'Capybara (web_fetch of a coding agent)',
  accept: 'text/markdown, text/html;q=0.9, text/plain;q=0.9, application/json;q=0.9, */*;q=0.5',
  'accept-encoding': ACCEPTED_ENCODINGS,
};

const REDIRECTS = [301, 302, 303, 307, 308];

/** Throws `WebError`, or the signal's reason where it was aborted. */
export async function fetchPage(
  text: string,
  within: { readonly reach: Reach; readonly limits: WebLimits; readonly signal: AbortSignal },
): Promise<Page> {
  const { reach, limits, signal } = within;
  const late = AbortSignal.timeout(limits.timeoutMs);
  const either = AbortSignal.any([signal, late]);
  const agent = publicAgent(reach);
  try {
    return await followed(agent, webUrl(text, limits.ports), { limits, signal: either });
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) {
      throw new WebError(`there was no whole answer within ${limits.timeoutMs / 1_000} seconds.`);
    }
    throw error instanceof WebError ? error : new WebError(`the request failed: ${causeOf(error)}.`);
  } finally {
    await agent.destroy();
  }
}

async function followed(
  agent: Dispatcher,
  from: URL,
  { limits, signal }: { readonly limits: WebLimits; readonly signal: AbortSignal },
): Promise<Page> {
  let url = from;
  for (let redirects = 0; ; redirects++) {
    const answer = await raced(request(url.href, { dispatcher: agent, headers: HEADERS, signal }), signal);
    const { statusCode: status, headers, body } = answer;
    const location = REDIRECTS.includes(status) ? single(headers.location) : '';
    if (location === '') {
      const start = await readBody(body, single(headers['content-encoding']), limits.bytes);
      return { url, status, contentType: single(headers['content-type']), ...start };
    }
    body.on('error', () => undefined).destroy();
    if (redirects === limits.redirects) {
      throw new WebError(`there were more than ${limits.redirects} redirects, the last to ${location}.`);
    }
    url = webUrl(URL.parse(location, url.href)?.href ?? location, limits.ports);
  }
}

function single(header: string | readonly string[] | undefined): string {
  return [header ?? []].flat()[0] ?? '';
}

function causeOf(error: unknown): string {
  const { cause, code } = error as { cause?: unknown; code?: unknown };
  const text = messageOf(cause ?? error);
  return text === '' && typeof code === 'string' ? code : text;
}
