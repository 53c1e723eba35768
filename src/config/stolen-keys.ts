/**
 * A directory may bring an endpoint of its own, with its own key. It may not choose where a key goes that the person set
 * elsewhere: whoever wrote the repository would receive it.
 */
import { UserError } from '../core/errors.ts';
import type { ProviderSettings } from './maps.ts';
import { metaOf, type SettingKey, type Source } from './settings.ts';

type Sources = Readonly<Record<SettingKey, Source>>;
type Providers = Readonly<Record<string, Partial<ProviderSettings>>>;

/** What says where a key is sent, and the key. */
const KEY_SENT_TO: readonly (readonly [endpoint: SettingKey, key: SettingKey])[] = [
  ['url', 'apiKey'],
  ['webSearch.url', 'webSearch.apiKey'],
  ['webSearch.provider', 'webSearch.apiKey'],
];

/** Providers whose endpoint a variable may say, and so `.env`. */
const PROVIDERS = ['anthropic', 'openai', 'env'] as const;

/** `providers`: merged of all places, before keys are read from their variables. Throws `UserError` `config_not_allowed`. */
export function refuseStolenKeys(
  sources: Sources,
  { isSet, providers }: { readonly isSet: (key: SettingKey) => boolean; readonly providers: Providers },
): void {
  for (const [endpoint, key] of KEY_SENT_TO)
    if (isSet(key)) refuseElsewhere(sources[endpoint], nameOf(key), sources[key]);
  for (const provider of PROVIDERS) {
    const endpoint = sources[`providers.${provider}.baseUrl`];
    for (const [name, source] of keysOf(provider, providers[provider] ?? {}, sources))
      refuseElsewhere(endpoint, name, source);
  }
}

/** All that is sent to a provider and is a secret or leads to one, and where it comes from. */
function keysOf(
  name: (typeof PROVIDERS)[number],
  { apiKey, apiKeyVariable, headers }: Partial<ProviderSettings>,
  sources: Sources,
): (readonly [name: string, source: Source])[] {
  const key = `providers.${name}.apiKey` as const;
  const ofItsOwn = sources[key].kind !== 'default';
  const [keyName, keySource] = ofItsOwn ? [nameOf(key), sources[key]] : [key, sources.providers];
  // The variable is read where there is no key beside it.
  const variable = apiKey === undefined ? apiKeyVariable : undefined;
  return [
    ...(apiKey === undefined ? [] : [[keyName, keySource] as const]),
    ...(variable === undefined ? [] : [[`providers.${name}.apiKeyVariable`, sources.providers] as const]),
    ...(headers === undefined ? [] : [[`providers.${name}.headers`, sources.providers] as const]),
  ];
}

function nameOf(key: SettingKey): string {
  return metaOf(key).env;
}

function refuseElsewhere(endpoint: Source, key: string, source: Source): void {
  if (endpoint.kind !== '.env' || source.kind === '.env') return;
  throw new UserError(
    'config_not_allowed',
    `${endpoint.name} comes from ${endpoint.where}, but ${key} does not ` +
      `(${source.where}): a directory may not choose where your key is sent; set both in one place.`,
  );
}
