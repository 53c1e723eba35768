/** Which MCP servers a run may have: those that are configured at its worker, and those of its team as they are now. */
import { isTeams, type McpConfig, type McpServerSettings, readTeamServer } from '../config.ts';
import { type McpChoice, serversFor } from '../core/profile.ts';
import type { MissingServer } from '../mcp/client/bridge.ts';
import type { McpServer } from '../mcp/client/server.ts';
import { readMcpServers } from '../store/mcp-servers.ts';
import type { Sealing } from '../store/sealing.ts';
import type { Shell } from './shell.ts';

/** Where servers come from; the first of a name is the one. */
export interface McpSources {
  /** Configured here, by name. */
  readonly servers: Readonly<Record<string, McpServer>>;
  /** Which of a team's are used here; left out: none. */
  readonly ofTeam?: { readonly allowed: McpConfig['teamServers']; readonly sealing: Sealing } | undefined;
}

interface Servers {
  readonly servers: McpSources['servers'];
  /** Of those, the ones that the agent may have. */
  readonly names: readonly string[];
  /** Those of its team whose settings do not open here. */
  readonly unopened: readonly MissingServer[];
}

export async function serversOfRun(shell: Shell, teamId: string, choice: McpChoice): Promise<Servers> {
  const { servers } = shell.mcpSources;
  if (choice.team === undefined) return { servers, names: choice.servers, unopened: [] };
  const found = await ofTeam(shell, teamId);
  const unopened = found.flatMap(({ server, settings }) => (settings === undefined ? [server] : []));
  const opened = found.flatMap(({ server, settings }) =>
    settings === undefined ? [] : [[server, settings] as const],
  );
  const named = serversFor(
    choice.only,
    opened.map(([server]) => server),
  );
  return {
    servers: { ...Object.fromEntries(opened), ...servers },
    names: [...new Set([...choice.servers, ...named])],
    unopened: serversFor(choice.only, unopened).map((server) => ({ server, why: UNOPENED })),
  };
}

const UNOPENED = 'has settings that cannot be read where this runs';

interface Found {
  readonly server: string;
  /** Undefined: they do not open. */
  readonly settings: McpServerSettings | undefined;
}

/** Those that are used here, and have no name of one that is configured. */
async function ofTeam({ db, log, mcpSources }: Shell, teamId: string): Promise<readonly Found[]> {
  const { servers, ofTeam: { allowed, sealing } = {} } = mcpSources;
  if (allowed === undefined || sealing === undefined) return [];
  const stored = await readMcpServers(db, teamId, sealing);
  return stored.flatMap((each): readonly Found[] => {
    const { name: server } = each;
    if (Object.hasOwn(servers, server)) return [];
    const settings = 'settings' in each ? readTeamServer(each.settings) : undefined;
    if (settings !== undefined) return isTeams(settings, allowed) ? [{ server, settings }] : [];
    const reason = 'unopened' in each ? each.unopened : 'they are none, by this version';
    log.warn({ teamId, server, reason }, 'the settings of an MCP server of a team cannot be read');
    return [{ server, settings }];
  });
}
