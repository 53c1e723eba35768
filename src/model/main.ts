/** The main file of commands that look at the providers of this machine: what is configured, whether it answers, what it has. */
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { PROVIDER_KINDS, type ProviderKind } from '../core/provider.ts';
import { kindOf } from './kinds.ts';
import { offersOf, WELL_KNOWN } from './makers.ts';
import { withFoundOllama } from './ollama-discovery.ts';
import { createModels, type ModelRegistry } from './providers.ts';
import { type ShownModels, showModels } from './shown-models.ts';
import { failed, type Tried, tryProvider } from './try-provider.ts';

export interface ProviderHere {
  readonly provider: string;
  readonly kind: ProviderKind;
  /** Its own where null. */
  readonly baseUrl: string | null;
  /** A key is there; none is; or none is needed. */
  readonly key: 'set' | 'none' | 'not needed';
  readonly defaultModel: string | null;
}

/** Those that are configured here, or the Ollama of this machine where none is, as everywhere in this file. */
export async function providersHere(given: Config): Promise<ProviderHere[]> {
  const { settings: config } = await withFoundOllama(given);
  const registry = registryOf(config);
  return registry.list().map(({ provider, kind, baseUrl, defaultModel }) => {
    const settings = config.providers[provider] ?? {};
    const hasKey = settings.apiKey !== undefined;
    const isFree = offersOf(provider, settings).isLocal || ['oci', 'replay'].includes(kind);
    const needsNone = isFree && settings.apiKeyVariable === undefined;
    return {
      provider,
      kind,
      baseUrl: baseUrl === undefined ? null : withoutSecrets(baseUrl),
      key: hasKey ? 'set' : needsNone ? 'not needed' : 'none',
      defaultModel: defaultModel ?? null,
    };
  });
}

/** Who answers where nobody is named: `provider/model`; undefined where that is not known. */
export async function usualModel(config: Config): Promise<string | undefined> {
  const { settings } = await withFoundOllama(config);
  return configuredModel(registryOf(settings));
}

/** Their models; what they say themselves, too. */
export async function modelsHere(config: Config): Promise<ShownModels> {
  const { settings } = await withFoundOllama(config);
  return showModels(registryOf(settings), true);
}

/** Asks one of them, or each, for a tiny answer. Throws `UserError` where there is none, or none of that name. */
export async function tryProviders(config: Config, named: string | undefined): Promise<Tried[]> {
  const { settings } = await withFoundOllama(config);
  const registry = registryOf(settings);
  const providers = registry.list().map(({ provider }) => provider);
  const [name, model] = split(named);
  if (providers.length === 0) throw noProvider();
  if (name !== undefined && !providers.includes(name)) throw notConfigured(name, providers);
  const asked = name === undefined ? providers : [name];
  const tried: Tried[] = [];
  // One after the other: each is timed by itself.
  for (const provider of asked)
    tried.push(await tryOne(registry, provider, model ?? usualOf(registry, provider)));
  return tried;
}

async function tryOne(registry: ModelRegistry, provider: string, model: string | undefined): Promise<Tried> {
  try {
    return await tryProvider(provider, {
      model: model === undefined ? undefined : `${provider}/${model}`,
      resolve: (name) => registry.resolve(name),
      list: async () => (await registry.catalog({ ask: true, only: provider }))[0],
    });
  } catch (error) {
    // One that cannot be used as it is configured says nothing of the others.
    if (!(error instanceof UserError)) throw error;
    return { ...failed(provider, null), code: error.code, message: error.message };
  }
}

/** The configured model where it is this provider's, else the provider's own. */
function usualOf(registry: ModelRegistry, provider: string): string | undefined {
  const prefix = `${provider}/`;
  const own = registry.list().find((found) => found.provider === provider)?.defaultModel;
  const usual = [configuredModel(registry), own].find((name) => name?.startsWith(prefix));
  return usual?.slice(prefix.length);
}

function configuredModel(registry: ModelRegistry): string | undefined {
  try {
    return registry.resolve().name;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** A provider that can be used with a model: throws the `UserError` that a task with it would be refused with. */
export async function chosenModel(given: Config, named: string): Promise<string> {
  const { settings: config } = await withFoundOllama(given);
  const registry = registryOf(config);
  const [name = '', model] = split(named);
  const found = registry.list().find(({ provider }) => provider === name);
  if (model !== undefined || Object.hasOwn(config.aliases, named)) return checked(registry, named);
  if (found === undefined)
    throw notConfigured(
      name,
      registry.list().map(({ provider }) => provider),
    );
  if (found.defaultModel !== undefined) return checked(registry, found.defaultModel);
  const message = `Provider ${name} has no model of its own choice: name one, \`capybara providers use ${name}/MODEL\`; \`capybara models list\` has what there is.`;
  throw new UserError('no_model', message);
}

function checked(registry: ModelRegistry, named: string): string {
  registry.resolve(named);
  return named;
}

export interface NewProvider {
  readonly kind: ProviderKind;
  /** None: its own. */
  readonly baseUrl: string | undefined;
  readonly isLocal: boolean;
}

/** What a provider of that name would be. Throws `UserError` where nothing says where it is. */
export function newProvider(
  name: string,
  given: { readonly kind?: string | undefined; readonly baseUrl?: string | undefined },
): NewProvider {
  if (given.baseUrl !== undefined && !/^https?:$/.test(URL.parse(given.baseUrl)?.protocol ?? ''))
    throw new UserError(
      'bad_url',
      `--url ${JSON.stringify(withoutSecrets(given.baseUrl))} is no address of an API: expected a URL, https://….`,
    );
  const kind = PROVIDER_KINDS.find((known) => known === given.kind);
  const known = Object.hasOwn(WELL_KNOWN, name) ? WELL_KNOWN[name] : undefined;
  const baseUrl = given.baseUrl ?? (kind === undefined || kind === known?.kind ? known?.baseUrl : undefined);
  const isOwn = ['anthropic', 'openai', 'ollama', 'oci', 'replay'].includes(kind ?? name);
  if (baseUrl === undefined && !isOwn) {
    const names = ['anthropic', 'openai', ...Object.keys(WELL_KNOWN)].join(', ');
    const message = `Nothing says where ${name} is: pass --url, or take one of the known names (${names}).`;
    throw new UserError('provider_incomplete', message);
  }
  const settings = { kind, baseUrl };
  return { kind: kindOf(name, settings), baseUrl, isLocal: offersOf(name, settings).isLocal };
}

function registryOf({ providers, model, aliases, models, ...config }: Config): ModelRegistry {
  const { modelFirstTokenSeconds: first, modelIdleSeconds: idle } = config;
  const timeouts = { ...(first === undefined ? {} : { firstTokenMs: first * 1_000 }), idleMs: idle * 1_000 };
  return createModels(providers, { model, aliases, models, timeouts });
}

/** `work/org/model` → `['work', 'org/model']`. */
function split(named: string | undefined): [string?, string?] {
  if (named === undefined) return [];
  const slash = named.indexOf('/');
  return slash < 0 ? [named] : [named.slice(0, slash), named.slice(slash + 1)];
}

/** User, password and query of an address may be keys. */
function withoutSecrets(baseUrl: string): string {
  const url = URL.parse(baseUrl);
  return url === null ? baseUrl : `${url.protocol}//${url.host}${url.pathname}`.replace(/\/$/, '');
}

function noProvider(): UserError {
  const message =
    'No model provider is configured here: `capybara providers add NAME` adds one, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.';
  return new UserError('no_provider', message);
}

function notConfigured(name: string, providers: readonly string[]): UserError {
  const found = providers.length === 0 ? 'there is none' : `there are ${providers.join(', ')}`;
  const message = `There is no provider ${JSON.stringify(name)} here, ${found}: add it with \`capybara providers add\`.`;
  return new UserError('unknown_provider', message);
}
