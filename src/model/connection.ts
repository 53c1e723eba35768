/**
 * What providers share below the SDK: where a request goes, what names it, and how long to wait.
 */
import type { ModelSettings } from '../core/provider.ts';
import { BadEndpoint } from './report.ts';

/** What a model is made from. */
export interface ModelOptions {
  /** The provider's name in the configuration: `anthropic`, `openai` or `env`. */
  readonly provider: string;
  readonly model: string;
  /** Optional: many compatible endpoints want none, and then no Authorization header is sent. */
  readonly apiKey?: string;
  /** The environment variable that the settings say its key is in. */
  readonly apiKeyVariable?: string;
  /** The provider's own address where undefined. */
  readonly baseUrl?: string;
  readonly timeouts?: Partial<Timeouts>;
  /** The longest answer that is read; `DEFAULT_ANSWER_BYTES` where undefined. */
  readonly answerBytes?: number;
  /** Whether the model takes images; where undefined, it does. */
  readonly images?: boolean;
  /** Sent with every request, beside our own, and never shown: some are keys. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What is known of the model. */
  readonly settings?: ModelSettings;
  /** For Oracle's cloud. */
  readonly oci?: OciOptions;
  /** For what was recorded. */
  readonly replay?: ReplayOptions;
}

export interface ReplayOptions {
  readonly file?: string | undefined;
  /** Whether a request that differs from the recorded one ends the turn; else it is answered all the same. */
  readonly strict?: boolean | undefined;
}

export type OciAuth = 'api_key' | 'security_token' | 'instance_principal' | 'resource_principal';

export interface OciOptions {
  /** By the profile where undefined: a security token where it names one, else its API key. */
  readonly auth?: OciAuth | undefined;
  /** The profile's, or the instance's, where undefined. */
  readonly region?: string | undefined;
  /** The profile's tenancy where undefined. */
  readonly compartment?: string | undefined;
  /** The file of profiles. */
  readonly ociConfig?: string | undefined;
  readonly ociProfile?: string | undefined;
  /** Where an instance learns who it is, and gets its token: Oracle's own addresses where undefined. */
  readonly metadataUrl?: string | undefined;
  readonly federationUrl?: string | undefined;
}

/** Milliseconds. */
export interface Timeouts {
  /** From the request to the first bytes of the answer. */
  readonly firstTokenMs: number;
  /** Between any two pieces of the answer. A provider's keep-alive bytes count as a piece. */
  readonly idleMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { firstTokenMs: 60_000, idleMs: 60_000 };
/** On one's own machine a model may first have to be loaded, and reads a long prompt for minutes. */
export const LOCAL_FIRST_TOKEN_MS = 300_000;

/** Text, reasoning and arguments of one answer, in UTF-8: several times what any model can write in one go. */
export const DEFAULT_ANSWER_BYTES = 16 * 1024 * 1024;

/** Where a request goes, as failures name it. */
export interface Origin {
  readonly provider: string;
  readonly model: string;
  /** Without user, password and query. */
  readonly endpoint: string;
  readonly apiKey?: string;
  readonly apiKeyVariable?: string;
  /** The key, what is in the configured headers and the address's query: a provider's error text is cleaned of them. */
  readonly secrets?: readonly string[];
}

export function originOf(options: ModelOptions, baseUrl: string): Origin {
  const { apiKeyVariable } = options;
  const apiKey = options.apiKey?.trim();
  return {
    provider: options.provider,
    model: options.model,
    endpoint: shownUrl(baseUrl),
    ...(apiKey ? { apiKey } : {}),
    ...(apiKeyVariable === undefined ? {} : { apiKeyVariable }),
    secrets: secretsOf(options, baseUrl),
  };
}

/** The longest first: one may be a part of another. */
function secretsOf({ apiKey, headers = {} }: ModelOptions, baseUrl: string): string[] {
  const url = URL.parse(baseUrl);
  // Of `Bearer KEY` the key alone is a secret as well.
  const words = Object.values(headers).flatMap((value) => [value, value.replace(/^\w+\s+/, '')]);
  const inUrl = url === null ? [] : [...userOf(url), ...url.searchParams.values(), ...rawValues(url)];
  const found = [apiKey ?? '', ...words, ...inUrl].map((text) => text.trim());
  // A server may repeat them as they stand in an address.
  const all = new Set(found.flatMap((text) => [text, encodeURIComponent(text)]));
  return [...all].filter((text) => text !== '').sort((a, b) => b.length - a.length);
}

/** User, password, and both as they are sent. */
function userOf(url: URL): string[] {
  const { authorization = '' } = userHeaders(url.href);
  return [
    url.username,
    url.password,
    decoded(url.username),
    decoded(url.password),
    authorization.slice(BASIC.length),
  ];
}

function rawValues({ search }: URL): string[] {
  return search.split(/[?&]/).map((pair) => pair.slice(pair.indexOf('=') + 1));
}

const BASIC = 'Basic ';

/** What the user and password of an address are sent as (RFC 7617), where it has any. */
export function userHeaders(baseUrl: string): Record<string, string> {
  const url = URL.parse(baseUrl);
  if (url === null || url.username + url.password === '') return {};
  const both = `${decoded(url.username)}:${decoded(url.password)}`;
  return { authorization: BASIC + Buffer.from(both).toString('base64') };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // It stands there as it is meant.
  }
}

/** Those of the connection itself are nobody's to set. */
const FRAMING = /^(connection|content-length|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade)$/;

/**
 * The headers of one request beside those of its SDK. What is configured comes before what the key makes: a gateway may want
 * another form of it; and a key before what the address says.
 */
export function sentHeaders(
  options: Pick<ModelOptions, 'headers' | 'baseUrl'>,
  trace: Parameters<typeof traceHeaders>[0],
  keyHeaders: Readonly<Record<string, string>>,
): Record<string, string> {
  const byAddress = userHeaders(options.baseUrl?.trim() ?? '');
  return { ...byAddress, ...keyHeaders, ...configuredHeaders(options), ...traceHeaders(trace) };
}

/** Throws `BadEndpoint` where one of them is the connection's own. */
export function configuredHeaders({ headers = {} }: Pick<ModelOptions, 'headers'>): Record<string, string> {
  const configured = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  const framing = configured.find(([name]) => FRAMING.test(name));
  if (framing !== undefined)
    throw new BadEndpoint(`is given the header ${framing[0]}`, 'leave it out of the headers');
  return Object.fromEntries(configured);
}

/** Headers by which a gateway, or a test's scripted model, tells sessions and turns apart. */
function traceHeaders(trace: { sessionId: string; taskId: string; turn: number }) {
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

export function shownUrl(baseUrl: string): string {
  const url = URL.parse(baseUrl);
  return url === null ? baseUrl : `${url.protocol}//${url.host}${url.pathname}`.replace(/\/+$/, '');
}
