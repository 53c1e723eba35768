/** The tools of MCP servers in a run: brought before the model is asked, ended with it where they may write, told of where they are not there. */
import { join } from 'node:path';
import { isAllowed } from '../allowed-hosts.ts';
import { type Clock, systemClock } from '../clock.ts';
import { contextTokens } from '../core/context-size.ts';
import { type NewEntry, standing, textOf } from '../core/entry.ts';
import { areTooMany, foundNames } from '../core/found-tools.ts';
import { ABOUT_MCP_SERVERS } from '../core/mcp-notice.ts';
import { DEFAULT_CONTEXT, isChosen, type Profile } from '../core/profile.ts';
import { untrusted } from '../core/untrusted.ts';
import type { BridgeOptions, MissingServer } from '../mcp/client/bridge.ts';
import { findToolsTool } from '../mcp/client/find-tools.ts';
import { MCP_LIMITS } from '../mcp/client/server.ts';
import { KeptAccess } from '../mcp/oauth/kept-access.ts';
import type { SignIn } from '../mcp/oauth/sign-in.ts';
import type { Database } from '../store/database.ts';
import { McpSignIns } from '../store/mcp-sign-ins.ts';
import { Sealing } from '../store/sealing.ts';
import { type Registry, registryOf, type ToolDescription } from '../tools/registry.ts';
import type { McpSources } from './mcp-servers.ts';
import { serversOfRun } from './mcp-servers.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

type Notice = Extract<NewEntry, { kind: 'notice' }>;

const ABOUT = ABOUT_MCP_SERVERS;
const ALL_THERE = `${ABOUT} all of them can be used again.`;

/** Servers of tools, and what they may take. */
export interface McpOptions extends McpSources, Pick<BridgeOptions, 'limits'> {
  /** How what teams have signed in with is kept. */
  readonly sealing?: Sealing;
  /** What a team's servers may have of private addresses, and reach without TLS. */
  readonly allow?: readonly string[] | undefined;
}

export function mcpOptions(
  options: Pick<BridgeOptions, 'sandbox' | 'log' | 'version'> & {
    readonly dataDir: string;
    readonly db: Database;
    readonly clock?: Clock;
    readonly mcp?: McpOptions | undefined;
  },
): BridgeOptions {
  const { sandbox, log, version, dataDir, db, mcp, clock = systemClock } = options;
  const { limits = MCP_LIMITS, sealing = new Sealing([]), allow = [] } = mcp ?? {};
  const permits: BridgeOptions['isAllowed'] = (way) => isAllowed(way, allow);
  const signIns = {
    store: new McpSignIns<SignIn>(db, sealing),
    isAllowed: permits,
    now: clock,
    failures: new Map(),
  };
  return {
    ...{ sandbox, log, version, limits, directory: join(dataDir, 'scratch', 'mcp') },
    isAllowed: permits,
    access: (at) => new KeptAccess(signIns, at),
  };
}

/** Those of a profile that come with Capybara; the same for all runs of it. */
export function ownTools({ tools }: Shell, profile: Profile): Registry {
  const known = OWN.get(tools) ?? new Map<string, Registry>();
  OWN.set(tools, known);
  const names = profile.tools.join(' ');
  const own = known.get(names) ?? registryOf(tools, profile.tools);
  if (known.size >= CHOICES) known.clear();
  known.set(names, own);
  return own;
}

const OWN = new WeakMap<Registry, Map<string, Registry>>();
/** Kept of one worker. */
const CHOICES = 200;

/** Nothing where the run is stopped meanwhile: the loop sees what for. */
export async function bringTools(shell: Shell, run: Run): Promise<void> {
  const { mcp } = run.profile;
  if (mcp === undefined || run.stopped !== undefined) return;
  const { servers, names, unopened } = await serversOfRun(shell, run, mcp);
  run.missing = unopened;
  if (names.length === 0) return;
  let hasLeft = false;
  const session = {
    ...{ teamId: run.turn.teamId, sessionId: run.turn.sessionId, servers },
    workspace: async () => {
      if (hasLeft) throw new Error('the turn has ended');
      return run.workspace(shell.openWorkspace);
    },
    signal: run.signal,
  };
  run.onLeave = async () => {
    hasLeft = true;
    await shell.mcp.leave(session);
  };
  try {
    const { tools, missing } = await shell.mcp.toolsOf(session, names);
    const chosen = tools.filter(({ name }) => isChosen(mcp, name));
    const isSearched = areTooMany(registryOf(shell.tools, [], chosen).specs(), tokensFor(shell, run));
    const more = isSearched ? [...chosen, findToolsTool(chosen)] : chosen;
    run.tools = registryOf(shell.tools, run.profile.tools, more);
    run.searched = new Set(isSearched ? chosen.map(({ name }) => name) : []);
    run.missing = [...missing, ...unopened];
  } catch (error) {
    if (!run.signal.aborted) throw error;
  }
}

/** What a request may hold; the same from turn to turn, whoever answers. */
function tokensFor({ models }: Shell, { profile }: Run): number {
  const { info } = models.resolve(profile.model);
  return contextTokens(profile.context ?? DEFAULT_CONTEXT, info, profile.maxTokens);
}

/** Those that the model is told of: of tools that are searched, what it has found. */
export function shownTools({ tools, searched, entries }: Run): readonly ToolDescription[] {
  if (searched.size === 0) return tools.specs();
  const found = foundNames(standing(entries));
  return tools.specs().filter(({ name }) => !searched.has(name) || found.has(name));
}

/** What the model is told of servers that are away, or are back: once, until it is another. */
export function missingNotices({ entries, missing, profile }: Run): readonly Notice[] {
  if (profile.mcp === undefined) return [];
  const said = standing(entries).findLast(
    (entry) => entry.kind === 'notice' && textOf(entry.parts).startsWith(ABOUT),
  );
  const names = missing.map(sayMissing).join(', ');
  const now =
    missing.length === 0 ? ALL_THERE : `${ABOUT} ${names} cannot be used now, and the tools are missing.`;
  const before = said === undefined ? ALL_THERE : textOf(said.kind === 'notice' ? said.parts : []);
  return now === before ? [] : [{ kind: 'notice', parts: [{ type: 'text', text: now }] }];
}

function sayMissing({ server, isGuarded }: MissingServer): string {
  const cure = isGuarded ? ` (a person has to sign in there: \`capybara mcp login ${server}\`)` : '';
  return `'${server}'${cure}`;
}

/** Why a tool that an agent may have is not there, as a result that the model can read. Undefined: it is there, or there is none. */
export function whyAway({ tools, missing }: Run, name: string): string | undefined {
  if (tools.tools.some((tool) => tool.name === name)) return undefined;
  const away = missing.find(({ server }) => name.startsWith(`${server}__`));
  if (away === undefined) return undefined;
  const said = away.said === undefined ? '' : `\n${untrusted(away.server, away.said)}`;
  return `Error: McpServer: the MCP server '${away.server}' ${away.why}. The call was not made.${said}`;
}
