/**
 * What every part of Capybara is configured by. Only this file reads the environment.
 *
 * A setting has one key, the same in `Config`, in YAML and in `config show`; one variable; and one schema (`SETTINGS`).
 * Its value comes from the first of: flag, environment, `.env` of the working directory, the project's
 * `.capybara/config.yaml`, the chosen profile and then the rest of the user's `capybara/config.yaml`, default.
 */
import { homedir } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import type { ApiConfig, MetricsConfig, SCHEDULES } from './config/api-settings.ts';
import type { BackgroundConfig, CommandsConfig, DockerConfig } from './config/command-settings.ts';
import type { KEEP } from './config/keep.ts';
import {
  defaultLayer,
  dotEnvLayer,
  type Flags,
  type Found,
  flagLayer,
  type Layer,
  type Place,
  projectLayer,
  userLayers,
  variableLayer,
} from './config/layers.ts';
import { type AgentConfig, MAP_KEYS, type MapKey, type ProviderSettings } from './config/maps.ts';
import type { McpConfig } from './config/mcp-settings.ts';
import { withPrompts } from './config/prompt-files.ts';
import {
  metaOf,
  parseSetting,
  SETTING_KEYS,
  type SettingKey,
  type Source,
  shown,
} from './config/settings.ts';
import { refuseStolenKeys } from './config/stolen-keys.ts';
import type { TracingConfig } from './config/tracing-settings.ts';
import { put } from './config/tree.ts';
import type { WebhooksConfig } from './config/webhook-settings.ts';
import { UserError } from './core/errors.ts';
import type { ConfiguredRule } from './core/permission.ts';
import type { ContextPolicy } from './core/profile.ts';
import type { ModelSettings } from './core/provider.ts';
import { type RepositoryPolicy, readBeginning } from './core/repository.ts';

export interface Config {
  readonly databaseUrl?: string;
  /** For LISTEN and session locks where `databaseUrl` is a pooler; else the same. */
  readonly databaseDirectUrl?: string;
  readonly redisUrl?: string;
  /** What secrets in the database are sealed with, each 32 bytes in base64: the first one seals, all open. */
  readonly encryptionKey?: readonly string[];
  /** The server that the CLI talks to; none: the embedded Capybara. */
  readonly url?: string;
  readonly apiKey?: string;
  readonly port: number;
  /** Absolute. */
  readonly dataDir: string;
  /** Where hosts share snapshots of workspaces: a path or a git remote; each keeps its own where not set. */
  readonly snapshots?: string;
  readonly api: ApiConfig;
  readonly metrics: MetricsConfig;
  readonly tracing: TracingConfig;
  /** MiB that one upload of a directory may take, compressed. */
  readonly uploadMib: number;
  readonly concurrency: number;
  /** `provider/model`, or a bare model name where one provider is configured. */
  readonly model?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  /** How long a model may take to begin its answer (a minute where left out, five on this machine), and to go on with it. */
  readonly modelFirstTokenSeconds?: number;
  readonly modelIdleSeconds: number;
  /** Requests in a row that may fail before the task does. */
  readonly modelTries: number;
  /** How long a model that was given up is not asked at first, where another can answer. */
  readonly modelCoolDownSeconds: number;
  /** Text, reasoning and arguments that one answer may have; what goes on beyond is not read. */
  readonly modelAnswerMib: number;
  /** Whether models are shown images. */
  readonly modelImages: boolean;
  /** What agents may do and must ask, in its order. */
  readonly permissions?: readonly ConfiguredRule[];
  readonly tools: ToolsConfig;
  /** Seconds until a question that nobody answers is a no; no end to them where left out. */
  readonly approvals?: { readonly expireAfter?: number };
  readonly offline: boolean;
  readonly debug: boolean;
  /** `NO_COLOR`; false where not set. */
  readonly noColor?: boolean;
  /** How commands are confined: where it works, always in one way, by containers, or not at all. */
  readonly sandbox: 'auto' | 'bubblewrap' | 'runtime' | 'docker' | 'off';
  readonly docker: DockerConfig;
  readonly commands: CommandsConfig;
  readonly git: GitConfig;
  /** How much of a session's log a request holds. */
  readonly context: ContextPolicy;
  /** Days after which what nobody uses goes: working directories of sessions (their snapshots stay), uploads, the audit trail, and deliveries. */
  readonly keep: Readonly<Record<keyof typeof KEEP, number>>;
  readonly webhooks?: WebhooksConfig;
  readonly schedules: Readonly<Record<keyof typeof SCHEDULES, number>>;
  /** Tokens that the map of a project's source may take at the beginning of a session; 0: there is none. */
  readonly projectMap: { readonly tokens: number };
  readonly background: BackgroundConfig;
  readonly webFetch: WebFetchConfig;
  /** Without a provider the web is not searched. */
  readonly webSearch: WebSearchConfig;
  readonly providers: ProvidersConfig;
  /** Names for `provider/model`. */
  readonly aliases: Readonly<Record<string, string>>;
  /** What is known of models, whoever offers them, by their names without a provider. */
  readonly models: Readonly<Record<string, ModelSettings>>;
  /** Agents that are configured, or configured otherwise than they are built in. */
  readonly agents: Readonly<Record<string, AgentConfig>>;
  readonly mcp: McpConfig;
}

/** Repositories that sessions begin with. */
export interface GitConfig {
  /** Beginnings of URLs that may be cloned beside https from public hosts. */
  readonly allow?: readonly string[];
  /** `host=TOKEN` or `host/path=USER:PASSWORD`, with commas between them. */
  readonly credentials?: string;
  /** The private key for ssh. */
  readonly sshKey?: string;
  /** What one may take: of its history, of its files, and in time. */
  readonly mib: number;
  readonly seconds: number;
  /** What is kept of all of them on a host. */
  readonly cacheMib: number;
}

export interface WebFetchConfig {
  /** Ports that pages are fetched from beside 80 and 443. */
  readonly ports: readonly number[];
  /** What one page may take. */
  readonly seconds: number;
  readonly mib: number;
}

export interface WebSearchConfig {
  readonly provider?: 'brave' | 'tavily' | 'searxng';
  readonly apiKey?: string;
  readonly url?: string;
}

export interface ToolsConfig {
  /** Directories, relative to the workspace; all of it where left out. */
  readonly allowedPaths?: readonly string[];
  /** `timeout`: seconds that a command may take where its call says nothing. */
  readonly bash: { readonly enabled: boolean; readonly timeout: number };
  readonly filesystem: { readonly enabled: boolean };
}

/**
 * By name. `anthropic` and `openai` are there with a key alone; `env` is `CAPYBARA_MODEL_ENDPOINT`. Others have what
 * `providers` says of them.
 */
export type ProvidersConfig = Readonly<Record<string, ProviderConfig>>;

/** The key of one that names a variable is read by then; the name stays, to be named where the key is missing or wrong. */
export type ProviderConfig = Partial<ProviderSettings>;

export { MAX_SETTINGS_BYTES } from './config/files.ts';
export { PROJECT_CONFIG, projectTerms, projectTermsIn, userConfigFile } from './config/layers.ts';
export type { AgentConfig } from './config/maps.ts';
export type { McpCommandServer, McpServerSettings, McpUrlServer } from './config/mcp-settings.ts';
export type { SettingKey, Source } from './config/settings.ts';

export interface LoadOptions {
  /** What the command line says, by key; `undefined` where it says nothing. */
  readonly flags?: Flags;
  /** A profile of the user's `config.yaml`. */
  readonly profile?: string | undefined;
  /** What the user's `config.yaml` would have; what it has where left out. */
  readonly userText?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly home?: string;
  /**
   * Whether the working directory may set anything. A server says no: then neither `.env` nor the project's
   * `.capybara/config.yaml` is opened.
   */
  readonly trustWorkingDirectory?: boolean;
}

type Origins = Readonly<Record<string, Source>>;

export interface LoadedConfig {
  readonly config: Config;
  /** Where each setting came from; `default` where nobody set it. */
  readonly sources: Readonly<Record<SettingKey, Source>>;
  /** Of each setting that has a value: what may be shown of it. */
  readonly shown: Readonly<Partial<Record<SettingKey, string>>>;
  /** Of each name in a map: where it came from. */
  readonly origins: Readonly<Partial<Record<SettingKey, Origins>>>;
}

/**
 * Reads the settings. Throws `UserError` (exit code 2) with one sentence where a file is malformed, a key is unknown or not
 * allowed where it stands, or a value is wrong.
 */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const place: Place = {
    env: options.env ?? process.env,
    cwd: options.cwd ?? process.cwd(),
    home: options.home ?? homedir(),
  };
  const trusted = options.trustWorkingDirectory ?? true;
  const layers = [
    flagLayer(options.flags ?? {}),
    variableLayer(place.env, 'environment', 'environment'),
    ...(trusted ? [dotEnvLayer(place.cwd), projectLayer(place.cwd)] : []),
    ...userLayers(place, { profile: options.profile, text: options.userText }),
    defaultLayer(place),
  ];
  return assemble(layers, place);
}

/** The environment, for what is no setting: names that an agent's commands may inherit (`sandbox/environment.ts`), and the terminal's. */
export function commandEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** From where repositories may be cloned. `own`: on one's own machine. */
export function repositoryPolicy(
  { git, offline }: Pick<Config, 'git' | 'offline'>,
  { own }: { readonly own: boolean },
): RepositoryPolicy {
  const allowed = (git.allow ?? []).flatMap((text) => readBeginning(text) ?? []);
  return { own, online: !offline, allowed };
}

/** Those that have variables of their own. */
const KNOWN_PROVIDERS = ['anthropic', 'openai', 'env'];

function assemble(layers: readonly Layer[], place: Place): LoadedConfig {
  const sources: Partial<Record<SettingKey, Source>> = {};
  const values: Partial<Record<SettingKey, string>> = {};
  const origins: Partial<Record<SettingKey, Origins>> = {};
  const tree: Record<string, unknown> = { webSearch: {}, providers: {}, tracing: {} };
  for (const key of SETTING_KEYS) {
    const found = foundOf(key, layers, place);
    const source = found?.source ?? { kind: 'default', name: key, where: 'default' };
    const value = effective(key, found ?? { raw: undefined, source }, place);
    sources[key] = source;
    if (found?.origins !== undefined) origins[key] = found.origins;
    if (value === undefined) continue;
    values[key] = shown(key, value);
    put(tree, key.split('.'), MAP_KEYS.includes(key as MapKey) ? { ...(value as object) } : value);
  }
  const providers = tree.providers as Readonly<Record<string, Partial<ProviderSettings>>>;
  const isSet = (key: SettingKey) => values[key] !== undefined;
  refuseStolenKeys(sources as Record<SettingKey, Source>, { isSet, providers });
  refuseNameless(providers, sources.providers?.where ?? '');
  tree.providers = withKeys(providers, place);
  // Each value went through the schema of its key, and keys are the paths of `Config`.
  const config = tree as unknown as Config;
  return { config, sources: sources as Record<SettingKey, Source>, shown: values, origins };
}

/** Of a map, the names of all layers, each from the first that has it. */
function foundOf(
  key: SettingKey,
  layers: readonly Layer[],
  place: Place,
): (Found & { readonly origins?: Origins }) | undefined {
  const found = layers.flatMap((layer) => layer.get(key) ?? []);
  const [first] = found;
  if (first === undefined || !MAP_KEYS.includes(key as MapKey)) return first;
  const maps = found.toReversed().map(({ raw, source }) => {
    const map = parseSetting(key, raw, source) as Readonly<Record<string, object>>;
    return { source, map: key === 'agents' ? withPrompts(map, source, place.cwd) : map };
  });
  const origins = maps.flatMap(({ source, map }) => Object.keys(map).map((name) => [name, source]));
  const raw = Object.assign({}, ...maps.map(({ map }) => map));
  return { raw, source: first.source, origins: Object.fromEntries(origins) };
}

/** A name that is none of the known ones has to say who answers there. */
function refuseNameless(providers: Readonly<Record<string, Partial<ProviderSettings>>>, where: string): void {
  const nameless = Object.entries(providers).find(
    ([name, { kind, baseUrl }]) =>
      !KNOWN_PROVIDERS.includes(name) && kind === undefined && baseUrl === undefined,
  );
  if (nameless === undefined) return;
  throw new UserError(
    'config_invalid',
    `providers.${nameless[0]} (${where}) must have a kind or a baseUrl; only ${KNOWN_PROVIDERS.join(', ')} need none.`,
  );
}

function withKeys(
  providers: Readonly<Record<string, Partial<ProviderSettings>>>,
  { env }: Place,
): ProvidersConfig {
  const entries = Object.entries(providers).map(([name, provider]) => {
    const { apiKeyVariable: variable } = provider;
    const apiKey = provider.apiKey ?? (variable === undefined ? undefined : env[variable]?.trim());
    return [name, apiKey ? { ...provider, apiKey } : provider];
  });
  return Object.fromEntries(entries);
}

function effective(key: SettingKey, { raw, source }: Found, place: Place): unknown {
  const value = parseSetting(key, raw, source);
  if (key !== 'dataDir' || typeof value !== 'string') return value;
  const path = value.replace(/^~(?=\/|$)/, place.home);
  const isFile = source.kind === 'user' || source.kind === 'profile';
  if (isFile && !isAbsolute(path)) {
    const found = JSON.stringify(value);
    throw new UserError(
      'config_invalid',
      `${source.name} (${source.where}) must be ${metaOf(key).expected}; found ${found}.`,
    );
  }
  return resolve(place.cwd, path);
}
