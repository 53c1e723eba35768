import { UserError } from '../core/errors.ts';
import type { ProviderKind } from '../core/provider.ts';
import { kindOf } from './kinds.ts';
import type { OllamaTarget } from './ollama-admin.ts';
import { hasProvider } from './ollama-discovery.ts';

interface Configured extends Omit<OllamaTarget, 'provider'> {
  readonly kind?: ProviderKind | undefined;
}

type Providers = Readonly<Record<string, Configured>>;

/** Those of a configuration. */
export function configuredOllamas(providers: Providers): readonly OllamaTarget[] {
  return Object.entries(providers)
    .filter(([name, settings]) => kindOf(name, settings) === 'ollama')
    .map(([provider, settings]) => ({ provider, ...settings }));
}

/** The one of this machine, where none is configured. */
const OWN: OllamaTarget = { provider: 'ollama' };

interface Asked {
  /** `PROVIDER/MODEL`, or the model's name alone. */
  readonly name: string;
  /** Whose it is, where a person said so beside its name. */
  readonly provider?: string | undefined;
  readonly offline: boolean;
}

export interface ChosenModel {
  readonly target: OllamaTarget;
  readonly model: string;
}

/** Which model of which Ollama is meant. Throws `UserError`: `unknown_provider`, `several_providers` or `no_provider`. */
export function chooseModel(providers: Providers, { name, provider, offline }: Asked): ChosenModel {
  const configured = configuredOllamas(providers);
  const all = configured.length > 0 || offline ? configured : [OWN];
  const meant = provider ?? all.find((each) => name.startsWith(`${each.provider}/`))?.provider;
  const model = provider === undefined && meant !== undefined ? name.slice(meant.length + 1) : name;
  return { model, target: oneOf(all, meant) };
}

/** The Ollama of this machine is a provider by itself only where none is configured. */
export function howToUse(providers: Providers, provider: string): string {
  const isThere = Object.hasOwn(providers, provider) || !hasProvider({ providers });
  return isThere ? 'use it with' : `add it with \`capybara providers add ${provider}\`, then use it with`;
}

function oneOf(all: readonly OllamaTarget[], meant: string | undefined): OllamaTarget {
  const [first, ...others] = all;
  if (first === undefined)
    throw new UserError(
      'no_provider',
      'No Ollama is configured, and offline only what is configured is contacted: add it to your providers.',
    );
  const names = all.map((each) => each.provider).join(', ');
  const found = meant === undefined ? first : all.find((each) => each.provider === meant);
  if (found === undefined)
    throw new UserError(
      'unknown_provider',
      `There is no Ollama ${JSON.stringify(meant)}; there is ${names}.`,
    );
  if (meant !== undefined || others.length === 0) return found;
  throw new UserError('several_providers', `There are several Ollamas (${names}): name one with --provider.`);
}
