/** What a task asks its agent to be, and with which models. */
import type { Agent, Agents } from '../agents/agents.ts';
import type { ConfiguredRule } from '../core/permission.ts';
import type { Profile, Router } from '../core/profile.ts';
import type { Models } from '../model/providers.ts';
import type { CreateTask } from './wire.ts';

type Asked = Pick<CreateTask, 'agent' | 'model' | 'mode' | 'temperature' | 'maxTokens' | 'withoutTools'>;

/** Throws `UserError`: `unknown_agent`, `unknown_tool`, or why there is no such model. */
export function profileOf(
  { models, agents }: { readonly models: Models; readonly agents: Agents },
  { agent: name, model: named, mode, temperature, maxTokens, withoutTools }: Asked,
  restrictions: readonly ConfiguredRule[] = [],
): Profile {
  const agent = agents.find(name);
  const model = models.resolve(named ?? agent.model);
  return agents.resolve({
    ...{ agent: name, model: model.name, takesTemperature: model.info.temperature !== false },
    ...{ router: routerOf(agent, { models, isNamed: named !== undefined, model: model.name }) },
    ...{ mode, temperature, maxTokens, withoutTools },
    ...(restrictions.length === 0 ? {} : { restrictions }),
  });
}

interface Primary {
  readonly models: Models;
  readonly model: string;
  /** The task itself says which: others answer only where it fails. */
  readonly isNamed: boolean;
}

function routerOf(
  { fallbacks = [], strategy = 'fallback' }: Agent,
  { models, model, isNamed }: Primary,
): Router | undefined {
  const others = fallbacks
    .map((each) => ({ ...each, model: models.resolve(each.model).name }))
    .filter((each) => each.model !== model);
  if (others.length === 0) return undefined;
  return { strategy: isNamed && strategy === 'balance' ? 'fallback' : strategy, fallbacks: others };
}
