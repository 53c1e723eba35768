/** What `mcp list` and `remove` show and change of the servers in the settings, and `add` writes into the user's own. */
import type { ListedMcpServer } from '../api/wire-mcp.ts';
import { projectConfigFile } from '../config/layers.ts';
import { wrongInMap } from '../config/maps.ts';
import { readProjectServer, saysWhoAsks } from '../config/mcp-settings.ts';
import { type ShownMcpServer, shownServer } from '../config/shown-mcp-server.ts';
import { changeUserFile } from '../config/user-file.ts';
import { type LoadedConfig, PROJECT_CONFIG, projectTerms, type Source } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { stillLoads } from './config-settings.ts';
import type { SettingsPlace } from './provider-settings.ts';

const MAP = 'mcp.servers';
const PATH = MAP.split('.');

export interface ListedServer extends ShownMcpServer {
  readonly server: string;
  readonly source: { readonly kind: Source['kind']; readonly where: string };
  /** Why agents do not have it; null: they do. */
  readonly unused: Unused | null;
  /** What was signed in with there; null: nobody has; left out where nothing runs that could say. */
  readonly signIn?: ListedMcpServer['signIn'];
}

export type Unused = 'not_allowed' | 'name_taken' | 'unreadable';

export const UNUSED: Readonly<Record<Unused, string>> = {
  not_allowed: 'not allowed',
  name_taken: 'its name is configured',
  unreadable: 'does not open',
};

export function listedServers({ config, origins }: Pick<LoadedConfig, 'config' | 'origins'>): ListedServer[] {
  return Object.entries(config.mcp.servers).map(([server, settings]) => {
    const { kind, name, where } = origins[MAP]?.[server] ?? { kind: 'default', name: MAP, where: 'default' };
    // The line is that of the map, not of the server.
    const source = { kind, where: kind === 'environment' ? name : where.replace(/, line \d+$/, '') };
    return { server, ...shownServer(settings), source, unused: null };
  });
}

/** Those of the project in `directory`. Throws `UserError` where its file is wrong. */
export function serversOfProject(
  { config }: Pick<LoadedConfig, 'config'>,
  directory: string,
): ListedServer[] {
  const { servers, projectServers } = config.mcp;
  const where = projectConfigFile(directory) ?? PROJECT_CONFIG;
  return Object.entries(projectTerms(directory).servers).flatMap(([server, said]) => {
    const settings = readProjectServer(said);
    if (settings === undefined) return [];
    const unused = projectServers ? (Object.hasOwn(servers, server) ? 'name_taken' : null) : 'not_allowed';
    return [{ server, ...shownServer(settings), source: { kind: 'project', where }, unused }];
  });
}

/** That those of the project are not used, and what changes it. Undefined where they may be. */
export function saysNotAllowed(servers: readonly ListedServer[]): string | undefined {
  if (!servers.some(({ unused }) => unused === 'not_allowed')) return undefined;
  return 'The MCP servers of the project are not used: `capybara config set mcp.projectServers true` allows those of every project.';
}

export const SERVER_HEADING = ['SERVER', 'KIND', 'RUNS', 'FILES', 'TOOLS', 'FROM'];

export function serverRow({ command, origin, source, unused, signIn, ...others }: ListedServer): string[] {
  const from = fromWhere(fromOf(source), [unused && UNUSED[unused], saysSignIn(signIn)]);
  return serverCells({ ...others, runs: command ?? origin ?? '', from });
}

interface Shown extends Pick<ShownMcpServer, 'transport' | 'workspace' | 'share' | 'tools' | 'trusted'> {
  readonly server: string;
  readonly kind: string;
  readonly runs: string;
  readonly from: string;
}

/** Under `SERVER_HEADING`. */
export function serverCells({ server, kind, runs, from, ...others }: Shown): string[] {
  const { transport, workspace, share, tools, trusted } = others;
  const how = transport === null ? kind : `${kind} (${transport})`;
  const shared = kind === 'command' && share === 'worker' ? ', shared' : '';
  const which = `${tools === null ? 'all' : tools.join(' ') || 'none'}${trusted ? '' : ', not trusted'}`;
  return [server, how, runs, `${workspace}${shared}`, which, from];
}

export function saysSignIn(signIn: ListedServer['signIn']): string | null {
  if (signIn == null) return null;
  return signIn.failure === null ? 'signed in' : 'sign in anew';
}

/** What is known of sign-ins where the servers run. A project's server has none, whatever its name. */
export function withSignIns(
  servers: readonly ListedServer[],
  known: ReadonlyMap<string, ListedMcpServer['signIn']>,
): ListedServer[] {
  return servers.map((each) =>
    each.source.kind === 'project' ? each : { ...each, signIn: known.get(each.server) ?? null },
  );
}

/** `remarks`: how it stands; of null nothing is said. */
export function fromWhere(source: string, remarks: readonly (string | null)[]): string {
  const said = remarks.filter((each) => each !== null).join(', ');
  return said === '' ? source : `${source} (${said})`;
}

/** A path would be the widest of all, and the same in each row. */
function fromOf({ kind, where }: ListedServer['source']): string {
  return kind === 'user' ? 'config.yaml' : kind === 'profile' || kind === 'project' ? kind : where;
}

/** That agents see none of them, and what changes it. Undefined where they do. */
export function saysOff(
  { config, sources }: Pick<LoadedConfig, 'config' | 'sources'>,
  profile: string | undefined,
): string | undefined {
  if (config.mcp.enabled) return undefined;
  const { kind, name, where } = sources['mcp.enabled'];
  const into = profile === undefined ? '' : ` --profile ${JSON.stringify(profile)}`;
  const why =
    kind === 'environment'
      ? `${name} (${where}) says so.`
      : `\`capybara config set mcp.enabled true${into}\` turns it on.`;
  return `MCP is off, and agents see no server: ${why}`;
}

interface Addition {
  /** As it will stand in the file. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly force: boolean;
  /** Turns MCP on in the same change. */
  readonly enable: boolean;
  /** The settings as they would be with this text in the user's file. */
  readonly load: (userText?: string) => unknown;
}

/** Throws `UserError` where it is wrong, or there is one of that name already that may not be replaced. */
export function addServer(
  { file, at }: SettingsPlace,
  name: string,
  { settings, force, enable, load }: Addition,
): void {
  checkServer(name, settings);
  changeUserFile(
    file,
    (change) => {
      const path = [...at, ...PATH, name];
      if (change.has(path) && !force) throw exists(name, file);
      change.set(path, settings);
      if (enable) change.set([...at, 'mcp', 'enabled'], true);
    },
    stillLoads(load),
  );
}

/** Throws `UserError` where no server can be so. A value is never quoted. */
export function checkServer(name: string, settings: Readonly<Record<string, unknown>>): void {
  const wrong = wrongInMap(MAP, { [name]: settings });
  if (wrong !== undefined) throw new UserError('mcp_server_invalid', `${wrong.replace(/\.$/, '')}.`);
}

function exists(name: string, file: string): UserError {
  const message = `There is an MCP server ${name} in ${file} already: pass --force, or take another name.`;
  return new UserError('mcp_server_exists', message);
}

/** Whether somebody may have signed in there. */
export function isGuardable({ mcp }: LoadedConfig['config'], name: string): boolean {
  const settings = new Map(Object.entries(mcp.servers)).get(name);
  return settings !== undefined && 'url' in settings && !saysWhoAsks(settings);
}

/** Throws `UserError` where the file has none of that name, and says where it is instead. */
export function removeServer(
  place: SettingsPlace,
  name: string,
  { origins }: Pick<LoadedConfig, 'origins'>,
): void {
  const { file, at } = place;
  changeUserFile(file, (change) => {
    const path = [...at, ...PATH, name];
    const origin = new Map(Object.entries(origins[MAP] ?? {})).get(name);
    if (!change.has(path)) throw notInFile(name, place, origin);
    change.remove(path);
    const left = change.get([...at, 'mcp']);
    if (typeof left === 'object' && left !== null && Object.keys(left).length === 0)
      change.remove([...at, 'mcp']);
  });
}

function notInFile(name: string, { file, at }: SettingsPlace, origin: Source | undefined): UserError {
  const where = at.length === 0 ? file : `the profile of ${file}`;
  const elsewhere =
    origin?.kind === 'environment'
      ? `it comes from ${origin.name} (environment), unset that`
      : origin?.kind === 'user' && at.length > 0
        ? 'it is outside of it, leave --profile out'
        : '`capybara mcp list` has those there are';
  return new UserError('unknown_mcp_server', `There is no MCP server ${name} in ${where}: ${elsewhere}.`);
}
