/**
 * The places that settings come from, each read into one layer; `config.ts` takes each setting from the first that has it.
 */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { UserError } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import { type ConfiguredRule, sayRule } from '../core/permission.ts';
import type { ProjectServers } from '../core/workspace.ts';
import { type FileSetting, readEnvFile, readYaml, readYamlFile } from './files.ts';
import { parseJson } from './json.ts';
import { MAP_KEYS, mapAt } from './maps.ts';
import { forbiddenInProject, type McpConfig } from './mcp-settings.ts';
import { metaOf, parseSetting, SETTING_KEYS, type SettingKey, type Source } from './settings.ts';
import { put } from './tree.ts';

export interface Found {
  readonly raw: unknown;
  readonly source: Source;
}
export type Layer = ReadonlyMap<SettingKey, Found>;

export interface Place {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
}

/** What a command line says, by key; `undefined` where it says nothing. */
export type Flags = Readonly<Partial<Record<SettingKey, string | number | boolean | undefined>>>;

/** The user's own settings file, whether it exists or not. */
export function userConfigFile(place: Pick<Place, 'env' | 'home'>): string {
  return join(
    xdgDirectory(place.env.XDG_CONFIG_HOME, join(place.home, '.config')),
    'capybara',
    'config.yaml',
  );
}

/** What is a person's own, and neither settings nor data: what they typed. */
export function stateDirectory({ env, home }: Pick<Place, 'env' | 'home'>): string {
  return join(xdgDirectory(env.XDG_STATE_HOME, join(home, '.local', 'state')), 'capybara');
}

/** The XDG specification has relative paths ignored. */
function xdgDirectory(value: string | undefined, fallback: string): string {
  return value && isAbsolute(value) ? value : fallback;
}

export function defaultLayer({ env, home }: Place): Layer {
  const dataDir = join(xdgDirectory(env.XDG_DATA_HOME, join(home, '.local', 'share')), 'capybara');
  return new Map([
    ['dataDir', { raw: dataDir, source: { kind: 'default', name: 'dataDir', where: 'default' } }],
  ]);
}

/** `''` and nothing are the same everywhere: not set. */
function isSet(raw: unknown): boolean {
  return raw !== undefined && raw !== null && raw !== '';
}

export function flagLayer(flags: Flags): Layer {
  return layer((key) => {
    const name = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return { raw: flags[key], source: { kind: 'flag', name, where: 'command line' } };
  });
}

export function variableLayer(env: Place['env'], kind: 'environment' | '.env', where: string): Layer {
  return layer((key) => {
    const name = metaOf(key).env;
    return { raw: env[name], source: { kind, name, where } };
  });
}

function layer(find: (key: SettingKey) => Found): Layer {
  const entries = SETTING_KEYS.map((key) => [key, find(key)] as const);
  return new Map(entries.filter(([, found]) => isSet(found.raw)));
}

/**
 * A server's, which reads no `.env`: what a project's says by these names is for its own program. And whoever wrote a project does
 * not say how its commands are confined, which files are Capybara's own (a database among them, which is started), who gets those
 * of its sessions, where else they may come from, who is told of what is done, or which programs and services agents use beside.
 */
const NOT_FROM_DOT_ENV: readonly SettingKey[] = [
  ...(['databaseUrl', 'databaseDirectUrl', 'redisUrl'] as const),
  ...(['providers', 'aliases', 'models', 'agents'] as const),
  ...([
    'sandbox',
    'encryptionKey',
    'dataDir',
    'snapshots',
    'git.allow',
    'git.credentials',
    'git.sshKey',
    'webhooks.allow',
  ] as const),
  ...SETTING_KEYS.filter((key) => /^(commands|docker|background|metrics|tracing|mcp)\./.test(key)),
];

export function dotEnvLayer(cwd: string): Layer {
  const file = join(cwd, '.env');
  const found = variableLayer(readEnvFile(file) ?? {}, '.env', file);
  for (const [key, { source }] of found) if (WIDENS.test(key)) throw notFromHere(source);
  return new Map([...found].filter(([key]) => !NOT_FROM_DOT_ENV.includes(key)));
}

/** What an agent may do is not for the directory to say that it works in. */
const WIDENS = /^(permissions|tools\.|approvals\.)/;

function notFromHere({ name, where }: Source): UserError {
  return new UserError(
    'config_not_allowed',
    `${name} (${where}) may not be set by a directory: set it in the environment or in your own config.yaml.`,
  );
}

/** A project's own settings, from its root. */
export const PROJECT_CONFIG = '.capybara/config.yaml';

const VCS_DIRECTORIES = ['.git', '.hg', '.svn', '.jj'];

/**
 * The nearest `.capybara/config.yaml` from the working directory up to the root of its version control. Where there is
 * none, only the working directory counts: what lies above it may be anyone's.
 */
export function projectConfigFile(cwd: string): string | undefined {
  const candidates: string[] = [];
  for (let directory = resolve(cwd); ; directory = dirname(directory)) {
    candidates.push(join(directory, PROJECT_CONFIG));
    if (VCS_DIRECTORIES.some((name) => existsSync(join(directory, name)))) break;
    if (dirname(directory) === directory) return candidates.slice(0, 1).find(existsSync);
  }
  return candidates.find(existsSync);
}

export function projectLayer(cwd: string): Layer {
  const file = projectConfigFile(cwd);
  const settings = file === undefined ? undefined : readYamlFile(file);
  if (file === undefined || !settings) return new Map();
  // Of these, `projectTerms` is asked for each task.
  const [terms, others] = split(settings, (setting) => isRule(setting) || isServer(setting));
  termsOf(file, terms);
  for (const setting of others) refuseFromProject(file, setting);
  return yamlLayer(file, 'project', others);
}

/** What a project says of the tasks that work on it. */
export interface ProjectTerms {
  /** They may ask and forbid, never allow. */
  readonly rules: readonly ConfiguredRule[];
  /** MCP servers, for whoever allows a project to have any. */
  readonly servers: ProjectServers;
}

/** Those of the project in `directory`. Throws `UserError` where its file is wrong. */
export function projectTerms(directory: string): ProjectTerms {
  const file = projectConfigFile(directory);
  const settings = file === undefined ? undefined : readYamlFile(file);
  return file === undefined ? termsOf('', []) : termsOf(file, settings ?? []);
}

/** The same of a project whose file is at hand. */
export function projectTermsIn(file: string, text: string): ProjectTerms {
  return termsOf(file, readYaml(file, text));
}

function termsOf(file: string, settings: readonly FileSetting[]): ProjectTerms {
  return {
    rules: rulesOf(file, settings.filter(isRule)),
    servers: serversOf(file, settings.filter(isServer)),
  };
}

function rulesOf(file: string, settings: readonly FileSetting[]): readonly ConfiguredRule[] {
  const found = yamlLayer(file, 'project', settings).get('permissions');
  if (found === undefined) return [];
  const rules = parseSetting('permissions', found.raw, found.source) as readonly ConfiguredRule[];
  const [wide] = rules.filter(({ decision }) => decision === 'allow');
  if (wide === undefined) return rules;
  throw new UserError(
    'config_not_allowed',
    `The rule ${sayRule(wide)} (${found.source.where}) allows something: the rules of a project may only ask or deny.`,
  );
}

/** As they stand there: what is kept is read again where they run. */
function serversOf(file: string, settings: readonly FileSetting[]): ProjectServers {
  const found = yamlLayer(file, 'project', settings).get('mcp.servers');
  if (found === undefined) return {};
  const { raw, source } = found;
  const servers = parseSetting('mcp.servers', raw, source) as McpConfig['servers'];
  for (const [name, server] of Object.entries(servers)) {
    const [setting, why] = forbiddenInProject(server) ?? [];
    if (setting !== undefined)
      throw new UserError(
        'config_not_allowed',
        `mcp.servers.${name}.${setting} (${source.where}) may not be set by a project: ${why}.`,
      );
  }
  return parseJson(raw) as ProjectServers;
}

function isServer({ path }: FileSetting): boolean {
  return mapAt(path) === 'mcp.servers';
}

function isRule({ path }: FileSetting): boolean {
  return path[0] === 'permissions';
}

function split<Item>(items: readonly Item[], isFirst: (item: Item) => boolean): [Item[], Item[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}

function refuseFromProject(file: string, setting: FileSetting): void {
  if (setting.path[0] !== 'profiles') {
    const key = isNamed(setting) ? undefined : knownKey(file, setting);
    if (key !== undefined && metaOf(key).project) return;
  }
  const allowed = SETTING_KEYS.filter((key) => metaOf(key).project).join(', ');
  throw new UserError(
    'config_not_allowed',
    `${setting.path.join('.')} (${file}, line ${setting.line}) may not be set by a project, only ${allowed} may: ` +
      'set it in the environment or in your own config.yaml.',
  );
}

/**
 * The chosen profile, then the rest of the user's file, or of `text` in its place. Keys of all profiles are checked, values where they
 * count.
 */
export function userLayers(
  place: Pick<Place, 'env' | 'home'>,
  { profile, text }: { readonly profile?: string | undefined; readonly text?: string | undefined },
): Layer[] {
  const file = userConfigFile(place);
  const settings = text === undefined ? readYamlFile(file) : readYaml(file, text);
  const inProfiles = (settings ?? []).filter(({ path }) => path[0] === 'profiles');
  const own = (settings ?? []).filter(({ path }) => path[0] !== 'profiles');
  const names = [...new Set(inProfiles.flatMap(({ path }) => path.slice(1, 2)))];
  if (profile && !names.includes(profile)) {
    const has = names.length > 0 ? `it has ${names.join(', ')}` : 'it has no profiles';
    const state = settings ? has : 'there is no such file';
    throw new UserError('config_no_profile', `The profile "${profile}" is not in ${file}: ${state}.`);
  }
  const profiles = names.map((name) => {
    const inside = inProfiles.filter(({ path }) => path[1] === name && path.length > 2);
    const settingsOf = inside.map((setting) => ({ ...setting, path: setting.path.slice(2) }));
    return { name, layer: yamlLayer(file, 'profile', settingsOf) };
  });
  const chosen = profiles.filter(({ name }) => name === profile).map((each) => each.layer);
  return [...chosen, yamlLayer(file, 'user', own)];
}

function yamlLayer(file: string, kind: Source['kind'], settings: readonly FileSetting[]): Layer {
  const [rules, withMaps] = split(settings, isRule);
  const [named, others] = split(withMaps, isNamed);
  const found = others.map((setting) => {
    const key = knownKey(file, setting);
    const source: Source = { kind, name: key, where: `${file}, line ${setting.line}` };
    return [key, { raw: setting.value, source }] as const;
  });
  const maps = [...ruleMap(file, kind, rules), ...namedMaps(file, kind, named)];
  return new Map([...found, ...maps].filter(([, { raw }]) => isSet(raw)));
}

/** The maps whose names people choose, each of which is one setting. */
function namedMaps(
  file: string,
  kind: Source['kind'],
  settings: readonly FileSetting[],
): [SettingKey, Found][] {
  return MAP_KEYS.flatMap((key): [SettingKey, Found][] => {
    const within = settings.filter(({ path }) => mapAt(path) === key);
    const depth = key.split('.').length;
    const [first] = within;
    if (first === undefined) return [];
    const source: Source = { kind, name: key, where: `${file}, line ${first.line}` };
    const map: Record<string, unknown> = {};
    for (const { path, value } of within) put(map, path.slice(depth), value);
    return [[key, { raw: first.path.length === depth ? first.value : map, source }]];
  });
}

/** In one of those maps, and no setting of its own, as `providers.openai.apiKey` is. */
function isNamed({ path }: FileSetting): boolean {
  return mapAt(path) !== undefined && !SETTING_KEYS.includes(path.join('.') as SettingKey);
}

/** The map under `permissions`, which is one setting. */
function ruleMap(file: string, kind: Source['kind'], rules: readonly FileSetting[]): [SettingKey, Found][] {
  const [first] = rules;
  if (first === undefined) return [];
  const where = `${file}, line ${first.line}`;
  const isOne = rules.every(({ path }) => path.length === 2);
  const map = Object.fromEntries(rules.map(({ path, value }) => [path[1], value]));
  return [['permissions', { raw: isOne ? map : first.value, source: { kind, name: 'permissions', where } }]];
}

function knownKey(file: string, { path, line }: FileSetting): SettingKey {
  const name = path.join('.');
  const known = SETTING_KEYS.find((key) => key === name);
  if (known) return known;
  throw new UserError(
    'config_unknown_key',
    `${file}, line ${line}: there is no setting "${name}"; the nearest one is "${nearest(name, SETTING_KEYS)}".`,
  );
}
