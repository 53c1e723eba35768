/** Makes the cheapest request that shows whether a provider can be used, and says in a sentence what came of it. */

import type { CatalogProvider } from './catalog.ts';
import type { FailedRequest, Model, ModelAnswer, ModelRequest } from './model.ts';

/** Tokens of the answer that is asked for: the fewest that every API takes. */
export const TRIED_TOKENS = 16;

export interface Tried {
  readonly provider: string;
  /** `provider/model`; none where it is not known which to ask. */
  readonly model: string | null;
  readonly ok: boolean;
  /** What went wrong. */
  readonly code: string | null;
  /** One sentence, and what to do. */
  readonly message: string;
  readonly latencyMs: number | null;
  /** The model as the provider calls it. */
  readonly answeredAs: string | null;
}

export interface TryOptions {
  /** `provider/model`; the first that the provider says it has where left out. */
  readonly model: string | undefined;
  readonly resolve: (name: string) => Model;
  /** Asks which models the provider has. */
  readonly list: () => Promise<CatalogProvider | undefined>;
  readonly signal?: AbortSignal;
}

export async function tryProvider(provider: string, options: TryOptions): Promise<Tried> {
  const named = options.model ?? (await firstOf(provider, options.list));
  if (typeof named !== 'string') return { ...failed(provider, null), ...named };
  const model = options.resolve(named);
  const began = performance.now();
  const end = await ask(model, options.signal ?? new AbortController().signal);
  const latencyMs = Math.round(performance.now() - began);
  if (!('kind' in end)) return answered(provider, model.name, { latencyMs, as: end.model });
  // An answer that was cut before its first word is one too: key, address and model are right.
  if (/max_tokens or model output limit/i.test(end.message))
    return answered(provider, model.name, { latencyMs, as: named.slice(provider.length + 1) });
  return {
    ...failed(provider, model.name),
    latencyMs,
    ...(await explained(end, { provider, named, ...options })),
  };
}

async function ask(model: Model, signal: AbortSignal): Promise<ModelAnswer | FailedRequest> {
  const request: ModelRequest = {
    system: '',
    messages: [{ role: 'user', text: 'Say OK.' }],
    tools: [],
    maxTokens: TRIED_TOKENS,
    trace: { sessionId: 'none', taskId: 'none', turn: 0 },
  };
  for await (const event of model.stream(request, signal)) {
    if (event.type === 'finished') return event.answer;
    if (event.type === 'failed') return event.failure;
  }
  throw new Error(`the stream of ${model.name} ended without its last event`);
}

type Wrong = Pick<Tried, 'code' | 'message'>;

async function firstOf(provider: string, list: TryOptions['list']): Promise<string | Wrong> {
  const { models = [], problem } = (await list()) ?? {};
  const [first] = models;
  if (first !== undefined) return first.model;
  if (problem !== undefined && problem.code !== 'models_not_listed') return withRemedy(problem);
  const found = problem === undefined ? 'has no models' : 'does not say which models it has';
  return { code: 'no_model', message: `Provider ${provider} ${found}: name one, ${provider}/MODEL.` };
}

/** Of an address that serves something else "not found" says as little of a model as of anything. */
async function explained(
  failure: FailedRequest,
  { provider, named, list }: TryOptions & { readonly provider: string; readonly named: string },
): Promise<Wrong> {
  if (failure.code !== 'model_not_found') return withRemedy(failure);
  const { models = [], problem } = (await list()) ?? {};
  const unasked = problem?.code === 'models_not_listed' || problem?.code === 'bad_endpoint';
  if (unasked) {
    const message = `${failure.message} Nor does it list any: check the base URL of provider ${provider}.`;
    return { code: 'bad_endpoint', message };
  }
  const told = models.filter(({ from, model }) => from.includes('provider') && model !== named);
  if (told.length === 0) return withRemedy(failure);
  const names = told.slice(0, MAX_NAMED).map(({ model }) => model);
  const more = told.length > names.length ? ', …' : '';
  return {
    code: failure.code,
    message: `${failure.message} It has ${names.join(', ')}${more}: name one of them.`,
  };
}

const MAX_NAMED = 5;

const REMEDIES: Readonly<Record<string, string>> = {
  model_not_found: 'Check its name: `capybara models list` has what there is.',
  provider_unreachable: 'Check the address, that it runs, and the network.',
  provider_timeout: 'Try again; of a slow one raise firstTokenSeconds.',
  rate_limited: 'Address and key are right: try again later.',
  provider_unavailable: 'Try again later.',
};

function withRemedy({ code, message }: { readonly code: string; readonly message: string }): Wrong {
  const remedy = REMEDIES[code];
  return { code, message: remedy === undefined ? message : `${message} ${remedy}` };
}

function answered(
  provider: string,
  model: string,
  { latencyMs, as }: { readonly latencyMs: number; readonly as: string },
): Tried {
  const message = `${model} answered in ${latencyMs} ms, as ${as}.`;
  return { provider, model, ok: true, code: null, message, latencyMs, answeredAs: as };
}

/** Not tried, and not yet said why. */
export function failed(provider: string, model: string | null): Tried {
  return { provider, model, ok: false, code: null, message: '', latencyMs: null, answeredAs: null };
}
