import { z } from 'zod';
import { newId } from '../clock.ts';
import { fromPublicId, toPublicId } from '../core/id.ts';
import { cancelTask } from '../store/tasks.ts';
import { readTask, readTasks, type TaskRow } from '../store/views-tasks.ts';
import { type ApiDeps, announce } from './deps.ts';
import { idCursor, pageReply } from './pages.ts';
import { badRequest, IDEMPOTENCY_HEADER, notFound } from './problem.ts';
import { traceOf } from './request-spans.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showAccepted, showTask } from './show.ts';
import { submitTask } from './submit-task.ts';
import { raiseTaskLimits } from './task-limits.ts';
import { CreateTask, MAX_ATTACHED_BODY_BYTES, PageQuery, PatchTask, page, Task, TaskStatus } from './wire.ts';

/** Longest `Idempotency-Key`, in characters. */
export const MAX_IDEMPOTENCY_KEY_LENGTH = 255;

export const IdempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(MAX_IDEMPOTENCY_KEY_LENGTH)
    .optional()
    .meta({ description: 'Makes repeating the request harmless: the same key is the same thing.' }),
});

/** Of a task as it is asked for, wherever it comes from. */
export const SUBMIT_PROBLEMS = {
  400: [
    ...['empty_prompt', 'unknown_model', 'unknown_agent', 'unknown_tool', 'no_model', 'no_provider'],
    ...['bad_workspace', 'workspace_given', 'price_unknown', 'bad_webhook_url'],
    ...['bad_repository', 'bad_ref', 'repository_not_allowed'],
    ...['config_invalid', 'config_unreadable', 'config_malformed'],
    ...['config_unknown_key', 'config_not_allowed', 'config_too_large'],
  ],
  403: ['local_workspace'],
  404: ['not_found'],
  413: ['prompt_too_large'],
} as const;

const TasksQuery = z.strictObject({
  ...PageQuery.shape,
  status: TaskStatus.optional(),
  sessionId: z.string().optional(),
  scheduleId: z.string().optional().meta({ description: 'those that a schedule made' }),
});

export function taskRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/tasks',
      scope: 'submit',
      summary: 'Give a session, or a new one, a task.',
      headers: IdempotencyHeaders,
      body: CreateTask,
      bodyBytes: MAX_ATTACHED_BODY_BYTES,
      success: { status: 201, description: 'The task as it was accepted, committed.', schema: Task },
      problems: {
        ...SUBMIT_PROBLEMS,
        400: [...SUBMIT_PROBLEMS[400], 'bad_attachment'],
        409: [
          ...['idempotency_conflict', 'session_archived', 'session_shared', 'files_elsewhere'],
          ...['task_deleted', 'no_webhook_secret'],
        ],
      },
      handle: (call) => create(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/tasks',
      scope: 'read',
      summary: "List the team's tasks, the newest first.",
      query: TasksQuery,
      success: { status: 200, description: 'A page of tasks.', schema: page(Task) },
      problems: { 400: ['invalid_cursor'] },
      handle: (call) => list(deps, call),
    }),
    route({
      method: 'get',
      path: '/v1/tasks/:id',
      scope: 'read',
      summary: 'One task, with what it waits on, its result and its usage.',
      id: 'task',
      success: { status: 200, description: 'The task.', schema: Task },
      problems: { 404: ['not_found'] },
      handle: async ({ caller, id }) => ({
        status: 200,
        body: showTask(await taskOf(deps, caller.teamId, id)),
      }),
    }),
    route({
      method: 'patch',
      path: '/v1/tasks/:id',
      scope: 'submit',
      summary: 'Raise limits of a task; one that waits for that goes on.',
      id: 'task',
      body: PatchTask,
      success: { status: 200, description: 'The task, with its limits.', schema: Task },
      problems: { 400: ['limit_not_higher'], 404: ['not_found'], 409: ['task_ended'] },
      handle: async (call) => {
        await raiseTaskLimits(deps, call);
        return { status: 200, body: showTask(await taskOf(deps, call.caller.teamId, call.id)) };
      },
    }),
    route({
      method: 'post',
      path: '/v1/tasks/:id/cancel',
      scope: 'submit',
      summary: 'Cancel a task. One that has ended stays as it is.',
      id: 'task',
      success: {
        status: 200,
        description: 'The task: cancelled, or marked for its worker to end.',
        schema: Task,
      },
      problems: { 404: ['not_found'] },
      handle: (call) => cancel(deps, call),
    }),
  ];
}

async function create(deps: ApiDeps, call: Call<unknown, CreateTask>): Promise<Reply> {
  const { caller, body, request, response } = call;
  const idempotencyKey = idempotencyKeyOf(request.headers['idempotency-key']);
  const id = await submitTask(deps, { caller, body, idempotencyKey, traceparent: traceOf(response) });
  return { status: 201, body: showAccepted(await taskOf(deps, caller.teamId, id)) };
}

/** Throws `ApiProblem` where the header's value is none that is kept. */
export function idempotencyKeyOf(header: string | string[] | undefined): string | undefined {
  const parsed = IdempotencyHeaders.safeParse({ 'idempotency-key': header });
  if (parsed.success) return parsed.data['idempotency-key'];
  throw badRequest(
    'invalid_idempotency_key',
    `The Idempotency-Key must have 1 to ${MAX_IDEMPOTENCY_KEY_LENGTH} characters.`,
    IDEMPOTENCY_HEADER,
  );
}

async function list(deps: ApiDeps, call: Call<z.infer<typeof TasksQuery>, unknown>): Promise<Reply> {
  const { limit, cursor, status } = call.query;
  const sessionId = sessionFilter(call.query.sessionId);
  const scheduleId = scheduleFilter(call.query.scheduleId);
  const before = idCursor('task', cursor);
  const filter = { teamId: call.caller.teamId, status, sessionId, scheduleId, before };
  return pageReply(await readTasks(deps.db, filter, limit), {
    show: showTask,
    cursor: (row) => toPublicId('task', row.id),
  });
}

/** The UUID of a session that a list is filtered by. */
export function sessionFilter(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const id = fromPublicId('session', text);
  if (id === undefined) throw badFilter('sessionId', 'ses_…');
  return id;
}

function scheduleFilter(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const id = fromPublicId('schedule', text);
  if (id === undefined) throw badFilter('scheduleId', 'sch_…');
  return id;
}

function badFilter(field: string, expected: string) {
  return badRequest('invalid_request', `The query cannot be used at ${field}: expected ${expected}.`, field);
}

async function cancel(deps: ApiDeps, { caller, id }: Call<unknown, unknown>): Promise<Reply> {
  const { db, clock } = deps;
  const outcome = await cancelTask(db, { teamId: caller.teamId, taskId: id, nextTurnId: newId(clock) });
  if (outcome.outcome === 'cancelled' || outcome.outcome === 'requested') announce(deps, outcome);
  return { status: 200, body: showTask(await taskOf(deps, caller.teamId, id)) };
}

export async function taskOf({ db }: ApiDeps, teamId: string, id: string): Promise<TaskRow> {
  const task = await readTask(db, { teamId, id });
  if (task === undefined) throw notFound(`task ${toPublicId('task', id)}`);
  return task;
}
