import type { Config } from '../config.ts';
import { type Check, reasonOf } from './check.ts';

const NAME = 'server';
const ANSWER_TIMEOUT_MS = 5_000;
/** A cheap read that needs a key. */
const PATH = 'v1/models';

/** Whether the server that the CLI talks to answers, and takes the key, which is shown nowhere. */
export async function server({ url = '', apiKey }: Pick<Config, 'url' | 'apiKey'>): Promise<Check> {
  const { origin } = new URL(url);
  const headers = { accept: 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) };
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    return await judge(await fetch(addressOf(url), { headers, signal }), { origin, apiKey });
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error;
    const found = `${origin} does not answer (${reasonOf(cause)})`;
    return { name: NAME, state: 'wrong', found, cure: 'check CAPYBARA_URL, and that it runs' };
  }
}

/** It may live under a path of its host; user and password are not for `fetch`. */
function addressOf(url: string): URL {
  const base = new URL(url);
  [base.username, base.password, base.search, base.hash] = ['', '', '', ''];
  base.pathname = base.pathname.replace(/\/?$/, '/');
  return new URL(PATH, base);
}

async function judge(
  response: Response,
  { origin, apiKey }: { readonly origin: string; readonly apiKey: string | undefined },
): Promise<Check> {
  const body = (await response.json().catch(() => undefined)) as { readonly data?: unknown } | undefined;
  if (response.status === 401) {
    const found = apiKey ? 'does not take the key it is given' : 'needs a key, and none is set';
    const cure = 'set CAPYBARA_API_KEY to one of its keys';
    return { name: NAME, state: 'wrong', found: `${origin} ${found}`, cure };
  }
  if (response.ok && Array.isArray(body?.data))
    return { name: NAME, state: 'ok', found: `${origin} answers, and takes the key` };
  const found = `${origin} answers with HTTP ${response.status}, and not as a Capybara does`;
  return { name: NAME, state: 'wrong', found, cure: 'check CAPYBARA_URL, and that it serves' };
}
