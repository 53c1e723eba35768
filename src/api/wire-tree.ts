/** What `GET /v1/sessions/:id/tree` answers with. */
import { z } from 'zod';
import { TODO_STATUSES } from '../core/todos.ts';
import { Id } from './wire-id.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

export const Todo = z
  .object({ text: z.string(), status: z.enum(TODO_STATUSES) })
  .meta({ id: 'Todo', description: 'One of the things that an agent has listed as to be done.' });
export type Todo = z.infer<typeof Todo>;

const WAITS = ['approval', 'children', 'input', 'retry', 'budget', 'slot'] as const;

export const TreeNode = z
  .object({
    sessionId: Id,
    parentId: Id.nullable(),
    title: z.string(),
    agent: z.string().nullable().meta({ description: 'of its task in hand, or the last; null: it has none' }),
    state: z.enum(['idle', 'thinking', 'executing', 'waiting', 'completed', 'failed']),
    doing: z
      .object({ tool: z.string(), callId: z.string(), about: z.string().optional() })
      .optional()
      .meta({ description: 'the call that it runs, and in a line what that is about' }),
    waitingOn: z
      .object({
        on: z.enum(WAITS),
        children: z.int().optional().meta({ description: 'how many of them are unfinished' }),
      })
      .optional(),
    task: z
      .object({
        id: Id,
        status: z.enum(['queued', 'running', 'waiting', 'paused', 'succeeded', 'failed', 'cancelled']),
      })
      .optional()
      .meta({ description: 'the one in hand, or the last' }),
    turns: z.int().meta({ description: 'of that task, begun so far' }),
    startedAt: timestamp.nullable(),
    endedAt: timestamp.nullable(),
    seconds: z.number().meta({ description: 'from the start of that task to its end, or to now' }),
    tokens: z.object({ input: z.int(), output: z.int() }).meta({ description: 'of this session alone' }),
    usd: z.string().nullable().meta({ description: 'of this session alone; null: nobody knows its price' }),
    todos: z.array(Todo),
    get children(): z.ZodArray<typeof TreeNode> {
      return TreeNodes;
    },
  })
  .meta({
    id: 'TreeNode',
    description: 'A session, and those it has delegated to, in the order of creation.',
  });
export type TreeNode = z.infer<typeof TreeNode>;
const TreeNodes = z.array(TreeNode).meta({ id: 'TreeNodes' });

export const SessionTree = TreeNode.extend({
  seq: z.int().meta({ description: 'the last event of which this tells what came of it' }),
  more: z.boolean().meta({ description: 'there are more sessions below it than are told here' }),
}).meta({ id: 'SessionTree', description: 'A session and all below it, as they stand at one moment.' });
export type SessionTree = z.infer<typeof SessionTree>;
