import type { ModelSettings, ProviderKind } from '../core/provider.ts';

/** What the kept data says of a model. Nothing where it does not know it. */
export function knownModel(_kind: ProviderKind, _model: string): ModelSettings {
  return {};
}
