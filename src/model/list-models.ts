/** Asks a provider which models it has, and what it says of them. */
import { request } from 'undici';
import { systemClock } from '../clock.ts';
import type { Failure } from '../core/errors.ts';
import type { ModelSettings, ProviderKind } from '../core/provider.ts';
import {
  configuredHeaders,
  hostOf,
  type ModelOptions,
  type Origin,
  originOf,
  userHeaders,
} from './connection.ts';
import { toFailure } from './failure.ts';
import { bearer, isAzure } from './openai-servers.ts';
import { BadEndpoint, fields, stringOf } from './report.ts';

/** How long a provider may take to say it. */
export const LIST_TIMEOUT_MS = 5_000;
/** The longest list that is read: the longest known has several hundred models, with a page on each. */
export const MAX_LIST_BYTES = 8 * 1024 * 1024;
/** Models of one provider that are told of. */
export const MAX_LISTED_MODELS = 2_000;

export interface ListedModel {
  readonly name: string;
  readonly info: ModelSettings;
}

export type Listed = { readonly models: readonly ListedModel[] } | { readonly problem: Failure };

/** A provider as it is asked for its models. */
export type ListedProvider = Pick<
  ModelOptions,
  'provider' | 'apiKey' | 'apiKeyVariable' | 'baseUrl' | 'headers'
> & {
  readonly kind: ProviderKind;
};

interface Way {
  readonly baseUrl: string;
  /** Endings that people also give the address with. */
  readonly endings: RegExp;
  /** Before `path`, where the address has no path of its own. */
  readonly bare: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const CHAT: Way = {
  baseUrl: 'https://api.openai.com/v1',
  endings: /\/(chat\/completions|responses)$/,
  bare: '/v1',
  path: '/models',
};
const WAYS: Readonly<Partial<Record<ProviderKind, Way>>> = {
  anthropic: {
    baseUrl: 'https://api.anthropic.com',
    endings: /\/v1(\/messages)?$/,
    bare: '',
    path: '/v1/models?limit=1000',
    headers: { 'anthropic-version': '2023-06-01' },
  },
  openai: CHAT,
  chat: CHAT,
  ollama: {
    baseUrl: 'http://127.0.0.1:11434',
    endings: /\/(v1(\/chat\/completions)?|api(\/chat)?)$/,
    bare: '',
    path: '/api/tags',
  },
};

/** Never throws: what is wrong is its answer. */
export async function listModels(provider: ListedProvider, timeoutMs = LIST_TIMEOUT_MS): Promise<Listed> {
  const way = WAYS[provider.kind];
  const origin = originOf({ ...provider, model: '' }, provider.baseUrl ?? way?.baseUrl ?? '');
  if (way === undefined) return { problem: noList(origin, `one of kind ${provider.kind} has none`) };
  try {
    const { status, headers, text } = await get(listUrl(provider), headersOf(provider, way), timeoutMs);
    if (status === 404 || status === 405)
      return { problem: noList(origin, `${origin.endpoint} has none, ${status}`) };
    if (status >= 300 && status < 400) throw new BadEndpoint('answered with a redirect');
    // Google sends its error in a list.
    if (status >= 400) throw { status, headers, error: [parsed(text)].flat()[0] };
    return { models: modelsIn(parsed(text)) };
  } catch (error) {
    return { problem: toFailure(error, origin, { stage: 'connecting', now: systemClock() }) };
  }
}

/** Where a provider of that kind lists its models. */
export function listUrl({ baseUrl, kind }: Pick<ListedProvider, 'baseUrl' | 'kind'>): URL {
  const way = WAYS[kind] ?? CHAT;
  const url = new URL(baseUrl?.trim() || way.baseUrl);
  [url.username, url.password, url.hash] = ['', '', ''];
  const [path = '', query] = way.path.split('?');
  const given = url.pathname.replace(/\/+$/, '').replace(way.endings, '');
  const base = isAzure(url.href) ? azureBase(given, url) : given || way.bare;
  url.pathname = `${base}${path}`;
  for (const [name, value] of new URLSearchParams(query)) url.searchParams.set(name, value);
  return url;
}

/** In Azure a list is beside the deployments, which have the names that count there. */
function azureBase(given: string, url: URL): string {
  if (/^(\/openai)?(\/deployments\/.*)?$/.test(given))
    return url.searchParams.has('api-version') ? '/openai' : '/openai/v1';
  return given;
}

/** As requests for answers have them: what is configured comes before what the key makes. */
function headersOf(provider: ListedProvider, way: Way): Record<string, string> {
  const { baseUrl = way.baseUrl, apiKey, kind } = provider;
  const key = apiKey?.trim() || undefined;
  const isOlder = kind === 'anthropic' && hostOf(baseUrl) !== hostOf(way.baseUrl);
  return {
    accept: 'application/json',
    ...way.headers,
    ...userHeaders(baseUrl),
    ...bearer(key, baseUrl),
    ...(key !== undefined && isOlder ? { 'x-api-key': key } : {}),
    ...configuredHeaders(provider),
  };
}

async function get(url: URL, headers: Record<string, string>, timeoutMs: number) {
  const signal = AbortSignal.timeout(timeoutMs);
  const { statusCode, headers: said, body } = await request(url, { headers, signal });
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MAX_LIST_BYTES) throw new BadEndpoint('answered with more than a list of models');
    pieces.push(piece);
  }
  const wait = [said['retry-after'] ?? []].flat()[0];
  return {
    status: statusCode,
    headers: new Headers(wait === undefined ? {} : { 'retry-after': wait }),
    text: Buffer.concat(pieces).toString('utf8'),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function modelsIn(answer: unknown): ListedModel[] {
  const { data, models } = fields(answer);
  const list = Array.isArray(data) ? data : models;
  if (!Array.isArray(list)) throw new BadEndpoint('answered with something that is no list of models');
  const found = list.slice(0, MAX_LISTED_MODELS).map(fields).map(modelIn);
  return found.filter(({ name }) => /^[^\s\p{C}]{1,256}$/u.test(name));
}

/** What servers say of a model, each in words of its own. */
function modelIn(said: Record<string, unknown>): ListedModel {
  const top = fields(said.top_provider);
  const contextTokens = countOf(
    ...[said.max_input_tokens, said.context_length, said.max_model_len, said.context_window],
    said.max_context_length,
  );
  const outputTokens = countOf(said.max_tokens, said.max_completion_tokens, top.max_completion_tokens);
  // Google's compatible endpoint has its names below a folder.
  const name = (stringOf(said.id) || stringOf(said.model) || stringOf(said.name)).replace(/^models\//, '');
  return {
    name,
    info: {
      ...(contextTokens === undefined ? {} : { contextTokens }),
      ...(outputTokens === undefined ? {} : { outputTokens }),
    },
  };
}

function countOf(...said: readonly unknown[]): number | undefined {
  return said.find((value): value is number => Number.isSafeInteger(value) && Number(value) > 0);
}

function noList({ provider }: Origin, why: string): Failure {
  const message = `Provider ${provider} does not list its models (${why}).`;
  return { kind: 'terminal', code: 'models_not_listed', message };
}
