/** The server that the CLI talks to: whether it answers and takes the key, what the key is good for, and how old both are. */
import { Key } from '../api/wire-admin.ts';
import { VERSION } from '../version.ts';
import { type Check, reasonOf } from './check.ts';
import { compareClocks } from './clock.ts';

const ANSWER_TIMEOUT_MS = 5_000;
/** A cheap read that any key may do. */
const PATH = 'v1/keys/self';
const VERSION_HEADER = 'capybara-version';
/** Days before the end of a key that it is told. */
const SOON_DAYS = 14;
const DAY_MS = 24 * 60 * 60_000;

export interface Asked {
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** What is told of it where it does not answer. */
  readonly cure?: string;
}

/** The key is shown nowhere. */
export async function server(asked: Asked): Promise<Check[]> {
  const { url, apiKey, cure = 'check CAPYBARA_URL, and that it runs' } = asked;
  const { origin } = new URL(url);
  const headers = { accept: 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) };
  const before = Date.now();
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await fetch(addressOf(url), { headers, signal });
    const clock = clockOf(response, before);
    return [...judge(response, await bodyOf(response), { origin, apiKey }), ...clock];
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error;
    const found = `${origin} does not answer (${reasonOf(cause)})`;
    return [{ name: 'server', state: 'wrong', found, cure }];
  }
}

/** It may live under a path of its host; user and password are not for `fetch`. */
function addressOf(url: string): URL {
  const base = new URL(url);
  [base.username, base.password, base.search, base.hash] = ['', '', '', ''];
  base.pathname = base.pathname.replace(/\/?$/, '/');
  return new URL(PATH, base);
}

async function bodyOf(response: Response): Promise<Key | undefined> {
  return Key.safeParse(await response.json().catch(() => undefined)).data;
}

function judge(
  response: Response,
  key: Key | undefined,
  { origin, apiKey }: { readonly origin: string; readonly apiKey: string | undefined },
): Check[] {
  const name = 'server';
  if (response.status === 401) {
    const found = apiKey ? 'does not take the key it is given' : 'needs a key, and none is set';
    const cure = 'set CAPYBARA_API_KEY to one of its keys';
    return [{ name, state: 'wrong', found: `${origin} ${found}`, cure }];
  }
  if (!response.ok || key === undefined) {
    const found = `${origin} answers with HTTP ${response.status}, and not as a Capybara does`;
    return [{ name, state: 'wrong', found, cure: 'check CAPYBARA_URL, and that it serves' }];
  }
  const version = response.headers.get(VERSION_HEADER) ?? undefined;
  return [versions(origin, version), apiKeyCheck(key, Date.now())];
}

/** `1.4.2` → `[1, 4]`: those that differ in no more speak alike. */
function lineOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

export function versions(origin: string, theirs: string | undefined, ours = VERSION): Check {
  const found = `${origin} answers, and takes the key`;
  if (theirs === undefined) return { name: 'server', state: 'ok', found };
  const both = `${found}; it is ${theirs}, and this is ${ours}`;
  if (lineOf(theirs) === lineOf(ours)) return { name: 'server', state: 'ok', found: both };
  return { name: 'server', state: 'warning', found: both, cure: 'update the older one' };
}

export function apiKeyCheck({ name: called, userName, scopes, expiresAt }: Key, now: number): Check {
  const name = 'API key';
  const found = `“${called}” of ${userName} may ${scopes.join(', ')}`;
  if (expiresAt === null) return { name, state: 'ok', found: `${found}, and does not end` };
  const days = Math.floor((Date.parse(expiresAt) - now) / DAY_MS);
  const ends = `${found}, and ends at ${expiresAt}`;
  if (days >= SOON_DAYS) return { name, state: 'ok', found: ends };
  const cure = 'have a new one made: capybara keys create';
  return { name, state: 'warning', found: `${ends}, in ${days} ${days === 1 ? 'day' : 'days'}`, cure };
}

/** Its `Date` has whole seconds, and was right when it began to answer. */
function clockOf(response: Response, before: number): Check[] {
  const theirs = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(theirs)) return [];
  return [compareClocks({ of: 'the server', theirs, before, after: Date.now(), withinMs: 1_000 })];
}
