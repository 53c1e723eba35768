/** Whether an MCP server at an address works, as the team's workers would have it. Programs are started by workers alone. */
import { isAllowed } from '../allowed-hosts.ts';
import { tryAddress } from '../mcp/client/address-trial.ts';
import { KeptAccess } from '../mcp/oauth/kept-access.ts';
import type { SignIn } from '../mcp/oauth/sign-in.ts';
import { McpSignIns } from '../store/mcp-sign-ins.ts';
import { VERSION } from '../version.ts';
import type { ApiDeps } from './deps.ts';
import { findMcpServer, noServerNamed } from './mcp-server-routes.ts';
import { conflict } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { McpTrial } from './wire-mcp.ts';

export function mcpTrialRoute(deps: ApiDeps): Route {
  return route({
    method: 'post',
    path: '/v1/mcp/servers/:name/test',
    summary:
      'Connect to an MCP server at an address as workers do, and say what it offers, or why it cannot be used.',
    scope: 'admin',
    success: { status: 200, description: 'What came of it. None of its tools was called.', schema: McpTrial },
    problems: { 404: ['not_found'], 409: ['mcp_program'] },
    handle: (call) => tried(deps, call),
  });
}

async function tried(deps: ApiDeps, { caller, name, response }: Call<unknown, unknown>): Promise<Reply> {
  const { db, sealing, clock, mcp } = deps;
  const { teamId } = caller;
  const found = await findMcpServer(deps, teamId, name);
  if (found === undefined) throw await noServerNamed(deps, teamId, name);
  const { settings } = found;
  if (!('url' in settings))
    throw conflict(
      'mcp_program',
      `The MCP server ${name} is a program, which workers start: run \`capybara mcp test ${name}\` where one of them runs.`,
    );
  const permits = (way: Parameters<typeof isAllowed>[0]) => isAllowed(way, mcp.allow ?? []);
  const store = new McpSignIns<SignIn>(db, sealing);
  const leaving = new AbortController();
  response.once('close', () => leaving.abort(new Error('nobody waits for it any more')));
  const trial = await tryAddress(name, settings, {
    ...{ version: VERSION, isAllowed: permits, messageBytes: mcp.messageKib * 1024, signal: leaving.signal },
    connectMs: 1_000 * (settings.connectSeconds ?? mcp.connectSeconds),
    callMs: 1_000 * (settings.callSeconds ?? mcp.callSeconds),
    access: new KeptAccess(
      { store, isAllowed: permits, now: clock, failures: new Map() },
      { teamId, server: name, settings },
    ),
  });
  if (!trial.ok) return { status: 200, body: trial };
  const { secret } = (await store.read({ teamId, server: name })) ?? {};
  const wants = secret?.url === settings.url ? (secret.challenge?.scope ?? null) : null;
  return { status: 200, body: { ...trial, wants } };
}
