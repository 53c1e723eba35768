/**
 * Calls that are MCP tasks (2025-11-25, experimental). The id of one is that of the Capybara task, and everything that is told of it is read
 * from there: nothing is kept here, so that any process answers, before and after a restart.
 */
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import {
  type CallToolResult,
  CancelTaskRequestSchema,
  ErrorCode,
  GetTaskPayloadRequestSchema,
  GetTaskRequestSchema,
  ListTasksRequestSchema,
  type Task as McpTask,
  RELATED_TASK_META_KEY,
} from '@modelcontextprotocol/sdk/types.js';
import type { Client, Task } from '../../client/client.ts';
import { RpcError } from './refusal.ts';
import { hasEnded, type TaskState } from './task-state.ts';
import type { Extra, ToolCall } from './tool.ts';
import { watch } from './watch.ts';

/** How soon it is worth asking again, in milliseconds. */
const POLL_MS = 1_000;
const PAGE = 50;

/** Answers a request by what `act` resolves with, and what the API refuses by an error. */
type Answer = <Result>(extra: Extra, act: (call: ToolCall) => Promise<Result>) => Promise<Result>;

/** `result`: what a call answers with whose task has ended so. */
export function serveMcpTasks(
  server: Server,
  { answer, result }: { readonly answer: Answer; readonly result: (state: TaskState) => CallToolResult },
): void {
  server.setRequestHandler(GetTaskRequestSchema, ({ params: { taskId } }, extra) =>
    answer(extra, async ({ reach }) => ({ ...mcpTaskOf(await reach.client.task(taskId)) })),
  );
  server.setRequestHandler(ListTasksRequestSchema, ({ params }, extra) =>
    answer(extra, ({ reach }) => list(reach.client, params?.cursor)),
  );
  server.setRequestHandler(CancelTaskRequestSchema, ({ params }, extra) =>
    answer(extra, ({ reach }) => cancel(reach.client, params.taskId)),
  );
  server.setRequestHandler(GetTaskPayloadRequestSchema, ({ params: { taskId } }, extra) =>
    answer(extra, async (call) => {
      const state = await watch({ taskId, seconds: Number.POSITIVE_INFINITY, isOver: hasEnded }, call);
      return { ...result(state), _meta: { [RELATED_TASK_META_KEY]: { taskId } } };
    }),
  );
}

async function list(client: Client, cursor: string | undefined) {
  const query = cursor === undefined ? { limit: PAGE } : { limit: PAGE, cursor };
  const { data, nextCursor } = await client.tasks(query);
  return { tasks: data.map(mcpTaskOf), ...(nextCursor === null ? {} : { nextCursor }) };
}

async function cancel(client: Client, taskId: string) {
  const before = await client.task(taskId);
  if (hasEnded(before)) {
    throw new RpcError(ErrorCode.InvalidParams, `The task ${taskId} has ended: it ${before.status}.`);
  }
  return { ...mcpTaskOf(await client.cancelTask(taskId)) };
}

/** A task that is to be cancelled counts as cancelled: from the mark on it begins nothing more. */
export function mcpTaskOf(task: Task): McpTask {
  const { id: taskId, createdAt, startedAt, endedAt } = task;
  return {
    ...{ taskId, createdAt, status: mcpStatusOf(task), statusMessage: messageOf(task) },
    lastUpdatedAt: endedAt ?? startedAt ?? createdAt,
    // Kept as long as its session.
    ttl: null,
    pollInterval: POLL_MS,
  };
}

/** Never `input_required`: what a person is asked is answered by a tool, and nothing is asked of the client on this call. */
function mcpStatusOf({ status, cancelRequested }: Task): McpTask['status'] {
  switch (status) {
    case 'succeeded':
      return 'completed';
    case 'failed':
    case 'cancelled':
      return status;
    default:
      return cancelRequested ? 'cancelled' : 'working';
  }
}

function messageOf({ status, waitingOn, turns, error }: Task): string {
  if (error !== null) return error.message;
  if (waitingOn === 'approval') return 'It waits for an approval: see list_approvals.';
  return `${status}${waitingOn === null ? '' : ` on ${waitingOn}`}, turn ${turns}`;
}
