/** Where among the settings secrets are: for what must not show them, and for who checks that nobody else can read them. */
import type { Config, LoadedConfig, McpServerSettings } from '../config.ts';
import { metaOf, SETTING_KEYS, type SettingKey } from './settings.ts';

/** Every secret that is set, as it stands in texts; the longest first, since one may be a part of another. */
export function secretsIn(config: Config): string[] {
  const { apiKey = '', encryptionKey = [], webSearch, git, mcp, providers, tracing } = config;
  const passwords = addresses(config).map((url) => URL.parse(url)?.password ?? '');
  const keys = Object.values(providers).flatMap((provider) => [
    provider.apiKey ?? '',
    ...Object.values(provider.headers ?? {}),
  ]);
  const assigned = [git.credentials, tracing.headers].flatMap(valuesOf);
  const found = [
    ...passwords,
    ...passwords.map(decoded),
    ...keys,
    ...Object.values(mcp.servers).flatMap(secretsOfServer),
    ...assigned,
    ...encryptionKey,
    apiKey,
    webSearch.apiKey ?? '',
  ];
  return [...new Set(found)]
    .filter((text) => text.length >= SHORTEST)
    .toSorted((one, other) => other.length - one.length);
}

/** What is given to a server of tools. A header says `Bearer KEY`; of an address the query is what keys are put into. */
function secretsOfServer(server: McpServerSettings): string[] {
  if ('command' in server) return Object.values(server.env ?? {});
  const headers = Object.values(server.headers ?? {});
  const query = [...new URL(server.url).searchParams.values()];
  const secret = server.oauth?.clientSecret ?? [];
  return [...headers, ...headers.map((value) => value.replace(/^\S+ +/, '')), ...query].concat(secret);
}

/** A shorter one is in every other word. */
const SHORTEST = 4;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `name=value, name=value`, a value of which may be `user:password`. */
function valuesOf(text = ''): string[] {
  const values = text.split(',').map((each) => each.slice(each.indexOf('=') + 1).trim());
  return values.flatMap((value) => [value, value.slice(value.indexOf(':') + 1)]);
}

const HIDDEN = '********';

/** `text` without any of them. */
export function withoutSecretsOf(config: Config, text: string): string {
  return secretsIn(config).reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), text);
}

/** Absolute paths of the files that secrets were read from, or are. */
export function secretFiles({ config, sources, shown }: LoadedConfig): string[] {
  const files = SETTING_KEYS.filter(
    (key) => shown[key] !== undefined && metaOf(key).secret && holdsSecret(key, config),
  ).flatMap((key) => fileOf(sources[key]));
  return [...new Set([...files, ...(config.git.sshKey === undefined ? [] : [config.git.sshKey])])];
}

function fileOf({ kind, where }: LoadedConfig['sources'][SettingKey]): string[] {
  return ['user', 'profile', '.env'].includes(kind) ? [where.replace(/, line \d+$/, '')] : [];
}

/** An address without a password is none, nor is a provider that only names the variable of its key. */
function holdsSecret(key: SettingKey, config: Config): boolean {
  if (key === 'providers')
    return Object.values(config.providers).some(
      ({ apiKey, apiKeyVariable, headers }) =>
        (apiKey !== undefined && apiKeyVariable === undefined) || headers !== undefined,
    );
  if (key === 'mcp.servers')
    return Object.values(config.mcp.servers).some((server) => secretsOfServer(server).length > 0);
  if (key !== 'databaseUrl' && key !== 'databaseDirectUrl' && key !== 'redisUrl') return true;
  return (URL.parse(config[key] ?? '')?.password ?? '') !== '';
}

function addresses({ databaseUrl, databaseDirectUrl, redisUrl }: Config): string[] {
  return [databaseUrl, databaseDirectUrl, redisUrl].filter((url) => url !== undefined);
}
