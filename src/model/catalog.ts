/** Which models the configured providers have, what is known of them, and where from. */
import { systemClock } from '../clock.ts';
import type { ProviderConfig } from '../config.ts';
import type { Failure } from '../core/errors.ts';
import type { ModelSettings, ProviderKind } from '../core/provider.ts';
import { kindOf } from './kinds.ts';
import { namesOf } from './known-models.ts';
import { LIST_TIMEOUT_MS, type Listed, type ListedModel, listModels } from './list-models.ts';
import { offersOf } from './makers.ts';
import { keptOf, type SaidOfModels, saidByPeople } from './model-settings.ts';
import { listOciModels } from './oci-models.ts';

/** What a person says in settings, what its provider says, what is kept of it: the first counts. */
export const SOURCES = ['settings', 'provider', 'kept'] as const;
export type CatalogSource = (typeof SOURCES)[number];

export interface CatalogModel {
  /** `provider/model`. */
  readonly model: string;
  readonly info: ModelSettings;
  readonly from: readonly CatalogSource[];
}

export interface CatalogProvider {
  readonly provider: string;
  readonly kind: ProviderKind;
  /** On this machine: it needs no key. */
  readonly isLocal: boolean;
  readonly models: readonly CatalogModel[];
  /** Why it could not be asked. */
  readonly problem?: Failure;
}

/** What a provider said is believed for that long: whoever may read it must not be able to have it asked without end. */
export const ASKED_MS = 60_000;

export interface CatalogQuery {
  /** Whether the providers are asked too which models they have. */
  readonly ask: boolean;
  /** One of them. */
  readonly only?: string;
}

export interface CatalogOptions {
  /** What is said of models, whoever has them. */
  readonly said?: SaidOfModels | undefined;
  /** A provider's own default. */
  readonly defaultOf?: (provider: string) => string | undefined;
  /** Where lists are kept that are good for longer. */
  readonly dataDir?: string | undefined;
  readonly timeoutMs?: number;
  readonly askedMs?: number;
  readonly clock?: () => number;
}

export class Catalog {
  readonly #providers: ReadonlyMap<string, ProviderConfig>;
  readonly #options: CatalogOptions;
  readonly #asked = new Map<string, { readonly at: number; readonly listed: Promise<Listed> }>();

  constructor(providers: ReadonlyMap<string, ProviderConfig>, options: CatalogOptions = {}) {
    this.#providers = providers;
    this.#options = options;
  }

  /** All of them at once. Never throws. */
  async list({ ask, only }: CatalogQuery): Promise<CatalogProvider[]> {
    const names = [...this.#providers.keys()].filter((name) => only === undefined || name === only);
    return Promise.all(names.map((name) => this.#provider(name, ask)));
  }

  async #provider(name: string, ask: boolean): Promise<CatalogProvider> {
    const config = this.#providers.get(name) ?? {};
    const listed = ask ? await this.#listed(name, config) : undefined;
    const models = this.#models(name, config, listed);
    const { isLocal } = offersOf(name, config);
    const problem = listed !== undefined && 'problem' in listed ? { problem: listed.problem } : {};
    return { provider: name, kind: kindOf(name, config), isLocal, models, ...problem };
  }

  #models(name: string, config: ProviderConfig, listed: Listed | undefined): CatalogModel[] {
    const offers = offersOf(name, config);
    const told = listed !== undefined && 'models' in listed ? listed.models : undefined;
    const own = this.#options.defaultOf?.(name);
    const names = new Set([
      ...(own === undefined ? [] : [own]),
      ...Object.keys(config.models ?? {}),
      ...saidAt(name, this.#options.said ?? {}),
      ...(told?.map((model) => model.name) ?? namesOf(offers.maker)),
    ]);
    const byName = new Map(told?.map((model) => [model.name, model]));
    return [...names].map((model) =>
      this.#model(`${name}/${model}`, config, { model, told: byName.get(model) }),
    );
  }

  #model(
    shown: string,
    config: ProviderConfig,
    { model, told }: { readonly model: string; readonly told: ListedModel | undefined },
  ): CatalogModel {
    const provider = shown.slice(0, -model.length - 1);
    const settings = saidByPeople(provider, config, { model, models: this.#options.said });
    const parts = {
      settings,
      provider: told?.info ?? {},
      kept: keptOf(provider, config, model),
    };
    const from = SOURCES.filter((source) =>
      source === 'provider' ? told !== undefined : Object.keys(parts[source]).length > 0,
    );
    return { model: shown, info: { ...parts.kept, ...parts.provider, ...parts.settings }, from };
  }

  #listed(name: string, config: ProviderConfig): Promise<Listed> {
    const { timeoutMs = LIST_TIMEOUT_MS, askedMs = ASKED_MS, clock = systemClock } = this.#options;
    const before = this.#asked.get(name);
    if (before !== undefined && clock() - before.at < askedMs) return before.listed;
    const asked = this.#ask(name, config, timeoutMs);
    this.#asked.set(name, { at: clock(), listed: asked });
    return asked;
  }

  #ask(name: string, config: ProviderConfig, timeoutMs: number): Promise<Listed> {
    const { apiKey, apiKeyVariable, baseUrl, headers } = config;
    const { dataDir } = this.#options;
    if (kindOf(name, config) === 'oci' && dataDir !== undefined) return ociListed(name, config, dataDir);
    return listModels(
      {
        ...{ provider: name, kind: kindOf(name, config) },
        ...(apiKey === undefined ? {} : { apiKey }),
        ...(apiKeyVariable === undefined ? {} : { apiKeyVariable }),
        ...(baseUrl === undefined ? {} : { baseUrl }),
        ...(headers === undefined ? {} : { headers }),
      },
      timeoutMs,
    );
  }
}

/** The models of a provider that are named with it. */
function saidAt(provider: string, said: SaidOfModels): string[] {
  const prefix = `${provider}/`;
  return Object.keys(said).flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
}

async function ociListed(provider: string, config: ProviderConfig, dataDir: string): Promise<Listed> {
  const { baseUrl } = config;
  const options = { provider, model: '', ...(baseUrl === undefined ? {} : { baseUrl }), oci: config };
  const listed = await listOciModels(options, { dataDir });
  return 'problem' in listed ? listed : { models: listed.models.map(({ name }) => ({ name, info: {} })) };
}
