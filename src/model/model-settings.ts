/** What holds for a model of a provider: what a person says of it, else the kept data. */
import type { ProviderConfig } from '../config.ts';
import type { ModelSettings } from '../core/provider.ts';
import { LOCAL_FIRST_TOKEN_MS, type Timeouts } from './connection.ts';
import { kindOf } from './kinds.ts';
import { knownModel, saidOf } from './known-models.ts';
import { offersOf } from './makers.ts';

/** What is known of models, by `provider/model`, or by their names alone, whoever offers them. */
export type SaidOfModels = Readonly<Record<string, ModelSettings>>;

export function settingsOf(
  provider: string,
  config: ProviderConfig,
  said: { readonly model: string; readonly models?: SaidOfModels | undefined },
): ModelSettings {
  return { ...keptOf(provider, config, said.model), ...saidByPeople(provider, config, said) };
}

/** What was recorded is played for nothing. */
export function keptOf(provider: string, config: ProviderConfig, model: string): ModelSettings {
  if (kindOf(provider, config) === 'replay') return { prices: { input: 0, output: 0 } };
  return knownModel(offersOf(provider, config), model);
}

/** What is said of its provider's model comes before what is said of all models of that name. */
export function saidByPeople(
  provider: string,
  config: ProviderConfig,
  { model, models = {} }: { readonly model: string; readonly models?: SaidOfModels | undefined },
): ModelSettings {
  return {
    ...saidOf(Object.entries(models), model),
    ...saidOf(Object.entries(models), `${provider}/${model}`),
    ...saidOf(Object.entries(config.models ?? {}), model),
  };
}

const SECOND = 1_000;

/** What is set for the provider comes before what is set for all. A model on one's own machine reads a long prompt for minutes. */
export function timeoutsOf(
  provider: string,
  config: ProviderConfig,
  all: Partial<Timeouts> = {},
): Partial<Timeouts> {
  const { firstTokenSeconds, idleSeconds } = config;
  const { isLocal } = offersOf(provider, config);
  const firstTokenMs = firstTokenSeconds === undefined ? all.firstTokenMs : firstTokenSeconds * SECOND;
  const idleMs = idleSeconds === undefined ? all.idleMs : idleSeconds * SECOND;
  return {
    ...(isLocal ? { firstTokenMs: LOCAL_FIRST_TOKEN_MS } : {}),
    ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
    ...(idleMs === undefined ? {} : { idleMs }),
  };
}
