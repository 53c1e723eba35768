/** Agents: named profiles, each with its prompt in a file beside this one. */
import { readFileSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
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
}

export interface Agents {
  readonly names: readonly string[];
  /** Throws `UserError` `unknown_agent`. */
  resolve(request: ProfileRequest): Profile;
}

const DEFAULT_AGENT = 'build';

const AGENTS: ReadonlyMap<string, Agent> = new Map([
  ['build', { prompt: readPrompt('build'), mode: 'auto', writes: true }],
  ['plan', { prompt: readPrompt('plan'), mode: 'plan', writes: false }],
]);

export function createAgents(tools: Registry): Agents {
  const names = [...AGENTS.keys()];
  return {
    names,
    resolve: ({ agent: name = DEFAULT_AGENT, model, mode, temperature, maxTokens }) => {
      const agent = AGENTS.get(name);
      if (agent === undefined) {
        throw new UserError('unknown_agent', `There is no agent '${name}'; there are ${names.join(', ')}.`);
      }
      const shown = tools.tools.filter((tool) => agent.writes || tool.effect === 'read');
      return {
        agent: name,
        prompt: agent.prompt,
        tools: shown.map((tool) => tool.name),
        model,
        mode: agent.writes ? (mode ?? agent.mode) : agent.mode,
        ...(temperature === undefined ? {} : { temperature }),
        ...(maxTokens === undefined ? {} : { maxTokens }),
      };
    },
  };
}

function readPrompt(name: string): string {
  return readFileSync(new URL(`./${name}.md`, import.meta.url), 'utf8').trimEnd();
}
