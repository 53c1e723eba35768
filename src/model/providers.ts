import type { ProviderConfig, ProvidersConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { createAnthropicModel } from './anthropic.ts';
import type { ModelOptions } from './connection.ts';
import type { Model } from './model.ts';
import { createOpenAiModel } from './openai.ts';

type ProviderName = keyof ProvidersConfig;

interface Provider {
  readonly create: (options: ModelOptions) => Model;
  /** The coding model that is used where none is named; none for an endpoint that we know nothing about. */
  readonly defaultModel?: string;
}

const PROVIDERS: Readonly<Record<ProviderName, Provider>> = {
  anthropic: { create: createAnthropicModel, defaultModel: 'claude-opus-5-5' },
  openai: { create: createOpenAiModel, defaultModel: 'gpt-5.5' },
  env: { create: createOpenAiModel },
};

export interface ProviderInfo {
  readonly provider: string;
  /** Its own address where undefined. */
  readonly baseUrl?: string;
  /** `provider/model`, where there is one. */
  readonly defaultModel?: string;
}

export interface Models {
  /**
   * The model of a name: `provider/model`, or a model name alone where one provider is configured (with a slash in it only
   * at an address of the user's own), or the default where undefined. Throws a `UserError`: `no_provider`, `no_model` or `unknown_model`.
   */
  resolve(name?: string): Model;
  list(): ProviderInfo[];
}

type ModelLimits = Pick<ModelOptions, 'timeouts' | 'answerBytes' | 'images'>;

/** The models that can be used with the configured providers. `model` is the configured model's name. */
export function createModels(
  providers: ProvidersConfig,
  { model: named, ...limits }: { readonly model?: string | undefined } & ModelLimits = {},
): Models {
  const configured = configuredOf(providers);
  const models = new Map<string, Model>();
  return {
    resolve(name) {
      if (configured.size === 0) throw noProvider();
      const [provider, model] = pick(configured, given(name) ?? given(named));
      const key = `${provider}/${model}`;
      const options = { ...optionsOf(provider, model, configured), ...limits };
      const made = models.get(key) ?? PROVIDERS[provider].create(options);
      models.set(key, made);
      return made;
    },
    list: () => [...configured].map(([provider, config]) => infoOf(provider, config)),
  };
}

type Configured = ReadonlyMap<ProviderName, ProviderConfig>;

/** A provider counts as configured with a key or an address. */
function configuredOf(providers: ProvidersConfig): Configured {
  const names = Object.keys(PROVIDERS) as ProviderName[];
  return new Map(
    names.flatMap((name): [ProviderName, ProviderConfig][] => {
      const config = providers[name];
      return config !== undefined && (given(config.apiKey) || given(config.baseUrl)) ? [[name, config]] : [];
    }),
  );
}

function given(text: string | undefined): string | undefined {
  return text?.trim() || undefined;
}

function pick(configured: Configured, name: string | undefined): [ProviderName, string] {
  if (name === undefined) return pickDefault(configured);
  const slash = name.indexOf('/');
  const prefix = [...configured.keys()].find((provider) => slash > 0 && provider === name.slice(0, slash));
  const model = prefix === undefined ? name : name.slice(slash + 1);
  const provider = prefix ?? onlyOne(configured);
  if (provider !== undefined && prefix === undefined && slash >= 0 && isAtOwnAddress(provider, configured)) {
    throw unknownModel(name, configured);
  }
  if (provider === undefined) throw unknownModel(name, configured);
  if (model.trim() === '') throw noModel(`the name "${name}" has no model after its provider`);
  return [provider, model.trim()];
}

/** No model of Anthropic or OpenAI themselves has a slash in its name; behind gateways they do. */
function isAtOwnAddress(provider: ProviderName, configured: Configured): boolean {
  return provider !== 'env' && given(configured.get(provider)?.baseUrl) === undefined;
}

function pickDefault(configured: Configured): [ProviderName, string] {
  const provider = onlyOne(configured);
  if (provider === undefined) throw noModel(`none of the providers ${listed(configured)} is the default`);
  const model = PROVIDERS[provider].defaultModel;
  if (model === undefined) throw noModel('an endpoint of your own has no default model');
  return [provider, model];
}

function onlyOne(configured: Configured): ProviderName | undefined {
  return configured.size === 1 ? [...configured.keys()][0] : undefined;
}

function optionsOf(provider: ProviderName, model: string, configured: Configured): ModelOptions {
  const apiKey = given(configured.get(provider)?.apiKey);
  const baseUrl = given(configured.get(provider)?.baseUrl);
  return { provider, model, ...(apiKey ? { apiKey } : {}), ...(baseUrl ? { baseUrl } : {}) };
}

function infoOf(provider: ProviderName, config: ProviderConfig): ProviderInfo {
  const { defaultModel } = PROVIDERS[provider];
  const baseUrl = given(config.baseUrl);
  return {
    provider,
    ...(baseUrl ? { baseUrl } : {}),
    ...(defaultModel ? { defaultModel: `${provider}/${defaultModel}` } : {}),
  };
}

function listed(configured: Configured): string {
  return [...configured.keys()].join(', ');
}

function noProvider(): UserError {
  return new UserError(
    'no_provider',
    'No model provider is configured: set ANTHROPIC_API_KEY, OPENAI_API_KEY, or CAPYBARA_MODEL_ENDPOINT (with ' +
      'CAPYBARA_MODEL_API_KEY if it wants a key), and CAPYBARA_MODEL to the model to use.',
  );
}

function noModel(why: string): UserError {
  return new UserError('no_model', `No model was named, and ${why}: set CAPYBARA_MODEL or pass --model.`);
}

function unknownModel(name: string, configured: Configured): UserError {
  const names = listed(configured);
  const message = `Model "${name}" names no configured provider (found: ${names}): write it as provider/model.`;
  return new UserError('unknown_model', message);
}
