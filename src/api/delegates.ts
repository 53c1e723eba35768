/** Whom a task's agent may delegate to, settled when the task is submitted as all that it is. */
import type { Agents } from '../agents/agents.ts';
import { asChild } from '../agents/child.ts';
import { UserError } from '../core/errors.ts';
import type { ConfiguredRule } from '../core/permission.ts';
import { answeringModels, type Profile, stricterMode } from '../core/profile.ts';
import { DELEGATE_TASK, MERGE_CHILD } from '../core/tool-names.ts';
import type { Models } from '../model/providers.ts';
import { profileHash } from '../store/profile-hash.ts';
import type { NewTask } from '../store/tasks.ts';
import { profileOf } from './profile-of.ts';
import type { CreateTask } from './wire.ts';

interface Means {
  readonly models: Models;
  readonly agents: Agents;
}

interface Submitted {
  readonly profile: Profile;
  readonly restrictions: readonly ConfiguredRule[];
  readonly limits: NewTask['limits'];
}

type Delegating = Pick<NewTask, 'profile' | 'profileHash' | 'delegates'>;

export function delegating(means: Means, body: CreateTask, submitted: Submitted): Delegating {
  const { profile, limits } = submitted;
  if (!profile.tools.includes(DELEGATE_TASK)) return { profile, profileHash: profileHash(profile) };
  if (limits.depth === 0 || limits.children === 0) return alone(profile);
  const delegates = means.agents.names.flatMap((agent) => {
    const child = childOf(means, { ...body, agent }, submitted);
    return child === undefined ? [] : [{ agent, hash: profileHash(child), body: child }];
  });
  const named = Object.fromEntries(delegates.map(({ agent, hash }) => [agent, hash]));
  const own = { ...profile, delegates: named };
  return {
    profile: own,
    profileHash: profileHash(own),
    delegates: delegates.map(({ hash, body: kept }) => ({ hash, body: kept })),
  };
}

function alone(profile: Profile): Delegating {
  const tools = profile.tools.filter((name) => name !== DELEGATE_TASK && name !== MERGE_CHILD);
  return { profile: { ...profile, tools }, profileHash: profileHash({ ...profile, tools }) };
}

/** None that may do more than its parent, nor one that cannot be paid for within the task's limits, or has no model here. */
function childOf(
  means: Means,
  asked: CreateTask & { readonly agent: string },
  { profile, restrictions, limits }: Submitted,
): Profile | undefined {
  const { agents, models } = means;
  const agent = agents.find(asked.agent);
  if (agent.writes && !agents.find(profile.agent).writes) return undefined;
  try {
    // What a person asked for is for all of them; else each has its own, and no freer one than its parent.
    const mode = asked.mode ?? stricterMode(agent.mode, profile.mode);
    const child = profileOf(means, { ...asked, mode }, restrictions);
    const isPriced = answeringModels(child).every((name) => models.resolve(name).info.prices !== undefined);
    return limits.usd != null && !isPriced ? undefined : asChild(child);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
