import { z } from 'zod';
import { MAX_TITLE_LENGTH } from '../core/title.ts';
import { DELEGATE_TASK, MERGE_CHILD } from '../core/tool-names.ts';
import { defineTool, type ToolContext, type ToolOutcome } from './tool.ts';

/** What one agent may write to another, in characters. */
export const MAX_DELEGATED_PROMPT = 100_000;
const MAX_SECONDS = 366 * 24 * 60 * 60;

export type DelegatedTask = z.infer<typeof DelegatedTask>;
export const DelegatedTask = z.object({
  prompt: z
    .string()
    .max(MAX_DELEGATED_PROMPT)
    .regex(/\S/, 'expected what is to be done')
    .describe(
      'All that the agent must know: it sees nothing of this conversation, only this and the project. What is to be done, where, and how it is known to be done.',
    ),
  agent: z.string().optional().describe('Which agent does it; one like you where left out.'),
  title: z.string().max(MAX_TITLE_LENGTH).optional().describe('A few words for people who watch.'),
  timeout: z
    .int()
    .min(1)
    .max(MAX_SECONDS)
    .optional()
    .describe('Seconds from its first turn on; waiting for a person does not count.'),
  limits: z
    .object({
      turns: z.int().min(1).max(100_000).optional(),
      seconds: z.int().min(1).max(MAX_SECONDS).optional(),
      tokens: z.int().min(1).optional(),
      usd: z.number().min(0.000_001).max(1_000_000).optional(),
    })
    .optional()
    .describe('What it may use, with all that it delegates itself.'),
  isolation: z
    .enum(['fork', 'shared'])
    .optional()
    .describe(
      'fork (default): it works on a copy of your files, and its changes are merged into yours when it has ended. shared: it reads your files and changes nothing.',
    ),
  resultSchema: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('JSON Schema: its answer is to be JSON that fits.'),
  continue: z
    .string()
    .optional()
    .describe(
      'The session (ses_…) of an agent that you delegated to before: it goes on, and knows what it did.',
    ),
});

/** What the tool does is its worker's: a session of its own, which the call waits for. */
export const delegateTaskTool = defineTool({
  name: DELEGATE_TASK,
  description:
    'Gives a part of the work to another agent, with a session of its own, and waits for its report: its answer, and what it did. Several in one answer run side by side. ' +
    'Worth it for parts that do not need each other, and for searches whose results would fill this conversation; not for what a call or two does.',
  parameters: DelegatedTask,
  effect: 'delegate',
  isAllowedOnce: true,
  execute: () => Promise.reject(new Error('a call that delegates has no result before its task has ended')),
});

/** What an agent that failed had changed is not merged by itself: its parent decides. */
export const mergeChildTool = defineTool({
  name: MERGE_CHILD,
  description:
    'Merges what an agent that you delegated to has changed into your files, where that was not done because it failed.',
  parameters: z.object({ child: z.string().describe('Its session: ses_…') }),
  effect: 'workspace',
  needs: DELEGATE_TASK,
  async execute({ child }, { mergeChild }: ToolContext): Promise<ToolOutcome> {
    if (mergeChild === undefined) throw new Error('there is nothing to merge here');
    return mergeChild(child);
  },
});
