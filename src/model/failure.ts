import { type Failure, isRefusedOffline, messageOf, OFFLINE_RULE } from '../core/errors.ts';
import { numberOf, readRetryAfter } from '../retry-after.ts';
import type { Origin } from './connection.ts';
import { cannotPay, hasNoModel, isOverflow, refusesKey } from './provider-words.ts';
import { remedyOf } from './refused-settings.ts';
import {
  BadEndpoint,
  fields,
  JsonError,
  KnownFailure,
  MalformedAnswer,
  type Report,
  reportOf,
} from './report.ts';

/** `connecting` until the response's headers are here. */
export type Stage = 'connecting' | 'streaming';

/**
 * The failure that an error of an SDK, of `fetch` or of a stream stands for. `now` is only used for a `Retry-After`
 * that is a date.
 */
export function toFailure(error: unknown, origin: Origin, context: { stage: Stage; now: number }): Failure {
  const known = causesOf(error).find((link) => link instanceof KnownFailure);
  if (known !== undefined) return known.failure;
  const inJson = causesOf(error).find((link) => link instanceof JsonError);
  const report = reportOf(inJson ?? error);
  if (report.status !== undefined) return failureOfStatus(report, report.status, origin, context.now);
  if (inJson !== undefined) return refused(report, origin);
  if (report.body) return isOverflow(report) ? overflow(report, origin) : unavailable(report, origin);
  return failureOfTransport(error, origin, context.stage);
}

export function cancelledFailure(): Failure {
  return { kind: 'cancelled', code: 'cancelled', message: 'The model request was cancelled.' };
}

export function timeoutFailure(
  origin: Origin,
  ms: number,
  { begun, isIdling = false }: { readonly begun: boolean; readonly isIdling?: boolean },
): Failure {
  const silent = begun ? 'sent nothing more for' : 'did not begin to answer within';
  const what = isIdling ? 'kept the connection open and said nothing more for' : silent;
  return {
    kind: 'retryable',
    code: 'provider_timeout',
    message: `${provider(origin)} ${what} ${ms / 1000} s.`,
  };
}

export function cutFailure(origin: Origin, detail = 'ended before the answer was complete'): Failure {
  return { kind: 'retryable', code: 'stream_cut', message: `The stream of ${provider(origin)} ${detail}.` };
}

const MIB = 1024 * 1024;

/** Asked again, it would be as long and cost as much. */
export function tooLongFailure(origin: Origin, bytes: number): Failure {
  const limit = `${bytes / MIB} MiB (CAPYBARA_MODEL_ANSWER_MIB)`;
  const message = `${provider(origin)} went on answering beyond ${limit}: set --max-tokens, or ask for less at once.`;
  return { kind: 'terminal', code: 'answer_too_long', message };
}

function failureOfStatus(report: Report, status: number, origin: Origin, now: number): Failure {
  if (isOverflow(report, status)) return overflow(report, origin);
  if (cannotPay(report, status)) return quota(report, origin);
  if (refusesKey(report, status)) return refusedKey(report, status, origin);
  if (hasNoModel(report, status)) return notFound(report, status, origin);
  const retryAfterMs = retryAfterOf(report, now);
  const when = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 429) return { ...rateLimited(report, status, origin), ...when };
  // 408 and 409 are of this request alone: nobody else has to wait.
  if (status >= 500 || status === 408 || status === 409)
    return { ...unavailable({ ...report, status }, origin), ...when };
  return refused(report, origin);
}

function refused(report: Report, origin: Origin): Failure {
  if (isOverflow(report)) return overflow(report, origin);
  const status = report.status === undefined ? '' : ` (${report.status})`;
  return {
    kind: 'terminal',
    code: 'bad_request',
    message: `${sentence(`${provider(origin)} refused the request${status}`, report, origin)}${remedyOf(report, origin)}`,
  };
}

function overflow(report: Report, origin: Origin): Failure {
  return {
    kind: 'terminal',
    code: 'context_overflow',
    message: sentence(`The conversation is too long for ${origin.model}`, report, origin),
  };
}

function quota(report: Report, origin: Origin): Failure {
  return {
    kind: 'terminal',
    code: 'provider_quota',
    message: sentence(
      `The account at provider ${origin.provider} cannot pay for the request`,
      report,
      origin,
    ),
  };
}

const KEY_VARIABLES = new Map([
  ['anthropic', 'ANTHROPIC_API_KEY'],
  ['openai', 'OPENAI_API_KEY'],
  ['env', 'CAPYBARA_MODEL_API_KEY'],
]);

/** Where a person sets a provider's key: the variable that their settings name, one that we do, or the settings themselves. */
export function keyVariableOf({
  provider: name,
  apiKeyVariable,
}: Pick<Origin, 'provider' | 'apiKeyVariable'>): string {
  return apiKeyVariable ?? KEY_VARIABLES.get(name) ?? `providers.${name}.apiKey`;
}

/** At 403 it is often not the key itself: what is said there is told, too. */
function refusedKey({ text }: Report, status: number, origin: Origin): Failure {
  const variable = keyVariableOf(origin);
  const said = status === 403 ? tidy(text, origin) : '';
  const why = said === '' ? '' : ` (${said})`;
  const message =
    origin.apiKey === undefined
      ? `${provider(origin)} wants a key (${status}): set ${variable}.`
      : `The key for provider ${origin.provider} was refused (${status})${why}: check ${variable}.`;
  return { kind: 'terminal', code: 'provider_auth', message };
}

function notFound(report: Report, status: number, origin: Origin): Failure {
  return {
    kind: 'terminal',
    code: 'model_not_found',
    message: sentence(
      `Model ${origin.model} was not found at ${origin.endpoint} (${status})`,
      report,
      origin,
    ),
  };
}

function rateLimited(report: Report, status: number, origin: Origin): Failure {
  return {
    kind: 'retryable',
    code: 'rate_limited',
    message: sentence(`${provider(origin)} asks to wait (${status})`, report, origin),
  };
}

function unavailable(report: Report, origin: Origin): Failure {
  const status = report.status === undefined ? '' : ` (${report.status})`;
  return {
    kind: 'retryable',
    code: 'provider_unavailable',
    message: sentence(`${provider(origin)} could not answer${status}`, report, origin),
  };
}

/** No provider's pause is believed beyond this: a wrong header must not park a task for years. */
export const MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1000;

/** `retry-after-ms` is OpenAI's finer one. */
function retryAfterOf({ headers, retrySeconds }: Report, now: number): number | undefined {
  const ms = headers?.get('retry-after-ms') ?? '';
  const after = headers?.get('retry-after') ?? '';
  const candidates = [numberOf(ms), readRetryAfter(after, now), numberOf(retrySeconds) * 1000];
  const wait = candidates.find((value) => value !== undefined && Number.isFinite(value));
  return wait === undefined ? undefined : Math.min(Math.max(0, Math.ceil(wait)), MAX_RETRY_AFTER_MS);
}

const TIMEOUT_CODES = [
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
];

function failureOfTransport(error: unknown, origin: Origin, stage: Stage): Failure {
  const chain = causesOf(error);
  const code = chain
    .map((link) => fields(link).code)
    .find((value) => typeof value === 'string' && value !== '');
  const wrong = chain.find((link) => link instanceof BadEndpoint);
  if (wrong !== undefined) return badEndpoint(origin, wrong);
  if (code === 'ERR_INVALID_URL') return badEndpoint(origin, new BadEndpoint('is not a URL'));
  if (chain.some((link) => /invalid header|ByteString/i.test(messageOf(link)))) return unusableKey(origin);
  const malformed = chain.find((link) => link instanceof MalformedAnswer);
  if (malformed !== undefined) return cutFailure(origin, `held ${malformed.message}`);
  if (chain.some((link) => link instanceof SyntaxError)) {
    return cutFailure(origin, 'held something that is not JSON');
  }
  if (TIMEOUT_CODES.includes(String(code)) || chain.some((link) => /timed? ?out/i.test(messageOf(link)))) {
    return {
      kind: 'retryable',
      code: 'provider_timeout',
      message: `${provider(origin)} did not answer in time.`,
    };
  }
  if (chain.some(isRefusedOffline)) return refusedOffline(origin);
  if (code === undefined && !chain.some(isConnectionError)) return bug(error, origin, stage);
  if (stage === 'streaming') return cutFailure(origin);
  const why = code === undefined ? '' : ` (${code})`;
  const message = `${provider(origin)} could not be reached at ${origin.endpoint}${why}.`;
  return { kind: 'retryable', code: 'provider_unreachable', message };
}

function refusedOffline(origin: Origin): Failure {
  const message = `${provider(origin)} has a public address (${origin.endpoint}), and ${OFFLINE_RULE}: leave out --offline (CAPYBARA_OFFLINE), or use a model of your own network.`;
  return { kind: 'terminal', code: 'offline', message };
}

function isConnectionError(link: unknown): boolean {
  return (
    link instanceof Error && /fetch failed|terminated|connection error|other side closed/i.test(link.message)
  );
}

/** An error with everything that caused it, outermost first. */
function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (
    let link = error;
    link !== undefined && link !== null && !chain.includes(link);
    link = fields(link).cause
  ) {
    chain.push(link);
    if (link instanceof AggregateError) chain.push(...link.errors);
  }
  return chain;
}

function badEndpoint(origin: Origin, { found, remedy }: BadEndpoint): Failure {
  const what = tidy(found, origin);
  return {
    kind: 'terminal',
    code: 'bad_endpoint',
    message: `The endpoint ${origin.endpoint} of provider ${origin.provider} ${what}: ${remedy}.`,
  };
}

function unusableKey(origin: Origin): Failure {
  const variable = keyVariableOf(origin);
  return {
    kind: 'terminal',
    code: 'provider_auth',
    message: `The key for provider ${origin.provider} holds characters that no header can carry: check ${variable}.`,
  };
}

function bug(error: unknown, origin: Origin, stage: Stage): Failure {
  const what = tidy(messageOf(error), origin);
  const head =
    stage === 'streaming'
      ? `The answer of ${provider(origin)} could not be read`
      : `The request to ${provider(origin)} could not be built`;
  return { kind: 'bug', code: 'model_bug', message: `${head}: ${what}.` };
}

function provider(origin: Origin): string {
  return `Provider ${origin.provider}`;
}

/** `head: what the provider said.` */
function sentence(head: string, report: Report, origin: Origin): string {
  const said = tidy(report.text, origin);
  return said === '' ? `${head}.` : `${head}: ${said}.`;
}

/** Characters of a provider's text that a failure repeats. */
export const MAX_QUOTED = 300;
/** Keys and headers shorter than this are placeholders like `x`, and removing them would only garble the text. */
const MIN_SECRET = 4;

/** One line, nothing that a terminal obeys, no secrets, no end, not too long. */
export function tidy(text: string, origin: Origin): string {
  const secrets = (origin.secrets ?? []).filter((secret) => secret.length >= MIN_SECRET);
  const known = secrets.reduce((said, secret) => said.replaceAll(secret, '[key]'), text);
  const clean = known
    .replace(/\b(Bearer\s+)\S+/gi, '$1[key]')
    .replace(/\b(sk|pk|xai|gsk)-[\w*-]{6,}/gi, '[key]')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  const short = clean.length > MAX_QUOTED ? `${clean.slice(0, MAX_QUOTED)}…` : clean;
  return short.replace(/[.\s]+$/, '');
}
