/** Limits and what was used, on the wire. Money is US dollars as a decimal number in text: no reader loses a part of it. */
import { z } from 'zod';
import { MAX_CHILDREN, MAX_DEPTH, ON_LIMIT } from '../core/profile.ts';

/** Longest time that `limits.seconds` may give a task: a year. */
export const MAX_SECONDS = 366 * 24 * 60 * 60;
/** Most money that `limits.usd` may give a task, and its smallest part: a micro-dollar. */
export const MAX_USD = 1_000_000;
const USD = /^\d{1,7}(\.\d{1,6})?$/;

const usd = z.string().meta({ description: 'US dollars, a decimal number' });
const unknownUsd = usd.nullable().meta({ description: 'US dollars, a decimal number; null: nobody knows' });

/** A number or its text; as its text from here on. */
const UsdInput = z
  .union([z.number(), z.string()])
  .transform((given) => (typeof given === 'number' ? decimalOf(given) : given))
  .refine((text) => USD.test(text) && Number(text) > 0 && Number(text) <= MAX_USD, {
    message: `expected US dollars above 0, up to ${MAX_USD}, to a millionth`,
  });

/** Without an exponent. */
function decimalOf(given: number): string {
  const text = String(given);
  return text.includes('e') ? given.toFixed(12).replace(/0+$/, '') : text;
}

const turns = z.int().min(1).max(100_000);
const treeTurns = z.int().min(1).max(1_000_000);
const children = z.int().min(0).max(MAX_CHILDREN);
const concurrentChildren = z.int().min(1).max(MAX_CHILDREN);
const depth = z.int().min(0).max(MAX_DEPTH);
const tokens = z.int().min(1);
const seconds = z.int().min(1).max(MAX_SECONDS);

export const OnLimit = z.enum(ON_LIMIT);

export const LimitsInput = z
  .strictObject({
    turns: turns.optional(),
    treeTurns: treeTurns.optional(),
    children: children.optional(),
    concurrentChildren: concurrentChildren.optional(),
    depth: depth.optional(),
    tokens: tokens.optional(),
    usd: UsdInput.optional(),
    seconds: seconds.optional(),
    onLimit: OnLimit.optional(),
  })
  .meta({
    id: 'Limits',
    description:
      'Hard limits of a task; tokens, money and `treeTurns` count over its whole session tree. Reaching one ends it `failed`, code `limit_<name>`; with `onLimit` `park` it waits on `budget` until the limit is raised.',
  });

export type PatchTask = z.infer<typeof PatchTask>;
export const PatchTask = z
  .strictObject({
    limits: z.strictObject({
      turns: turns.optional(),
      treeTurns: treeTurns.optional(),
      children: children.optional(),
      concurrentChildren: concurrentChildren.optional(),
      depth: depth.optional(),
      tokens: tokens.nullable().optional(),
      usd: UsdInput.nullable().optional(),
      seconds: seconds.nullable().optional(),
    }),
  })
  .meta({ id: 'PatchTask', description: 'Limits that become higher; null: there is none any more.' });

export const TaskLimits = z.object({
  turns: z.int(),
  treeTurns: z.int(),
  children: z.int().meta({ description: 'sessions that may be delegated to below the task, in all' }),
  concurrentChildren: z.int().meta({ description: 'of them at work at once; the others wait on `slot`' }),
  depth: z.int().meta({ description: 'how far below the root; 0: nothing is delegated' }),
  tokens: z.int().nullable(),
  usd: usd.nullable(),
  seconds: z.int().nullable(),
  onLimit: OnLimit,
});

const counts = {
  input: z.int(),
  output: z.int(),
  cached: z.int().meta({ description: 'of input: read from a cache' }),
  cacheWritten: z.int().meta({ description: 'of input: written to a cache' }),
  reasoning: z.int().meta({ description: 'of output' }),
  requests: z.int().meta({ description: 'model answers that were recorded' }),
  usd: unknownUsd,
  unpriced: z.int().meta({ description: 'of requests: those whose price nobody knew; they are not in usd' }),
};

/** Requests whose answer was lost on the way. */
const brokenOff = z.object({ requests: z.int(), tokens: z.int(), usd: unknownUsd }).meta({
  description: 'requests that were broken off, which may have cost up to this; counted against limits',
});

export const TaskUsage = z
  .object({
    ...counts,
    brokenOff,
    byModel: z.array(z.object({ model: z.string(), ...counts })),
    toolCalls: z.int().meta({ description: 'calls that ended' }),
    toolFailures: z.int().meta({ description: 'calls that ended, and did not succeed' }),
  })
  .meta({ id: 'Usage', description: 'Tokens as the providers counted them, money, and tool calls.' });

export const USAGE_BY = ['model', 'task', 'session', 'user', 'day'] as const;
export type UsageBy = (typeof USAGE_BY)[number];

const milliseconds = z.object({ p50: z.int(), p95: z.int() }).nullable();
const measured = {
  ...counts,
  brokenOff,
  latencyMs: milliseconds.meta({
    description: 'until an answer was whole: half, and 95 of 100, took no longer',
  }),
  firstTokenMs: milliseconds.meta({ description: 'until an answer began' }),
};

export const UsageRow = z
  .object({
    key: z.string().meta({ description: 'a model, an id, a user’s name, or a day (UTC)' }),
    name: z.string().nullable().meta({ description: 'the title of a session' }),
    ...measured,
  })
  .meta({ id: 'UsageRow' });
export type UsageRow = z.infer<typeof UsageRow>;

export const TeamUsage = z
  .object({
    by: z.enum(USAGE_BY),
    total: z.object(measured).meta({ description: 'all of it, whatever page this is' }),
    data: z.array(UsageRow),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: 'TeamUsage', description: 'What the team has used.' });
export type TeamUsage = z.infer<typeof TeamUsage>;
