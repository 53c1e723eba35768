/** What `GET /v1/sessions/:id/why` answers with. */
import { z } from 'zod';
import { WITNESS_FAULTS, WITNESS_KINDS } from '../core/witness.ts';
import { Id } from './wire-id.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });
const ofTurn = {
  turn: z.int(),
  liveWorkers: z.int().meta({ description: 'workers that have a lease; without any, nothing begins' }),
};

function waiting<Kind extends string, Evidence extends z.ZodRawShape>(kind: Kind, evidence: Evidence) {
  return z.object({
    taskId: Id,
    sessionId: Id,
    status: z.enum(['queued', 'running', 'waiting']),
    sentence: z
      .string()
      .meta({ description: 'for a person: what will wake it, and what to type if that is they' }),
    kind: z.literal(kind),
    evidence: z.object(evidence),
    via: z
      .array(z.object({ taskId: Id, kind: z.enum(WITNESS_KINDS).nullable() }))
      .meta({ description: 'the tasks it waits for, the nearest first; null: nothing will wake that one' }),
  });
}

export const WhyTask = z
  .discriminatedUnion('kind', [
    waiting('earlier', { ahead: z.int().meta({ description: 'unfinished tasks before it in its session' }) }),
    waiting('admission', ofTurn),
    waiting('due', {
      ...ofTurn,
      dueAt: timestamp,
      dueInSeconds: z.number(),
      failure: z
        .object({ code: z.string(), message: z.string() })
        .nullable()
        .meta({ description: 'how the last try ended' }),
    }),
    waiting('queued', {
      ...ofTurn,
      since: timestamp,
      waitedSeconds: z.number(),
      pinnedTo: Id.nullable().meta({
        description: 'the worker that runs background commands of the session, and alone may take the turn',
      }),
    }),
    waiting('lease', {
      ...ofTurn,
      startedAt: timestamp,
      workerId: Id,
      leaseSecondsLeft: z.number().meta({ description: 'negative where the worker is lost' }),
      cancelRequested: z.boolean(),
    }),
    waiting('calls', {
      turn: z.int(),
      children: z.int().meta({ description: 'delegated tasks that have not ended' }),
      approvals: z.array(
        z.object({
          id: Id,
          tool: z.string(),
          arguments: z.string().meta({ description: 'JSON text as the model wrote it' }),
          askedAt: timestamp,
          expiresAt: timestamp.nullable(),
        }),
      ),
    }),
    waiting('slot', {
      turn: z.int(),
      atWork: z.int().meta({ description: 'delegated tasks of the tree that have a slot' }),
      ahead: z.int().meta({ description: 'those that wait for one before it' }),
    }),
    waiting('paused', { since: timestamp }),
    waiting('budget', {
      turn: z.int(),
      limit: z.enum(['turns', 'tree_turns', 'tokens', 'usd', 'seconds']),
      used: z.union([z.number(), z.string()]).meta({ description: 'US dollars as a decimal number in text' }),
      allowed: z.union([z.number(), z.string()]),
    }),
    waiting('broken', {
      fault: z.enum(WITNESS_FAULTS).meta({
        description:
          'nothing will wake it, several things would, it waits for tasks that wait for each other, or for one that nothing will wake',
      }),
      found: z.array(z.enum(WITNESS_KINDS)),
    }),
  ])
  .meta({
    id: 'WhyTask',
    description: 'An unfinished task, and what will wake it. `broken` is a bug of Capybara.',
  });
export type WhyTask = z.infer<typeof WhyTask>;

export const Why = z
  .object({
    sessionId: Id,
    sentence: z.string().meta({ description: 'how much is unfinished, or how the last task ended' }),
    tasks: z
      .array(WhyTask)
      .meta({ description: 'the unfinished tasks of the whole tree, broken ones first' }),
    more: z.boolean().meta({ description: 'more of them wait than are told' }),
  })
  .meta({ id: 'Why' });
export type Why = z.infer<typeof Why>;
