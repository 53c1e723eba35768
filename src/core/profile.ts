import { type ConfiguredRule, type Rule, rulesOf } from './permission.ts';

/** An agent, resolved when its task is submitted and stored by hash: nothing that changes later changes a task. */
export interface Profile {
  readonly agent: string;
  /** The system prompt, whole. */
  readonly prompt: string;
  /** Names of the tools that the model is shown. */
  readonly tools: readonly string[];
  /** What it is shown of MCP servers beside those; nothing where left out. */
  readonly mcp?: McpChoice;
  /** `provider/model`. */
  readonly model: string;
  /** What else may answer, and how it is chosen; the model alone where left out. */
  readonly router?: Router;
  /** How much of the log a request holds; `DEFAULT_CONTEXT` where left out. */
  readonly context?: ContextPolicy;
  readonly mode: Mode;
  readonly temperature?: number;
  readonly maxTokens?: number;
  readonly effort?: Effort;
  readonly permissions?: Permissions;
  /** Whom it may delegate to: names of agents, and the hashes of what they are then. */
  readonly delegates?: Readonly<Record<string, string>>;
}

/** Which tools of servers an agent has: `server__tool`. What a server offers is known only where it runs. */
export interface McpChoice {
  readonly servers: readonly string[];
  /** And those of its team, as they are when a turn runs. */
  readonly team?: true;
  /** And those of the project that its session began with. */
  readonly project?: true;
  /** The only ones of them; all where left out. */
  readonly only?: readonly string[];
  readonly without?: readonly string[];
}

/** Of these servers, those that an agent with only these tools has any of. */
export function serversFor(
  only: readonly string[] | undefined,
  servers: readonly string[],
): readonly string[] {
  return servers.filter((server) => only?.some((tool) => tool.startsWith(`${server}__`)) ?? true);
}

export function isChosen({ only, without = [] }: McpChoice, tool: string): boolean {
  return (only?.includes(tool) ?? true) && !without.includes(tool);
}

/** All that may answer, the primary first. */
export function answeringModels({ model, router }: Profile): readonly string[] {
  return [model, ...(router?.fallbacks ?? []).map((fallback) => fallback.model)];
}

/** How much a model thinks before it answers; the provider's default where left out. Not every model knows every word. */
export const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;
export type Effort = (typeof EFFORTS)[number];

/** How one of several models is chosen. */
export const STRATEGIES = ['single', 'fallback', 'balance'] as const;

/** `weight`: the primary's share where they are balanced. */
export interface Router {
  readonly strategy: (typeof STRATEGIES)[number];
  readonly weight?: number;
  readonly fallbacks: readonly { readonly model: string; readonly weight: number }[];
}

/** `window`: the newest messages. `compact`: older output goes first, then a summary stands for what is older. */
export interface ContextPolicy {
  readonly strategy: 'window' | 'compact';
  /** Tokens of a request, where the model's window is not smaller. */
  readonly maxTokens: number;
  /** For `window`; null: as many as `maxTokens` allows. */
  readonly maxMessages: number | null;
  /** For `compact`: the share of `maxTokens` at which it is done. */
  readonly compactAt: number;
}

export const DEFAULT_CONTEXT: ContextPolicy = {
  strategy: 'compact',
  maxTokens: 100_000,
  maxMessages: 50,
  compactAt: 0.8,
};

/** What was configured when the task was submitted. Part of the profile: nobody can widen it afterwards. */
export interface Permissions {
  readonly rules?: readonly Rule[];
  /** The project's own rules, `ask` and `deny` only: they narrow what the others say, whatever that is. */
  readonly restrictions?: readonly Rule[];
  /** Directories, relative to the workspace, outside which no tool may name a file; everything in it where left out. */
  readonly allowedPaths?: readonly string[];
  /** Seconds that a person has to answer; no end to them where left out. */
  readonly approvalSeconds?: number;
}

/** A profile that the rules of a project narrow, beside those that it has. */
export function narrowed(profile: Profile, rules: readonly ConfiguredRule[]): Profile {
  const more = rulesOf(profile.agent, rules);
  if (more.length === 0) return profile;
  const { restrictions = [], ...others } = profile.permissions ?? {};
  return { ...profile, permissions: { ...others, restrictions: [...restrictions, ...more] } };
}

/** How permission is asked: before what changes anything, never with nothing changed, or never. */
export type Mode = 'safe' | 'plan' | 'auto';

/** From what may do least. */
const BY_FREEDOM: readonly Mode[] = ['plan', 'safe', 'auto'];

export function stricterMode(one: Mode, other: Mode): Mode {
  return BY_FREEDOM.indexOf(one) < BY_FREEDOM.indexOf(other) ? one : other;
}

/** Where nobody says another, of models that take one. */
export const DEFAULT_TEMPERATURE = 0.7;

/** At a limit a task ends `failed`, or waits until somebody raises it. */
export const ON_LIMIT = ['fail', 'park'] as const;
export type OnLimit = (typeof ON_LIMIT)[number];

/** Most sessions that a task may have below it, and how deep. */
export const MAX_CHILDREN = 1_000;
export const MAX_DEPTH = 8;

/** Limits where nothing else is asked for. */
export const DEFAULT_LIMITS = {
  ...{ turns: 70, treeTurns: 1000 },
  ...{ children: 12, concurrentChildren: 3, depth: 1 },
} as const;
