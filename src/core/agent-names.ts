/** The names of agents, for whoever knows no agents: settings, rules, and the command line. */
import { likely } from './nearest.ts';

export const DEFAULT_AGENT = 'build';

/** Those that come with Capybara. */
export const BUILT_IN_AGENTS = [
  ...(['build', 'debug', 'refactor'] as const),
  ...(['plan', 'ask', 'architect', 'audit', 'explain', 'review'] as const),
] as const;
export type BuiltInAgent = (typeof BUILT_IN_AGENTS)[number];

/** Other names of one. */
const ALSO: Readonly<Record<string, BuiltInAgent>> = { code: 'build' };

/** The name that an agent goes by, whichever of its names was given. */
export function agentNamed(name: string): string {
  return ALSO[name] ?? name;
}

/** A sentence without its stop about a name that is none; undefined where it is one. */
export function sayUnknownAgent(name: string, configured: readonly string[]): string | undefined {
  const names = [...new Set([...BUILT_IN_AGENTS, ...configured])];
  if (names.includes(agentNamed(name))) return undefined;
  const near = likely(name, [...names, ...Object.keys(ALSO)]);
  const meant = near === undefined ? '' : ` (the nearest one is "${agentNamed(near)}")`;
  return `There is no agent ${JSON.stringify(name)}${meant}; there are ${names.join(', ')}`;
}

/** The first of these rules that is for an agent that there is not, in a sentence without its stop. */
export function sayRuleOfUnknownAgent(
  rules: readonly { readonly agent?: string; readonly tool: string }[],
  configured: readonly string[],
): string | undefined {
  for (const { agent, tool } of rules) {
    const unknown = agent === undefined ? undefined : sayUnknownAgent(agent, configured);
    if (unknown !== undefined) return `The rule ${agent}/${tool} binds nobody. ${unknown}`;
  }
  return undefined;
}
