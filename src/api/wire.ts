/**
 * The HTTP API's shapes: zod schemas shared by the server (validation, OpenAPI) and by every client. Nothing here imports
 * more than `core`, so that the CLI may load it.
 */
import { z } from 'zod';
import { MAX_ATTACHED_BYTES } from '../core/attachments.ts';
import { EVENT_TYPES } from '../core/event.ts';
import { LimitsInput, TaskLimits, TaskUsage } from './wire-accounts.ts';
import { Attachments } from './wire-attachments.ts';
import { Id } from './wire-id.ts';
import { wholeInQuery } from './wire-query.ts';
import { SessionMatch } from './wire-sessions.ts';
import { ForkPoint } from './wire-takeover.ts';
import { Todo } from './wire-tree.ts';
import { WebhookUrl } from './wire-webhooks.ts';
import { SessionWorkspace, WorkspaceInput } from './wire-workspace.ts';

export {
  LimitsInput,
  MAX_SECONDS,
  MAX_USD,
  OnLimit,
  PatchTask,
  TeamUsage,
  USAGE_BY,
  type UsageBy,
  UsageRow,
} from './wire-accounts.ts';
export { Agents, TaskProfile } from './wire-agents.ts';
export { AlwaysRule, Approval, ResolveApproval, RevokedRule, Rule } from './wire-approvals.ts';
export { Entry, FilePart, ToolCall } from './wire-log.ts';
export { ModelPrices, Models, ModelsQuery, OfferedModel } from './wire-models.ts';
export { DeletedSession, PatchSession, SessionMatch } from './wire-sessions.ts';
export {
  AskedCompaction,
  CHANGES_MEDIA,
  Change,
  ChangesEnd,
  ForkSession,
  MergedSession,
  MergeSession,
  Reverted,
  RevertSession,
} from './wire-takeover.ts';
export { SessionTree, Todo, TreeNode } from './wire-tree.ts';
export { Why, WhyTask } from './wire-why.ts';
export * from './wire-workspace.ts';

/** Longest prompt that is accepted, in UTF-8 bytes. */
export const MAX_PROMPT_BYTES = 1024 * 1024;
/** Largest request body, in bytes: a prompt at its limit with every character escaped. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** Where files may be attached. */
export const MAX_ATTACHED_BODY_BYTES = MAX_BODY_BYTES + MAX_ATTACHED_BYTES;
/** Longest name of an agent or a model, in characters. */
export const MAX_NAME_LENGTH = 200;
/** Names in `withoutTools`. */
export const MAX_TOOLS_LEFT_OUT = 200;
/** `metadata` of a task: pairs, and characters of a name and of a value. */
export const MAX_METADATA_PAIRS = 50;
export const MAX_METADATA_NAME_LENGTH = 100;
export const MAX_METADATA_VALUE_LENGTH = 2_000;

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

export const Mode = z.enum(['safe', 'plan', 'auto']).meta({ id: 'Mode' });

const name = z
  .string()
  .max(MAX_NAME_LENGTH)
  .regex(/^[^\p{Cc}\p{Cs}]+$/u, 'expected a name without control characters');
const Metadata = z
  .record(
    z
      .string()
      .min(1)
      .max(MAX_METADATA_NAME_LENGTH)
      .regex(/^[^\p{Cc}\p{Cs}]*$/u),
    z.string().max(MAX_METADATA_VALUE_LENGTH),
  )
  .refine((pairs) => Object.keys(pairs).length <= MAX_METADATA_PAIRS, {
    message: `expected at most ${MAX_METADATA_PAIRS} pairs`,
  })
  .meta({ id: 'Metadata', description: "The caller's own names and values; Capybara only keeps them." });

/** Far more than any model writes. */
const MAX_ANSWER_TOKENS = 100_000_000;

export const CreateTask = z
  .strictObject({
    prompt: z.string(),
    sessionId: z.string().optional(),
    workspace: WorkspaceInput.optional(),
    agent: name.optional(),
    model: name.optional(),
    mode: Mode.optional(),
    temperature: z.number().min(0).max(2).optional(),
    maxTokens: z.int().min(1).max(MAX_ANSWER_TOKENS).optional(),
    withoutTools: z.array(name).max(MAX_TOOLS_LEFT_OUT).optional().meta({
      description:
        'tools of the agent that it does without in this task, and so do those that it delegates to; what needs one goes with it',
    }),
    attachments: Attachments.optional(),
    limits: LimitsInput.optional(),
    metadata: Metadata.optional(),
    webhookUrl: WebhookUrl.optional().meta({
      description:
        'where its end is delivered, and what is asked of a person below it, signed with the secret of the team’s first webhook',
    }),
  })
  .meta({ id: 'CreateTask' });
export type CreateTask = z.infer<typeof CreateTask>;

export const Usage = TaskUsage;
export type Usage = z.infer<typeof TaskUsage>;

export const TaskStatus = z.enum([
  'queued',
  'running',
  'waiting',
  'paused',
  'succeeded',
  'failed',
  'cancelled',
]);
export const Task = z
  .object({
    id: Id,
    sessionId: Id,
    status: TaskStatus,
    waitingOn: z.enum(['approval', 'children', 'retry', 'budget', 'slot']).nullable(),
    cancelRequested: z.boolean(),
    prompt: z.string(),
    createdBy: z
      .string()
      .nullable()
      .meta({ description: 'who asked; null of a task that an agent delegated' }),
    scheduleId: Id.nullable().meta({ description: 'what made it, where a schedule did' }),
    agent: z.string(),
    model: z.string(),
    mode: Mode,
    limits: TaskLimits,
    turns: z.int().meta({ description: 'turns begun so far' }),
    result: z.object({ text: z.string() }).nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    usage: TaskUsage,
    metadata: z.record(z.string(), z.string()),
    createdAt: timestamp,
    startedAt: timestamp.nullable(),
    endedAt: timestamp.nullable(),
  })
  .meta({ id: 'Task' });
export type Task = z.infer<typeof Task>;

export const Session = z
  .object({
    id: Id,
    rootId: Id,
    parentId: Id.nullable(),
    title: z.string(),
    state: z.enum(['idle', 'thinking', 'executing', 'waiting', 'completed', 'failed']),
    workspace: SessionWorkspace,
    createdAt: timestamp,
    archivedAt: timestamp.nullable(),
    forkedFrom: ForkPoint.nullable(),
    match: SessionMatch.optional(),
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof Session>;

export const SessionDetails = Session.extend({
  todos: z.array(Todo).meta({ description: "its agent's list of what is to be done, in its order" }),
}).meta({ id: 'SessionDetails' });
export type SessionDetails = z.infer<typeof SessionDetails>;

export const Event = z
  .object({
    seq: z.int(),
    type: z.enum(EVENT_TYPES),
    at: timestamp,
    sessionId: Id,
    taskId: Id.optional(),
    turn: z.int().optional(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' });
export type Event = z.infer<typeof Event>;

export const EventsPage = z
  .object({
    data: z.array(Event),
    nextCursor: z.string().nullable(),
    seq: z
      .int()
      .meta({ description: 'how far this page has looked: what comes next is behind it (`after`)' }),
  })
  .meta({ id: 'EventsPage' });
export type EventsPage = z.infer<typeof EventsPage>;

export const PostMessage = z
  .strictObject({ text: z.string(), attachments: Attachments.optional() })
  .meta({ id: 'PostMessage' });
export type PostMessage = z.infer<typeof PostMessage>;
export const Message = z
  .object({ sessionId: Id, taskId: Id, text: z.string() })
  .meta({ id: 'Message', description: 'Said to a task in hand; its next turn takes it into the log.' });
export type Message = z.infer<typeof Message>;

export const Worker = z
  .object({
    id: Id,
    version: z.string(),
    state: z.enum(['alive', 'lost']).meta({ description: 'lost: its lease has run out' }),
    startedAt: timestamp,
    leaseExpiresAt: timestamp,
  })
  .meta({ id: 'Worker', description: 'A worker process that has not ended.' });

/** RFC 9457, with a stable `code`. */
export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    field: z
      .string()
      .optional()
      .meta({ description: 'what of the request is at fault, where it is a field' }),
    checks: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: 'of `not_ready`: what was found of each thing that is needed, or `ok`' }),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;

export function page<Item extends z.ZodType>(item: Item) {
  return z.object({ data: z.array(item), nextCursor: z.string().nullable() });
}

export const PageQuery = z.strictObject({
  limit: wholeInQuery(1, 200).default(50),
  cursor: z.string().optional(),
});
