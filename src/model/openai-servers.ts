/** What OpenAI's own servers, at OpenAI and in Azure, want otherwise than those that are only compatible with them. */
import type { ModelSettings } from '../core/provider.ts';
import { digest, hashedId, MAX_SENT_ID } from './history.ts';

export const OPENAI_URL = 'https://api.openai.com/v1';

/** Microsoft's names for the hosts of its cloud that have OpenAI's API. */
const AZURE = /\.(openai\.azure|services\.ai\.azure|cognitiveservices\.azure)\.(com|us|cn)$/;

function hostnameOf(baseUrl: string): string {
  return URL.parse(baseUrl)?.hostname ?? '';
}

export function isAzure(baseUrl: string): boolean {
  return AZURE.test(hostnameOf(baseUrl));
}

/** Azure has other models too, under other paths. */
export function isOpenAi(baseUrl: string): boolean {
  const hostname = hostnameOf(baseUrl);
  if (hostname === 'api.openai.com' || hostname.endsWith('.api.openai.com')) return true;
  return isAzure(baseUrl) && (URL.parse(baseUrl)?.pathname ?? '').startsWith('/openai/');
}

/**
 * The address that a method's path is put behind: it may be given as its host, its base, or the whole address of the method.
 * What stands behind `?` stays. In Azure a host alone is the API's version 1, and with `?api-version=` a deployment that is
 * named like the model.
 */
export function methodBase(given: string, method: string, model: string): string {
  const url = URL.parse(given);
  if (url === null) return given;
  const path = url.pathname.replace(/\/+$/, '');
  const base = path.endsWith(method) ? path.slice(0, -method.length) : path;
  url.pathname = isAzure(given) && /^(\/openai)?$/.test(base) ? azurePath(url, model) : base || '/v1';
  return url.href;
}

function azurePath(url: URL, model: string): string {
  const isOld = url.searchParams.has('api-version');
  return isOld ? `/openai/deployments/${encodeURIComponent(model)}` : '/openai/v1';
}

/** Azure knows a key by a header of its own. */
export function bearer(apiKey: string | undefined, baseUrl: string): Record<string, string> {
  if (apiKey === undefined) return {};
  return isAzure(baseUrl) ? { 'api-key': apiKey } : { authorization: `Bearer ${apiKey}` };
}

/** Families that reason before they answer; they refuse a temperature. `gpt-5-chat` and its like only chat. */
const REASONS = /^(o\d|gpt-([5-9]|\d\d)|codex)(?!.*-chat)/;

export function reasons(model: string): boolean {
  return REASONS.test(model.toLowerCase());
}

/** Older families refuse to be asked for the reasoning that they do not have. */
const OLDER = /^(gpt-[34]|chatgpt-)/;

export function encryptsReasoning(model: string): boolean {
  return !OLDER.test(model.toLowerCase());
}

/** What is known of the model comes before what its name says. */
export function takesTemperature(
  model: string,
  { settings = {}, baseUrl }: { readonly settings?: ModelSettings | undefined; readonly baseUrl: string },
): boolean {
  return settings.temperature ?? !(isOpenAi(baseUrl) && reasons(model));
}

/** Longest id of a call that Chat Completions takes at OpenAI. */
export const MAX_CHAT_ID = 40;
/** Mistral's own API takes ids of this length only. */
const MISTRAL_ID = 9;

/** Mistral's models, by their names, whoever offers them. */
const MISTRAL = /(mistral|mixtral|ministral|magistral|codestral|devstral|pixtral)/i;

/** Whether the model has to say something between a tool's result and what a user says: Mistral's refuse the conversation else. */
export function wantsWordBehindResults(model: string): boolean {
  return MISTRAL.test(model);
}

/** How the id of a call is sent by Chat Completions: as it came, but where we know that it would be refused. */
export function chatIds(baseUrl: string): (id: string) => string {
  if (isOpenAi(baseUrl)) return (id) => shortId(id, MAX_CHAT_ID);
  if (hostnameOf(baseUrl) !== 'api.mistral.ai') return (id) => id;
  return (id) => (/^[a-zA-Z0-9]{9}$/.test(id) ? id : digest(id).slice(0, MISTRAL_ID));
}

/** The id, or what stands for one that is too long or has characters of another provider. */
export function shortId(id: string, max = MAX_SENT_ID): string {
  return id.length <= max && /^[a-zA-Z0-9_-]+$/.test(id) ? id : hashedId(id);
}
