import type { z } from 'zod';
import { UserError } from '../core/errors.ts';
import type { CatalogModel } from '../model/catalog.ts';
import { knownModels } from '../model/known-models.ts';
import type { ModelRegistry } from '../model/providers.ts';
import type { Models, ModelsQuery, OfferedModel } from './wire-models.ts';

/** Addresses are left out: an operator may have put a password into one. */
export async function showModels(
  models: ModelRegistry,
  { ask }: z.infer<typeof ModelsQuery>,
): Promise<Models> {
  const own = new Map(models.list().map(({ provider, defaultModel }) => [provider, defaultModel]));
  const providers = await models.catalog({ ask: ask === 'true' });
  const data = providers.map(({ provider, kind, models: offered, problem }) => ({
    provider,
    kind,
    defaultModel: own.get(provider) ?? null,
    models: offered.map(showModel),
    problem: problem?.message ?? null,
  }));
  return { data, default: defaultOf(models), keptAsOf: knownModels().asOf };
}

function showModel({ model, info, from }: CatalogModel): OfferedModel {
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
