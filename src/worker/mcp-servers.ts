/**
 * Which MCP servers a run may have: those that are configured at its worker, those of its team as they are now, and those of its project as
 * it was when the session began. Where several have a name, it is the first one's, whether that can be used or not.
 */
import {
  isTeams,
  type McpConfig,
  type McpServerSettings,
  readProjectServer,
  readTeamServer,
} from '../config/mcp-settings.ts';
import { type McpChoice, serversFor } from '../core/profile.ts';
import type { MissingServer } from '../mcp/client/bridge.ts';
import type { McpServer } from '../mcp/client/server.ts';
import { readMcpServers } from '../store/mcp-servers.ts';
import type { Sealing } from '../store/sealing.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

/** Where servers come from. */
export interface McpSources {
  /** Configured here, by name. */
  readonly servers: Readonly<Record<string, McpServer>>;
  /** Which of a team's are used here; left out: none. */
  readonly ofTeam?: { readonly allowed: McpConfig['teamServers']; readonly sealing: Sealing } | undefined;
  /** Whether a project's are. */
  readonly hasProjects?: boolean | undefined;
}

interface Servers {
  readonly servers: McpSources['servers'];
  /** Of those, the ones that the agent may have. */
  readonly names: readonly string[];
  /** Others that it may have, whose settings cannot be read here. */
  readonly unopened: readonly MissingServer[];
}

export async function serversOfRun(shell: Shell, run: Run, choice: McpChoice): Promise<Servers> {
  const { servers } = shell.mcpSources;
  const taken = new Set([...Object.keys(servers), ...choice.servers]);
  const found: Found[] = [];
  for (const each of [...(await ofTeam(shell, run, choice)), ...ofProject(shell, run, choice)]) {
    if (!taken.has(each.server)) found.push(each);
    taken.add(each.server);
  }
  const opened = found.flatMap(({ server, settings }) =>
    settings === 'unread' || settings === 'unused' ? [] : [[server, settings] as const],
  );
  const unread = found.flatMap(({ server, settings }) => (settings === 'unread' ? [server] : []));
  const named = opened.map(([server]) => server);
  return {
    servers: { ...Object.fromEntries(opened), ...servers },
    names: [...choice.servers, ...serversFor(choice.only, named)],
    unopened: serversFor(choice.only, unread).map((server) => ({ server, why: UNREAD })),
  };
}

const UNREAD = 'has settings that cannot be read where this runs';

interface Found {
  readonly server: string;
  /** `unused`: it is of a kind that a team may not have here. */
  readonly settings: McpServerSettings | 'unread' | 'unused';
}

async function ofTeam(
  { db, log, mcpSources }: Shell,
  { turn: { teamId } }: Run,
  { team }: McpChoice,
): Promise<readonly Found[]> {
  if (team === undefined || mcpSources.ofTeam === undefined) return [];
  const { allowed, sealing } = mcpSources.ofTeam;
  const stored = await readMcpServers(db, teamId, sealing);
  return stored.map((each): Found => {
    const { name: server } = each;
    const settings = 'settings' in each ? readTeamServer(each.settings) : undefined;
    if (settings !== undefined) return { server, settings: isTeams(settings, allowed) ? settings : 'unused' };
    const reason = 'unopened' in each ? each.unopened : 'they are none, by this version';
    log.warn({ teamId, server, reason }, 'the settings of an MCP server of a team cannot be read');
    return { server, settings: 'unread' };
  });
}

function ofProject({ mcpSources }: Shell, { projectServers }: Run, { project }: McpChoice): readonly Found[] {
  if (project === undefined || mcpSources.hasProjects !== true) return [];
  return Object.entries(projectServers).map(([server, said]) => ({
    server,
    settings: readProjectServer(said) ?? 'unread',
  }));
}
