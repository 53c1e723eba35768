/** Which MCP servers agents may have tools of, and those that a team's administrators add. */
import { basename } from 'node:path';
import { newId } from '../clock.ts';
import { isTeams, McpServer, type McpServerSettings, mcpName } from '../config/mcp-settings.ts';
import { shownServer } from '../config/shown-mcp-server.ts';
import { refusedForTeam } from '../mcp/client/team-address.ts';
import { MAX_MCP_SERVERS, putMcpServer, removeMcpServer } from '../store/mcp-servers.ts';
import { readSignIns, type ShownSignIn } from '../store/mcp-sign-ins.ts';
import type { ApiDeps } from './deps.ts';
import { ApiProblem, badRequest, conflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { teamMcpServers } from './team-mcp-servers.ts';
import { ListedMcpServer, McpServers, RemovedMcpServer } from './wire-mcp.ts';

export { findMcpServer, noServerNamed } from './team-mcp-servers.ts';

export function mcpServerRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/mcp/servers',
      summary:
        'The MCP servers that agents may have tools of: those that are configured here, and the team’s.',
      scope: 'read',
      success: {
        status: 200,
        description: 'All of them, without what keys are put into.',
        schema: McpServers,
      },
      handle: async ({ caller }) => ({ status: 200, body: await listed(deps, caller.teamId) }),
    }),
    route({
      method: 'put',
      path: '/v1/mcp/servers/:name',
      summary: 'Add an MCP server to the team, or replace it: its agents have it from their next turn on.',
      scope: 'admin',
      body: McpServer,
      success: { status: 200, description: 'The server as it is listed.', schema: ListedMcpServer },
      problems: {
        400: ['bad_mcp_url'],
        403: ['mcp_server_not_allowed'],
        409: ['name_taken', 'too_many_mcp_servers', 'no_encryption_key'],
      },
      handle: (call) => put(deps, call),
    }),
    route({
      method: 'delete',
      path: '/v1/mcp/servers/:name',
      summary: 'Remove an MCP server of the team, with its keys and what was signed in with there.',
      scope: 'admin',
      success: { status: 200, description: 'It is removed.', schema: RemovedMcpServer },
      problems: { 404: ['not_found'] },
      handle: async ({ caller: { teamId }, name }) => {
        const { outcome } = await removeMcpServer(deps.db, { teamId, name });
        if (outcome === 'not_found') throw noServer(deps, name);
        return { status: 200, body: { server: name } };
      },
    }),
  ];
}

async function listed(deps: ApiDeps, teamId: string): Promise<McpServers> {
  const { enabled, servers, teamServers } = deps.mcp;
  const signIns = await readSignIns(deps.db, teamId);
  const configured = Object.entries(servers).map(([server, settings]) =>
    show({ server, settings, source: 'configured', unused: null, signIn: signInAt(server, signIns) }),
  );
  const added = await teamMcpServers(deps, teamId);
  const ofTeam = added.map(({ id: _, name, ...each }) =>
    show({ server: name, source: 'team', signIn: signInAt(name, signIns), ...each }),
  );
  return { enabled, teamServers, data: [...configured, ...ofTeam] };
}

/** Where a program lies is the business of whoever runs this Capybara. */
function show({
  settings,
  ...about
}: Pick<ListedMcpServer, 'server' | 'source' | 'unused' | 'signIn'> & {
  readonly settings: McpServerSettings | undefined;
}): ListedMcpServer {
  if (settings === undefined) return { ...UNREADABLE, ...about };
  const { command, env, headers, tools, ...shown } = shownServer(settings);
  const names = { env: [...env], headers: [...headers], tools: tools && [...tools] };
  return { ...shown, ...names, command: command && basename(command), ...about };
}

function signInAt(name: string, signIns: readonly ShownSignIn[]): ListedMcpServer['signIn'] {
  const signedIn = signIns.find(({ server }) => server === name);
  if (signedIn === undefined) return null;
  const { signedInBy: by, updatedAt, failure } = signedIn;
  return { by, at: updatedAt.toISOString(), failure };
}

const UNREADABLE = {
  ...{ kind: null, command: null, origin: null, transport: null, env: [], headers: [] },
  ...({ workspace: 'none', share: 'session' } as const),
  ...{ tools: null, trusted: false },
};

async function put(deps: ApiDeps, call: Call<unknown, McpServerSettings>): Promise<Reply> {
  const { caller, name, body: settings } = call;
  check(deps, name, settings);
  const { teamId, userId } = caller;
  const before = (await teamMcpServers(deps, teamId)).find((each) => each.name === name);
  const server = {
    ...{ teamId, userId, id: newId(deps.clock), name },
    // Kept as it was sent: later versions read it by their own schema.
    settings: call.request.body as unknown,
    keepsSignIn: isSameAddress(before?.settings, settings),
  };
  const { outcome } = await putMcpServer(deps.db, server, deps.sealing);
  if (outcome === 'too_many')
    throw conflict(
      'too_many_mcp_servers',
      `This team has the ${MAX_MCP_SERVERS} MCP servers that it may have: remove one.`,
    );
  const signIn = signInAt(name, await readSignIns(deps.db, teamId));
  return { status: 200, body: show({ server: name, settings, source: 'team', unused: null, signIn }) };
}

function isSameAddress(before: McpServerSettings | undefined, after: McpServerSettings): boolean {
  return before !== undefined && 'url' in before && 'url' in after && before.url === after.url;
}

/** Throws `ApiProblem` where the team may have no such server. */
function check({ mcp, sealing }: ApiDeps, name: string, settings: McpServerSettings): void {
  const wrong = mcpName.safeParse(name).error?.issues[0]?.message;
  if (wrong !== undefined)
    throw badRequest('invalid_request', `The name of the server cannot be used: ${wrong}.`, 'name');
  if (Object.hasOwn(mcp.servers, name))
    throw conflict(
      'name_taken',
      `Whoever runs this Capybara has configured an MCP server ${name}: take another name.`,
      'name',
    );
  if (!isTeams(settings, mcp.teamServers)) throw notAllowed(mcp.teamServers);
  const refused = 'url' in settings ? refusedForTeam(new URL(settings.url), mcp.allow ?? []) : undefined;
  if (refused !== undefined) throw badRequest('bad_mcp_url', refused, 'url');
  if (!sealing.canSeal)
    throw conflict(
      'no_encryption_key',
      'This Capybara has no key that the settings of the server could be sealed with: whoever runs it sets CAPYBARA_ENCRYPTION_KEY on every API and worker, to what `openssl rand -base64 32` prints.',
    );
}

function notAllowed(teamServers: ApiDeps['mcp']['teamServers']): ApiProblem {
  const allowed =
    teamServers === 'none'
      ? 'A team may add no MCP servers here'
      : 'A team may add MCP servers at addresses here (url), and no programs';
  return new ApiProblem({
    status: 403,
    code: 'mcp_server_not_allowed',
    detail: `${allowed}: whoever runs this Capybara decides it with mcp.teamServers (CAPYBARA_MCP_TEAM_SERVERS).`,
  });
}

function noServer({ mcp }: ApiDeps, name: string): ApiProblem {
  const shown = JSON.stringify(name.slice(0, 60));
  if (!Object.hasOwn(mcp.servers, name)) return notFound(`MCP server ${shown} of the team`);
  return notFound(`MCP server ${shown} of the team: it is configured by whoever runs this Capybara`);
}
