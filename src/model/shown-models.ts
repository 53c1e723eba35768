/** The configured providers and their models, as people and programs are shown them. */
import { UserError } from '../core/errors.ts';
import type { Prices } from '../core/provider.ts';
import type { CatalogModel, CatalogSource } from './catalog.ts';
import { knownModels } from './known-models.ts';
import type { ModelRegistry } from './providers.ts';

export interface ShownModels {
  readonly data: ShownProvider[];
  /** `provider/model` of a task that names none. */
  readonly default: string | null;
  /** The day of the kept data. */
  readonly keptAsOf: string;
}

/** Addresses are left out: an operator may have put a password into one. */
interface ShownProvider {
  readonly provider: string;
  readonly kind: string;
  readonly defaultModel: string | null;
  readonly models: ShownModel[];
  readonly problem: string | null;
}

interface ShownModel {
  readonly model: string;
  readonly contextTokens: number | null;
  readonly outputTokens: number | null;
  readonly images: boolean | null;
  readonly temperature: boolean | null;
  readonly prices: Prices | null;
  readonly from: CatalogSource[];
}

export async function showModels(models: ModelRegistry, ask: boolean): Promise<ShownModels> {
  const own = new Map(models.list().map(({ provider, defaultModel }) => [provider, defaultModel]));
  const providers = await models.catalog({ ask });
  const data = providers.map(({ provider, kind, models: offered, problem }) => ({
    provider,
    kind,
    defaultModel: own.get(provider) ?? null,
    models: offered.map(showModel),
    problem: problem?.message ?? null,
  }));
  return { data, default: defaultOf(models), keptAsOf: knownModels().asOf };
}

function showModel({ model, info, from }: CatalogModel): ShownModel {
  const { contextTokens, outputTokens, images, temperature, prices } = info;
  return {
    model,
    contextTokens: contextTokens ?? null,
    outputTokens: outputTokens ?? null,
    images: images ?? null,
    temperature: temperature ?? null,
    prices: prices ?? null,
    from: [...from],
  };
}

function defaultOf(models: ModelRegistry): string | null {
  try {
    return models.resolve().name;
  } catch (error) {
    // No provider, or none that is the default: then each task has to name its model.
    if (error instanceof UserError) return null;
    throw error;
  }
}
