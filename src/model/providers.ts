import type { ProviderConfig, ProvidersConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { ProviderKind } from '../core/provider.ts';
import { type Aliases, followAliases, throughAlias } from './aliases.ts';
import { createAnthropicModel } from './anthropic.ts';
import { Catalog, type CatalogProvider, type CatalogQuery } from './catalog.ts';
import { createChatModel } from './chat.ts';
import type { ModelOptions } from './connection.ts';
import { kindOf } from './kinds.ts';
import type { Model } from './model.ts';
import { type SaidOfModels, settingsOf, timeoutsOf } from './model-settings.ts';
import { createOciModel } from './oci.ts';
import { createOllamaModel } from './ollama.ts';
import { createOpenAiModel } from './openai.ts';
import { createReplayModel } from './replay.ts';
import { withinSettings } from './within.ts';

interface Kind {
  readonly create: (options: ModelOptions) => Model;
  /** The coding model that is used where none is named; none where we know nothing of what is there. */
  readonly defaultModel?: string;
}

/** Kinds that are not here yet are refused by name. */
const KINDS: Readonly<Partial<Record<ProviderKind, Kind>>> = {
  anthropic: { create: createAnthropicModel, defaultModel: 'claude-opus-5-5' },
  openai: { create: createOpenAiModel, defaultModel: 'gpt-5.5' },
  chat: { create: createChatModel },
  ollama: { create: createOllamaModel },
  oci: { create: createOciModel },
  replay: { create: createReplayModel, defaultModel: 'recording' },
};

export interface ProviderInfo {
  readonly provider: string;
  readonly kind: ProviderKind;
  /** Its own address where undefined. */
  readonly baseUrl?: string;
  /** `provider/model`, where there is one. */
  readonly defaultModel?: string;
}

export interface Models {
  /**
   * The model of a name: `provider/model`, a provider for its own choice, or a model name alone where one provider is configured (with a slash in it only
   * at an address of the user's own), an alias for either, or the default where undefined. Throws a `UserError`: `no_provider`,
   * `no_model`, `unknown_model` or `alias_cycle`.
   */
  resolve(name?: string): Model;
  list(): ProviderInfo[];
}

/** With what can be told of them. */
export interface ModelRegistry extends Models {
  /** The providers with their models, within a few seconds where they are asked. Never throws. */
  catalog(query: CatalogQuery): Promise<CatalogProvider[]>;
}

type ModelLimits = Pick<ModelOptions, 'timeouts' | 'answerBytes' | 'images'>;

interface Naming {
  /** The configured model. */
  readonly model?: string | undefined;
  /** Names for `provider/model`, or for each other. */
  readonly aliases?: Aliases;
  /** What is known of models, beside the kept data. */
  readonly models?: SaidOfModels | undefined;
  /** Capybara's data directory, where lists of models are kept. */
  readonly dataDir?: string;
}

/** The models that can be used with the configured providers. */
export function createModels(
  providers: ProvidersConfig,
  { model: named, aliases = {}, models: said, dataDir, ...limits }: Naming & ModelLimits = {},
): ModelRegistry {
  const configured = configuredOf(providers);
  const models = new Map<string, Model>();
  const defaultOf = (provider: string) => defaultModelOf(provider, configured.get(provider) ?? {});
  const catalog = new Catalog(configured, { said, defaultOf, dataDir });
  return {
    resolve(name) {
      if (configured.size === 0) throw noProvider();
      const asked = given(name) ?? given(named) ?? '';
      const target = followAliases(aliases, asked);
      const [provider, model] = throughAlias(asked, target, () => pick(configured, target || undefined));
      const key = `${provider}/${model}`;
      const made = models.get(key) ?? make([provider, model], configured, { ...limits, models: said });
      models.set(key, made);
      return made;
    },
    list: () => [...configured].map(([provider, config]) => infoOf(provider, config)),
    catalog: (query) => catalog.list(query),
  };
}

/** What holds for all models that are made. */
type Shared = ModelLimits & Pick<Naming, 'models'>;

function make(
  [provider, model]: readonly [string, string],
  configured: Configured,
  { timeouts, models, ...limits }: Shared,
): Model {
  const { create } = kindNamed(provider, configured);
  const config = configured.get(provider) ?? {};
  if (kindOf(provider, config) === 'chat' && !given(config.baseUrl)) throw noAddress(provider);
  const settings = settingsOf(provider, config, { model, models });
  return withinSettings(
    create({
      ...connectionOf(provider, model, config),
      ...limits,
      images: limits.images !== false && settings.images !== false,
      settings,
      timeouts: timeoutsOf(provider, config, timeouts),
    }),
  );
}

type Configured = ReadonlyMap<string, ProviderConfig>;

/** A provider counts as configured with a key or an address, or where it is said what kind it is. */
function configuredOf(providers: ProvidersConfig): Configured {
  return new Map(
    Object.entries(providers).filter(
      ([, { apiKey, baseUrl, kind }]) => kind !== undefined || given(apiKey) || given(baseUrl),
    ),
  );
}

function kindNamed(provider: string, configured: Configured): Kind {
  const kind = kindOf(provider, configured.get(provider) ?? {});
  const found = KINDS[kind];
  if (found !== undefined) return found;
  throw new UserError('unknown_kind', `Provider ${provider} is of kind ${kind}, which cannot be used.`);
}

function given(text: string | undefined): string | undefined {
  return text?.trim() || undefined;
}

function pick(configured: Configured, name: string | undefined): [string, string] {
  if (name === undefined) return pickDefault(configured);
  if (isProvider(name, configured)) return ownDefault(name, configured);
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

/** Of the only provider, one without a default, it may be the name of a model. */
function isProvider(name: string, configured: Configured): boolean {
  const config = configured.get(name);
  return config !== undefined && (configured.size > 1 || defaultModelOf(name, config) !== undefined);
}

function ownDefault(provider: string, configured: Configured): [string, string] {
  const model = defaultModelOf(provider, configured.get(provider) ?? {});
  if (model === undefined) throw noModel(`provider ${provider} has none of its own choice`);
  return [provider, model];
}

/** No model of Anthropic or OpenAI themselves has a slash in its name; behind gateways they do. */
function isAtOwnAddress(provider: string, configured: Configured): boolean {
  const isTheirs = provider === 'anthropic' || provider === 'openai';
  return isTheirs && given(configured.get(provider)?.baseUrl) === undefined;
}

function pickDefault(configured: Configured): [string, string] {
  const provider = onlyOne(configured);
  if (provider === undefined) throw noModel(`none of the providers ${listed(configured)} is the default`);
  return ownDefault(provider, configured);
}

function onlyOne(configured: Configured): string | undefined {
  return configured.size === 1 ? [...configured.keys()][0] : undefined;
}

function connectionOf(provider: string, model: string, config: ProviderConfig): ModelOptions {
  const { apiKey, apiKeyVariable, baseUrl, headers } = config;
  const [key, address] = [given(apiKey), given(baseUrl)];
  return {
    provider,
    model,
    ...(key ? { apiKey: key } : {}),
    ...(apiKeyVariable === undefined ? {} : { apiKeyVariable }),
    ...(address ? { baseUrl: address } : {}),
    ...(headers === undefined ? {} : { headers }),
    oci: config,
    replay: config,
  };
}

/** A gateway that stands in for OpenAI, by its variables, has OpenAI's models. */
function defaultModelOf(provider: string, config: ProviderConfig): string | undefined {
  const kind = kindOf(provider, config);
  return KINDS[provider === 'openai' && kind === 'chat' ? 'openai' : kind]?.defaultModel;
}

function infoOf(provider: string, config: ProviderConfig): ProviderInfo {
  const defaultModel = defaultModelOf(provider, config);
  const baseUrl = given(config.baseUrl);
  return {
    provider,
    kind: kindOf(provider, config),
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

function noAddress(provider: string): UserError {
  const setting = provider === 'env' ? 'CAPYBARA_MODEL_ENDPOINT' : `providers.${provider}.baseUrl`;
  return new UserError(
    'provider_incomplete',
    `Provider ${provider} has no address: set ${setting} to its URL.`,
  );
}

function noModel(why: string): UserError {
  const message = `No model was named, and ${why}: set CAPYBARA_MODEL or pass --model; \`capybara models list\` has what there is.`;
  return new UserError('no_model', message);
}

function unknownModel(name: string, configured: Configured): UserError {
  const names = listed(configured);
  const message = `Model "${name}" names no configured provider (found: ${names}): write it as provider/model.`;
  return new UserError('unknown_model', message);
}
