/** A task's limits, and what is reserved against them. */
import { toPublicId } from '../core/id.ts';
import { answeringModels, DEFAULT_LIMITS, type Profile } from '../core/profile.ts';
import { dearestOf } from '../core/request-size.ts';
import type { Models } from '../model/providers.ts';
import { type RaiseOutcome, raiseLimits } from '../store/accounts.ts';
import type { NewTask } from '../store/tasks.ts';
import { type ApiDeps, announce } from './deps.ts';
import { type ApiProblem, badRequest, conflict, notFound } from './problem.ts';
import type { Call } from './route.ts';
import type { CreateTask, PatchTask } from './wire.ts';

/** Throws `ApiProblem` where money is limited, and what a model costs is not known. */
export function accountsOf(
  models: Models,
  limits: NonNullable<CreateTask['limits']>,
  profile: Profile,
): Pick<NewTask, 'limits' | 'reserve'> {
  const { tokens = null, usd = null, seconds = null, onLimit = 'fail' } = limits;
  const { turns = DEFAULT_LIMITS.turns, treeTurns = DEFAULT_LIMITS.treeTurns } = limits;
  const { children = DEFAULT_LIMITS.children, depth = DEFAULT_LIMITS.depth } = limits;
  const { concurrentChildren = DEFAULT_LIMITS.concurrentChildren } = limits;
  const answering = answeringModels(profile).map((name) => ({ name, ...models.resolve(name).info }));
  const unpriced = answering.find(({ prices }) => prices === undefined);
  if (usd !== null && unpriced !== undefined) throw priceUnknown(unpriced.name);
  return {
    limits: {
      ...{ turns, treeTurns, tokens, usd, seconds, onLimit },
      ...{ children, concurrentChildren, depth },
    },
    reserve: {
      answer: profile.maxTokens ?? null,
      prices: dearestOf(answering.map(({ prices }) => prices)),
    },
  };
}

function priceUnknown(name: string): ApiProblem {
  return badRequest(
    'price_unknown',
    `limits.usd needs to know what each request costs, and the price of ${name} is not known: set models."${name}".prices ` +
      '(input and output, in US dollars for a million tokens) in config.yaml, of the server where there is one, or limit tokens instead.',
    'limits.usd',
  );
}

/** Throws `ApiProblem` with nothing written. */
export async function raiseTaskLimits(
  deps: ApiDeps,
  { caller, id, body }: Call<unknown, PatchTask>,
): Promise<void> {
  const outcome = await raiseLimits(deps.db, { teamId: caller.teamId, taskId: id, limits: body.limits });
  if (outcome.outcome !== 'raised') throw refusal(outcome, id);
  announce(deps, outcome);
}

function refusal(outcome: Exclude<RaiseOutcome, { outcome: 'raised' }>, id: string): ApiProblem {
  const task = toPublicId('task', id);
  switch (outcome.outcome) {
    case 'not_found':
      return notFound(`task ${task}`);
    case 'ended':
      return conflict(
        'task_ended',
        `The task ${task} has ended (${outcome.status}): its limits stay what they were. Give the next task higher ones.`,
      );
    case 'not_higher': {
      const is = outcome.allowed === null ? 'there is none' : `it is ${outcome.allowed}`;
      return badRequest(
        'limit_not_higher',
        `A limit can only become higher: expected more than the task's limits.${outcome.limit} (${is}).`,
        `limits.${outcome.limit}`,
      );
    }
  }
}
