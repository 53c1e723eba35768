/** Agents: named profiles, each with its prompt in a file beside this one. */
import { readFileSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
import { type ConfiguredRule, rulesOf } from '../core/permission.ts';
import type { Mode, Profile } from '../core/profile.ts';
import type { Registry } from '../tools/registry.ts';

interface Agent {
  readonly prompt: string;
  readonly mode: Mode;
  /** Whether its tools may change anything. */
  readonly writes: boolean;
}

export interface ProfileRequest {
  readonly agent?: string | undefined;
  /** `provider/model`, resolved. */
  readonly model: string;
  readonly mode?: Mode | undefined;
  readonly temperature?: number | undefined;
  readonly maxTokens?: number | undefined;
  /** The rules of the project that it works in, which only narrow. */
  readonly restrictions?: readonly ConfiguredRule[] | undefined;
}

/** What is configured for all agents. A rule may be for one of them. */
export interface AgentSettings {
  readonly rules?: readonly ConfiguredRule[] | undefined;
  readonly allowedPaths?: readonly string[] | undefined;
  /** Seconds that a person has to answer. */
  readonly approvalSeconds?: number | undefined;
}

export interface Agents {
  readonly names: readonly string[];
  /** Throws `UserError` `unknown_agent`. */
  resolve(request: ProfileRequest): Profile;
}

const DEFAULT_AGENT = 'build';

const AGENTS: ReadonlyMap<string, Agent> = new Map([
  ['build', { prompt: readPrompt('build'), mode: 'safe', writes: true }],
  ['plan', { prompt: readPrompt('plan'), mode: 'plan', writes: false }],
]);

export function createAgents(tools: Registry, settings: AgentSettings = {}): Agents {
  const names = [...AGENTS.keys()];
  return {
    names,
    resolve: ({ agent: name = DEFAULT_AGENT, model, mode, temperature, maxTokens, restrictions }) => {
      const agent = AGENTS.get(name);
      if (agent === undefined) {
        throw new UserError('unknown_agent', `There is no agent '${name}'; there are ${names.join(', ')}.`);
      }
      const allowed = tools.tools.filter((tool) => agent.writes || tool.effect === 'read');
      const shown = allowed.filter(
        ({ needs }) => needs === undefined || allowed.some((each) => each.name === needs),
      );
      return {
        agent: name,
        prompt: agent.prompt,
        tools: shown.map((tool) => tool.name),
        model,
        mode: agent.writes ? (mode ?? agent.mode) : agent.mode,
        ...(temperature === undefined ? {} : { temperature }),
        ...(maxTokens === undefined ? {} : { maxTokens }),
        ...permissionsOf(name, settings, restrictions),
      };
    },
  };
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

function readPrompt(name: string): string {
  return readFileSync(new URL(`./${name}.md`, import.meta.url), 'utf8').trimEnd();
}
