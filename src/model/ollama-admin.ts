/** What can be done with an Ollama beside asking its models: see what is there, fetch and remove. */
import type { ListResponse, ProgressResponse } from 'ollama';
import { systemClock } from '../clock.ts';
import { UserError } from '../core/errors.ts';
import { type Origin, originOf, userHeaders } from './connection.ts';
import { tidy, timeoutFailure, toFailure } from './failure.ts';
import { keyHeaders, ollamaBaseUrl, ollamaCall, streamed } from './ollama-client.ts';
import { fields, StreamError, stringOf } from './report.ts';

/** Which one: as it stands in the settings. */
export interface OllamaTarget {
  readonly provider: string;
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface InstalledModel {
  readonly name: string;
  readonly bytes: number;
  /** ISO 8601; empty where it was not said. */
  readonly modifiedAt: string;
  /** As Ollama says it, `8.0B`; empty where it does not. */
  readonly parameters: string;
  readonly quantization: string;
}

export interface PullProgress {
  readonly status: string;
  /** Of the part that is being fetched, in bytes. */
  readonly digest?: string;
  readonly total?: number;
  readonly completed?: number;
}

export interface PullOptions {
  readonly onProgress?: (progress: PullProgress) => void;
  /** Stops it; what was fetched is kept there, and the next one goes on. */
  readonly signal?: AbortSignal;
  readonly idleMs?: number;
}

/** How long it may take to answer what needs no model. */
export const ANSWER_MS = 5_000;
/** How long a pull may say nothing: what was fetched is checked in silence. */
export const PULL_IDLE_MS = 600_000;
/** The longest line that tells how a pull goes on. */
export const MAX_PROGRESS_BYTES = 64 * 1024;

/** What answers may be anything: what is shown of it is looked at. */
const VERSION = /^[\w.+-]{1,64}$/;

/** Its version: it is well. Throws a `UserError` where it does not answer, as all of these do. */
export async function ollamaVersion(target: OllamaTarget, waitMs = ANSWER_MS): Promise<string> {
  const found = fields(await asked(target, waitMs, async ({ sdk }) => sdk.version()));
  const version = stringOf(found.version);
  if (VERSION.test(version)) return version;
  const { endpoint } = placeOf(target).origin;
  throw new UserError('bad_endpoint', `What answers at ${endpoint} is no Ollama: check its base URL.`, 3);
}

/** The models that are installed there, by name. */
export async function installedModels(
  target: OllamaTarget,
  waitMs = ANSWER_MS,
): Promise<readonly InstalledModel[]> {
  const { models } = fields(
    await asked(target, waitMs, async ({ sdk }): Promise<ListResponse> => sdk.list()),
  );
  const found = Array.isArray(models) ? models.map(installedOf) : [];
  return found.filter(({ name }) => NAME.test(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function installedOf(model: unknown): InstalledModel {
  const { name, size, modified_at, details } = fields(model);
  const { parameter_size, quantization_level } = fields(details);
  return {
    name: stringOf(name),
    bytes: typeof size === 'number' ? size : 0,
    modifiedAt: stringOf(modified_at),
    parameters: stringOf(parameter_size),
    quantization: stringOf(quantization_level),
  };
}

export async function deleteModel(target: OllamaTarget, model: string): Promise<void> {
  checkName(model);
  await asked({ ...target, model }, ANSWER_MS, async ({ sdk }) => sdk.delete({ model }));
}

/** Fetches a model into it. `stopped`: `signal` said so. */
export async function pullModel(
  target: OllamaTarget,
  model: string,
  { onProgress = () => {}, signal, idleMs = PULL_IDLE_MS }: PullOptions = {},
): Promise<'pulled' | 'stopped'> {
  checkName(model);
  const place = placeOf({ ...target, model });
  const silence = new AbortController();
  const ends = AbortSignal.any([silence.signal, ...(signal === undefined ? [] : [signal])]);
  const timer = setTimeout(() => silence.abort(), idleMs);
  try {
    const call = await ollamaCall({
      ...{ ...place, signal: ends, lineBytes: MAX_PROGRESS_BYTES },
      onBytes: () => timer.refresh(),
    });
    let last = '';
    for await (const piece of await streamed(call, (sdk) => sdk.pull({ model, stream: true }))) {
      last = stringOf(fields(piece).status);
      onProgress(progressOf(piece));
    }
    if (last === 'success') return 'pulled';
    throw new UserError(
      'pull_cut',
      `The pull of ${model} broke off: pull it again, it goes on from there.`,
      1,
    );
  } catch (error) {
    if (signal?.aborted === true) return 'stopped';
    if (silence.signal.aborted) throw userError(timeoutFailure(place.origin, idleMs, { begun: true }));
    throw error instanceof StreamError ? notPulled(model, error, place.origin) : refusal(error, place.origin);
  } finally {
    clearTimeout(timer);
  }
}

function progressOf(piece: ProgressResponse): PullProgress {
  const { status, digest, total, completed } = fields(piece);
  const named = stringOf(digest);
  return {
    status: stringOf(status),
    ...(named === '' ? {} : { digest: named }),
    ...(typeof total === 'number' ? { total } : {}),
    ...(typeof completed === 'number' ? { completed } : {}),
  };
}

/** Its library says of a name that it does not know that a file is missing. */
function notPulled(model: string, { error }: StreamError, origin: Origin): UserError {
  const said = tidy(stringOf(error), origin);
  const cure = /file does not exist|not found/i.test(said)
    ? ': check its name at https://ollama.com/library'
    : '';
  return new UserError('pull_failed', `${model} was not pulled (${said})${cure}.`, 1);
}

/** `HOST/NAMESPACE/NAME:TAG`, of which only the name must be there. */
const NAME = /^[A-Za-z0-9][\w.:/-]{0,255}$/;

function checkName(model: string): void {
  if (NAME.test(model)) return;
  const found = JSON.stringify(model.slice(0, 60));
  throw new UserError('bad_model_name', `A model's name looks like qwen3:8b; found ${found}.`);
}

interface Place {
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly origin: Origin;
}

function placeOf({
  provider,
  model = '',
  baseUrl,
  apiKey,
  headers = {},
}: OllamaTarget & { model?: string }): Place {
  const url = ollamaBaseUrl(baseUrl);
  const key = apiKey === undefined ? {} : { apiKey };
  const origin = originOf({ provider, model, headers, ...key }, url);
  const sent = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  return {
    baseUrl: url,
    headers: { ...userHeaders(url), ...keyHeaders(origin.apiKey), ...Object.fromEntries(sent) },
    origin,
  };
}

async function asked<Answer>(
  target: OllamaTarget & { readonly model?: string },
  waitMs: number,
  ask: (call: Awaited<ReturnType<typeof ollamaCall>>) => Promise<Answer>,
): Promise<Answer> {
  const { baseUrl, headers, origin } = placeOf(target);
  try {
    return await ask(await ollamaCall({ baseUrl, headers, signal: AbortSignal.timeout(waitMs) }));
  } catch (error) {
    throw refusal(error, origin);
  }
}

function refusal(error: unknown, origin: Origin): UserError {
  if (error instanceof UserError) return error;
  return userError(toFailure(error, origin, { stage: 'connecting', now: systemClock() }));
}

const WRONG_USE = ['model_not_found', 'bad_request'];

function userError({ code, message }: { readonly code: string; readonly message: string }): UserError {
  return new UserError(code, message, WRONG_USE.includes(code) ? 2 : 3);
}
