/** The MCP servers that the agents of a team may have: those that are configured, and those that its administrators added. */
import { isTeams, type McpServerSettings, readTeamServer } from '../config/mcp-settings.ts';
import { likely } from '../core/nearest.ts';
import { readMcpServers } from '../store/mcp-servers.ts';
import type { ApiDeps } from './deps.ts';
import { type ApiProblem, notFound } from './problem.ts';
import type { ListedMcpServer } from './wire-mcp.ts';

type Deps = Pick<ApiDeps, 'db' | 'sealing' | 'mcp'>;

/** One that a team's administrators added. */
export interface TeamMcpServer {
  /** Another with each writing. */
  readonly id: string;
  readonly name: string;
  /** Undefined: they do not open here. */
  readonly settings: McpServerSettings | undefined;
  readonly unused: ListedMcpServer['unused'];
}

export async function teamMcpServers(
  { db, sealing, mcp }: Deps,
  teamId: string,
): Promise<readonly TeamMcpServer[]> {
  const stored = await readMcpServers(db, teamId, sealing);
  return stored.map((each) => {
    const settings = 'settings' in each ? readTeamServer(each.settings) : undefined;
    return { id: each.id, name: each.name, settings, unused: whyUnused(mcp, each.name, settings) };
  });
}

function whyUnused(
  { servers, teamServers }: Deps['mcp'],
  name: string,
  settings: McpServerSettings | undefined,
): TeamMcpServer['unused'] {
  if (Object.hasOwn(servers, name)) return 'name_taken';
  if (settings === undefined) return 'unreadable';
  return isTeams(settings, teamServers) ? null : 'not_allowed';
}

/** The names of those that its agents have. */
export async function usedTeamServers(deps: Deps, teamId: string): Promise<readonly string[]> {
  const { enabled, teamServers } = deps.mcp;
  if (!enabled || teamServers === 'none') return [];
  const all = await teamMcpServers(deps, teamId);
  return all.filter(({ unused }) => unused === null).map(({ name }) => name);
}

export interface FoundMcpServer {
  /** Null where it is configured. */
  readonly id: string | null;
  readonly settings: McpServerSettings;
  readonly source: ListedMcpServer['source'];
}

/** The one that a team's agents have by that name; undefined where they have none. */
export async function findMcpServer(
  deps: Deps,
  teamId: string,
  name: string,
): Promise<FoundMcpServer | undefined> {
  const configured = Object.hasOwn(deps.mcp.servers, name) ? deps.mcp.servers[name] : undefined;
  if (configured !== undefined) return { id: null, settings: configured, source: 'configured' };
  const found = (await teamMcpServers(deps, teamId)).find((each) => each.name === name);
  if (found?.settings === undefined || found.unused !== null) return undefined;
  return { id: found.id, settings: found.settings, source: 'team' };
}

/** With the one that was meant, as far as that can be guessed. */
export async function noServerNamed(deps: Deps, teamId: string, name: string): Promise<ApiProblem> {
  const ofTeam = await teamMcpServers(deps, teamId);
  const near = likely(name, [...Object.keys(deps.mcp.servers), ...ofTeam.map((each) => each.name)]);
  const hint = near === undefined ? '' : `: the nearest one is ${near}, and \`capybara mcp list\` has all`;
  return notFound(`MCP server ${JSON.stringify(name.slice(0, 60))}${hint}`);
}
