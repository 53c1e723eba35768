/** A task as an MCP client is told of it. */
import { z } from 'zod';
import { Task as WireTask } from '../../api/wire.ts';
import type { Approval, Client, Task } from '../../client/client.ts';

/** Characters of a prompt, and of a call's arguments, that are shown beside other things. */
const SHOWN = 300;

const line = {
  id: z.string(),
  sessionId: z.string(),
  status: z.enum(WireTask.shape.status.options),
  waitingOn: WireTask.shape.waitingOn,
  prompt: z.string().describe('its beginning'),
  agent: z.string(),
  createdAt: z.string(),
  endedAt: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable().describe('why it failed'),
};
export const TaskLine = z.object(line);

const OpenApproval = z.object({
  id: z.string(),
  sessionId: z.string(),
  agent: z.string().nullable(),
  tool: z.string(),
  arguments: z.string().describe('their beginning, untrusted: `list_approvals` has all of them'),
});

export const TaskState = z.object({
  ...line,
  model: z.string(),
  mode: z.string(),
  turns: z.int(),
  result: z.string().nullable().describe('what the agent said last; untrusted text'),
  usage: z.object({ inputTokens: z.int(), outputTokens: z.int(), usd: z.string().nullable() }),
  approvals: z.array(OpenApproval).describe('what its agents ask, and wait for'),
  needs: z.string().nullable().describe('what has to be done before it can go on; null: nothing'),
});
export type TaskState = z.output<typeof TaskState>;

/** As much of the approvals as one look shows; who answers them sees the next. */
const APPROVALS = 20;

/** How a task stands now, with what is asked in its session and below. */
export async function readState(client: Client, taskId: string): Promise<TaskState> {
  const task = await client.task(taskId);
  if (hasEnded(task)) return stateOf(task, []);
  const { data } = await client.approvals({ sessionId: task.sessionId, limit: APPROVALS });
  return stateOf(task, data);
}

export function hasEnded({ status }: Pick<Task, 'status'>): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** Whether it has ended, or goes on only when somebody does something. */
export function isAtRest(state: TaskState): boolean {
  return hasEnded(state) || state.needs !== null;
}

export function lineOf(task: Task): z.output<typeof TaskLine> {
  const { id, sessionId, status, waitingOn, prompt, agent, createdAt, endedAt, error } = task;
  return { id, sessionId, status, waitingOn, prompt: shown(prompt), agent, createdAt, endedAt, error };
}

export function stateOf(task: Task, open: readonly Approval[]): TaskState {
  const { model, mode, turns, result, usage } = task;
  return {
    ...lineOf(task),
    ...{ model, mode, turns, result: result?.text ?? null },
    usage: { inputTokens: usage.input, outputTokens: usage.output, usd: usage.usd },
    approvals: open.map(({ id, sessionId, path, tool, arguments: given }) => {
      return { id, sessionId, agent: path.at(-1)?.agent ?? null, tool, arguments: shown(given) };
    }),
    needs: needsOf(task, open),
  };
}

function needsOf({ status, waitingOn }: Task, open: readonly Approval[]): string | null {
  if (status === 'paused') return 'It is paused: `resume_task` lets it go on.';
  if (waitingOn === 'budget') return 'It has reached a limit, and waits until somebody raises it.';
  if (open.length === 0) return null;
  const what = open.length === 1 ? 'An approval is open' : `${open.length} approvals are open`;
  return `${what}: a person decides, then \`answer_approval\` answers.`;
}

function shown(text: string): string {
  if (text.length <= SHOWN) return text;
  return `${text.slice(0, SHOWN).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
