/** Agents: named profiles. Some are built in; settings change them, and add others that are like one of them. */
import {
  agentNamed,
  BUILT_IN_AGENTS,
  type BuiltInAgent,
  DEFAULT_AGENT,
  sayUnknownAgent,
} from '../core/agent-names.ts';
import { UserError } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import { type ConfiguredRule, rulesOf } from '../core/permission.ts';
import {
  type ContextPolicy,
  DEFAULT_TEMPERATURE,
  type Effort,
  type Mode,
  type Profile,
  type Router,
  serversFor,
} from '../core/profile.ts';
import { TODO, TOOL_NAMES } from '../core/tool-names.ts';
import type { Registry } from '../tools/registry.ts';
import type { Tool } from '../tools/tool.ts';
import { BUILT_IN, type BuiltIn } from './built-in.ts';

export interface ProfileRequest {
  readonly agent?: string | undefined;
  /** `provider/model`, resolved. */
  readonly model: string;
  /** What else may answer, resolved. */
  readonly router?: Router | undefined;
  /** Whether the model takes a temperature; it does where left out. */
  readonly takesTemperature?: boolean | undefined;
  readonly mode?: Mode | undefined;
  readonly temperature?: number | undefined;
  readonly maxTokens?: number | undefined;
  /** Tools that it does without, whatever it may have. */
  readonly withoutTools?: readonly string[] | undefined;
  /** The rules of the project that it works in, which only narrow. */
  readonly restrictions?: readonly ConfiguredRule[] | undefined;
}

/** What settings say of one agent. */
export interface AgentOptions {
  readonly prompt?: string | undefined;
  /** The built-in one that it is like; `build` where left out. */
  readonly like?: string | undefined;
  readonly model?: string | undefined;
  readonly fallbacks?: readonly { readonly model: string; readonly weight: number }[] | undefined;
  readonly strategy?: Router['strategy'] | undefined;
  /** Of those that it may have, the only ones that it is shown. */
  readonly tools?: readonly string[] | undefined;
  readonly mode?: Mode | undefined;
  readonly temperature?: number | undefined;
  readonly maxTokens?: number | undefined;
  readonly effort?: Effort | undefined;
  readonly limits?: AgentLimits | undefined;
}

/** Of its tasks, where they say nothing themselves. */
export interface AgentLimits {
  readonly turns?: number | undefined;
  readonly treeTurns?: number | undefined;
  readonly children?: number | undefined;
  readonly concurrentChildren?: number | undefined;
  readonly depth?: number | undefined;
  readonly tokens?: number | undefined;
  readonly usd?: number | undefined;
  readonly seconds?: number | undefined;
}

/** What is configured for all agents. A rule may be for one of them. */
export interface AgentSettings {
  readonly rules?: readonly ConfiguredRule[] | undefined;
  readonly allowedPaths?: readonly string[] | undefined;
  /** Seconds that a person has to answer. */
  readonly approvalSeconds?: number | undefined;
  /** How much of a log a request holds. */
  readonly context?: ContextPolicy | undefined;
  readonly agents?: Readonly<Record<string, AgentOptions>> | undefined;
  /** Names of MCP servers. */
  readonly servers?: readonly string[] | undefined;
  /** Whether teams may have MCP servers beside those. */
  readonly hasTeamServers?: boolean | undefined;
  /** Whether projects may. */
  readonly hasProjectServers?: boolean | undefined;
}

/** An agent as it can be asked for. */
export interface Agent extends BuiltIn, Pick<AgentOptions, 'model' | 'fallbacks' | 'strategy' | 'effort'> {
  readonly name: string;
  /** Names of its tools. */
  readonly tools: readonly string[];
  /** The only ones that it is to have, as configured, those of MCP servers among them. */
  readonly only?: readonly string[] | undefined;
  /** Names of the MCP servers that it may have tools of. */
  readonly servers: readonly string[];
  readonly temperature?: number | undefined;
  readonly maxTokens?: number | undefined;
  readonly limits: AgentLimits;
}

export interface Agents {
  readonly names: readonly string[];
  /** The one of a name; the default one where undefined. Throws `UserError` `unknown_agent`. */
  find(name?: string): Agent;
  /** Throws `UserError` `unknown_agent`, or `unknown_tool` for one that it is to do without. */
  resolve(request: ProfileRequest): Profile;
}

/** Throws `UserError` where what is configured names agents or tools that there are none of. */
export function createAgents(tools: Registry, settings: AgentSettings = {}): Agents {
  const configured = byName(settings.agents ?? {});
  const names = [...new Set([...BUILT_IN_AGENTS, ...configured.keys()])];
  const agents = new Map(
    names.map((name) => [name, made(name, configured.get(name) ?? {}, { settings, tools })]),
  );
  const find = (name: string = DEFAULT_AGENT): Agent => {
    const found = agents.get(agentNamed(name));
    if (found !== undefined) return found;
    throw new UserError('unknown_agent', `${sayUnknownAgent(name, names)}.`);
  };
  return { names, find, resolve: (request) => profileOf(find(request.agent), request, { settings, tools }) };
}

function byName(given: Readonly<Record<string, AgentOptions>>): Map<string, AgentOptions> {
  const named = new Map<string, AgentOptions>();
  for (const [name, options] of Object.entries(given)) {
    const own = agentNamed(name);
    if (named.has(own))
      throw new UserError(
        'config_invalid',
        `agents.${own} has two names, and both are configured: leave one out.`,
      );
    named.set(own, options);
  }
  return named;
}

function made(name: string, options: AgentOptions, { settings, tools }: Means): Agent {
  const {
    like,
    prompt,
    mode,
    model,
    fallbacks,
    strategy,
    temperature,
    maxTokens,
    effort,
    limits = {},
  } = options;
  const own = BUILT_IN[name as BuiltInAgent];
  const base = like === undefined ? (own ?? BUILT_IN[DEFAULT_AGENT]) : builtInNamed(name, like);
  const writes = base.writes && (own?.writes ?? true);
  return {
    name,
    about: own?.about ?? `like ${like ?? DEFAULT_AGENT}`,
    prompt: prompt?.trimEnd() ?? base.prompt,
    writes,
    lists: base.lists,
    mode: writes ? (mode ?? base.mode) : 'plan',
    tools: toolsOf(name, { writes, lists: base.lists, only: options.tools }, tools),
    only: options.tools,
    servers: serversFor(options.tools, settings.servers ?? []),
    ...{ model, fallbacks, strategy, temperature, maxTokens, effort, limits },
  };
}

function builtInNamed(name: string, like: string): BuiltIn {
  const found = BUILT_IN[agentNamed(like) as BuiltInAgent];
  if (found !== undefined) return found;
  const near = nearest(like, BUILT_IN_AGENTS);
  throw new UserError(
    'config_invalid',
    `agents.${name}.like must be an agent that is built in (${BUILT_IN_AGENTS.join(', ')}); found ${JSON.stringify(like)}, the nearest one is "${near}".`,
  );
}

interface Choice {
  readonly writes: boolean;
  readonly lists: boolean;
  readonly only: readonly string[] | undefined;
}

/** One that needs another is left out without it. */
function toolsOf(agent: string, { writes, lists, only }: Choice, { tools }: Registry): string[] {
  const unknown = sayUnknownTool(only ?? [], tools);
  if (unknown !== undefined) throw new UserError('config_invalid', `agents.${agent}.tools names ${unknown}`);
  const may = ({ name, effect }: Tool) =>
    (writes || effect === 'read' || effect === 'delegate') && (lists || name !== TODO);
  return usable(tools.filter((tool) => may(tool) && (only === undefined || only.includes(tool.name))));
}

function usable(tools: readonly Tool[]): string[] {
  return tools
    .filter(({ needs }) => needs === undefined || tools.some(({ name }) => name === needs))
    .map(({ name }) => name);
}

/** The first name that is none, in the end of a sentence. A setting may have switched a tool off, or a server not have said its own yet. */
function sayUnknownTool(given: readonly string[], tools: readonly Tool[]): string | undefined {
  const names = [...new Set([...tools.map(({ name }) => name), ...TOOL_NAMES])];
  const unknown = given.find((name) => !names.includes(name) && !name.includes('__'));
  if (unknown === undefined) return undefined;
  return `${JSON.stringify(unknown)}, and there is no such tool; the nearest one is "${nearest(unknown, names)}".`;
}

/** What a task leaves its agent. */
function toolsLeft(agent: Agent, without: readonly string[], { tools }: Registry): readonly string[] {
  const unknown = sayUnknownTool(without, tools);
  if (unknown !== undefined) throw new UserError('unknown_tool', `The task is to do without ${unknown}`);
  return usable(tools.filter(({ name }) => agent.tools.includes(name) && !without.includes(name)));
}

interface Means {
  readonly settings: AgentSettings;
  readonly tools: Registry;
}

function profileOf(agent: Agent, request: ProfileRequest, { settings, tools }: Means): Profile {
  const { model, router, takesTemperature = true, mode, restrictions, withoutTools = [] } = request;
  const temperature = request.temperature ?? agent.temperature ?? DEFAULT_TEMPERATURE;
  const maxTokens = request.maxTokens ?? agent.maxTokens;
  return {
    agent: agent.name,
    prompt: agent.prompt,
    tools: toolsLeft(agent, withoutTools, tools),
    ...mcpOf(agent, withoutTools, settings),
    model,
    ...(router === undefined ? {} : { router }),
    mode: agent.writes ? (mode ?? agent.mode) : 'plan',
    ...(takesTemperature ? { temperature } : {}),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(agent.effort === undefined ? {} : { effort: agent.effort }),
    ...(settings.context === undefined ? {} : { context: settings.context }),
    ...permissionsOf(agent.name, settings, restrictions),
  };
}

/** The servers that an agent may have tools of, and which of them. */
function mcpOf(
  { only, servers }: Agent,
  withoutTools: readonly string[],
  { hasTeamServers = false, hasProjectServers = false }: AgentSettings,
): Pick<Profile, 'mcp'> {
  const ofServers = (tools: readonly string[]) => tools.filter((tool) => tool.includes('__'));
  const chosen = only && ofServers(only);
  const [ofTeam, ofProject] = [hasTeamServers, hasProjectServers].map((has) => has && chosen?.length !== 0);
  if (servers.length === 0 && !ofTeam && !ofProject) return {};
  const without = ofServers(withoutTools);
  const choice = {
    servers,
    ...(ofTeam && { team: true as const }),
    ...(ofProject && { project: true as const }),
    ...(chosen && { only: chosen }),
    ...(without.length > 0 && { without }),
  };
  return { mcp: choice };
}

/** Nothing where nothing is configured: profiles that say the same have the same hash. */
function permissionsOf(
  agent: string,
  settings: AgentSettings,
  narrowing: readonly ConfiguredRule[] = [],
): Pick<Profile, 'permissions'> {
  const { allowedPaths, approvalSeconds } = settings;
  const [rules, restrictions] = [rulesOf(agent, settings.rules ?? []), rulesOf(agent, narrowing)];
  const permissions = {
    ...(rules.length === 0 ? {} : { rules }),
    ...(restrictions.length === 0 ? {} : { restrictions }),
    ...(allowedPaths === undefined ? {} : { allowedPaths }),
    ...(approvalSeconds === undefined ? {} : { approvalSeconds }),
  };
  return Object.keys(permissions).length === 0 ? {} : { permissions };
}
