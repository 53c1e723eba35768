/** What hands in tasks again and again, as people make, change and look at it. What is due, `scheduler.ts` hands in. */
import { z } from 'zod';
import { toPublicId } from '../core/id.ts';
import { LISTED_PROMPT_LENGTH } from '../core/schedule.ts';
import type { Caller } from '../store/keys.ts';
import {
  changeSchedule,
  createSchedule,
  readSchedule,
  readSchedules,
  runSchedule,
  type ScheduleRow,
} from '../store/schedules.ts';
import type { ApiDeps } from './deps.ts';
import { idFor } from './made-id.ts';
import { pageReply, rowCursor } from './pages.ts';
import { below, conflict, idempotencyConflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { saidOnce } from './said-once.ts';
import { changeOf, termsOf } from './schedule-terms.ts';
import { showAccepted } from './show.ts';
import { committed, hashOf, readyTask, repeatedTask } from './submit-task.ts';
import { IdempotencyHeaders, idempotencyKeyOf, SUBMIT_PROBLEMS, taskOf } from './task-routes.ts';
import { PageQuery, page, Task } from './wire.ts';
import { Removed } from './wire-admin.ts';
import { CreateSchedule, PatchSchedule, Schedule, type ScheduledTask } from './wire-schedules.ts';

const SchedulesQuery = z.strictObject({ ...PageQuery.shape, name: z.string().normalize('NFC').optional() });

/** Of a task that would be refused. */
const TASK_PROBLEMS = {
  ...SUBMIT_PROBLEMS,
  409: ['session_archived', 'session_shared', 'no_webhook_secret'],
};

export function scheduleRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/schedules',
      summary: "The team's schedules, the newest first.",
      scope: 'read',
      query: SchedulesQuery,
      success: {
        status: 200,
        description: `A page of schedules. Of each prompt the first ${LISTED_PROMPT_LENGTH} characters, then "…" where there are more: GET /v1/schedules/:id has all of it.`,
        schema: page(Schedule),
      },
      problems: { 400: ['invalid_cursor'] },
      handle: async ({ caller, query: { name, cursor, limit } }) => {
        const { teamId } = caller;
        const before = await rowCursor(deps.db, 'schedule', { teamId, cursor });
        return pageReply(await readSchedules(deps.db, { teamId, name, before }, limit), {
          show: (row) => showSchedule(row, caller),
          cursor: ({ id }) => toPublicId('schedule', id),
        });
      },
    }),
    route({
      method: 'post',
      path: '/v1/schedules',
      summary: 'Have a task handed in again and again.',
      scope: 'submit',
      headers: IdempotencyHeaders,
      body: CreateSchedule,
      success: { status: 201, description: 'The schedule, committed.', schema: Schedule },
      problems: {
        ...TASK_PROBLEMS,
        400: ['bad_schedule', ...TASK_PROBLEMS[400]],
        409: ['too_many_schedules', 'name_taken', 'idempotency_conflict', ...TASK_PROBLEMS[409]],
      },
      handle: saidOnce(deps, 'schedule', (call) => make(deps, call)),
    }),
    route({
      method: 'get',
      path: '/v1/schedules/:id',
      summary:
        'One schedule: when it is due next, and what came of it. Its tasks: GET /v1/tasks?scheduleId=.',
      scope: 'read',
      id: 'schedule',
      success: { status: 200, description: 'The schedule.', schema: Schedule },
      problems: { 404: ['not_found'] },
      handle: async ({ caller, id }) => ({
        status: 200,
        body: showSchedule(await scheduleOf(deps, caller.teamId, id), caller),
      }),
    }),
    route({
      method: 'patch',
      path: '/v1/schedules/:id',
      summary:
        'Change a schedule, disable it, or enable it anew. Unless it is then disabled, its tasks are yours.',
      scope: 'submit',
      id: 'schedule',
      body: PatchSchedule,
      success: { status: 200, description: 'The schedule as it is now.', schema: Schedule },
      problems: {
        ...TASK_PROBLEMS,
        400: ['bad_schedule', ...TASK_PROBLEMS[400]],
        409: ['name_taken', 'schedule_changed', ...TASK_PROBLEMS[409]],
      },
      handle: (call) => change(deps, call),
    }),
    route({
      method: 'delete',
      path: '/v1/schedules/:id',
      summary: 'Remove a schedule. Its tasks stay.',
      scope: 'submit',
      id: 'schedule',
      success: { status: 200, description: 'It is removed.', schema: Removed },
      problems: { 404: ['not_found'], 409: ['schedule_changed'] },
      handle: (call) => remove(deps, call),
    }),
    route({
      method: 'post',
      path: '/v1/schedules/:id/run',
      summary: 'Hand in its task now, as your own. When it is due stays as it is.',
      scope: 'submit',
      id: 'schedule',
      headers: IdempotencyHeaders,
      success: { status: 201, description: 'The task as it was accepted, committed.', schema: Task },
      problems: {
        ...TASK_PROBLEMS,
        409: [
          ...['schedule_busy', 'schedule_changed', 'idempotency_conflict', 'task_deleted'],
          ...TASK_PROBLEMS[409],
        ],
      },
      handle: (call) => run(deps, call),
    }),
  ];
}

async function make(deps: ApiDeps, call: Call<unknown, z.output<typeof CreateSchedule>>): Promise<Reply> {
  const { caller, body } = call;
  const { dueAt, ...terms } = await termsOf(deps, caller.teamId, body);
  const id = await idFor(deps, call, 'schedule');
  const schedule = { ...terms, id, dueAt: body.enabled ? dueAt : null, requestHash: hashOf(body) };
  const { perTeam } = deps.schedules;
  const { outcome } = await createSchedule(deps.db, caller, schedule, perTeam);
  if (outcome === 'conflict') throw idempotencyConflict();
  if (outcome === 'name_taken') throw nameTaken(body.name);
  if (outcome === 'too_many')
    throw conflict(
      'too_many_schedules',
      `This team has the ${perTeam} schedules that it may have: remove one, or let whoever runs this Capybara allow more.`,
    );
  const made = await readSchedule(deps.db, { teamId: caller.teamId, id, orRemoved: true });
  if (made === undefined) throw noSchedule(id);
  return { status: 201, body: showSchedule(made, caller) };
}

async function change(deps: ApiDeps, call: Call<unknown, PatchSchedule>): Promise<Reply> {
  const { caller, id, body } = call;
  const { outcome } = await unmoved(deps, call, async (was) =>
    changeSchedule(deps.db, caller, was, await changeOf(deps, was, body)),
  );
  if (outcome.outcome === 'not_found') throw noSchedule(id);
  if (outcome.outcome === 'name_taken') throw nameTaken(body.name ?? '');
  return { status: 200, body: showSchedule(await scheduleOf(deps, caller.teamId, id), caller) };
}

async function remove(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const gone = { isNewWhen: false, dueAt: null, removed: true } as const;
  const { outcome } = await unmoved(deps, call, (was) =>
    changeSchedule(deps.db, call.caller, was, { ...was, ...gone }),
  );
  if (outcome.outcome === 'not_found') throw noSchedule(call.id);
  return { status: 200, body: { id: toPublicId('schedule', call.id) } };
}

async function run(deps: ApiDeps, call: Call<unknown, unknown>): Promise<Reply> {
  const { teamId } = call.caller;
  const key = idempotencyKeyOf(call.request.headers['idempotency-key']);
  const sent = { key, requestHash: hashOf({ schedule: call.id }) };
  const repeated = await repeatedTask(deps, teamId, sent);
  const id = repeated ?? (await runNow(deps, call, sent).catch(below('task')));
  return { status: 201, body: showAccepted(await taskOf(deps, teamId, id)) };
}

/** The UUID of the task that is made. */
async function runNow(
  deps: ApiDeps,
  call: Call<unknown, unknown>,
  { key, requestHash }: { readonly key: string | undefined; readonly requestHash: string },
): Promise<string> {
  const { teamId, userId } = call.caller;
  const idempotency = key === undefined ? {} : { idempotency: { key, requestHash } };
  const { was, outcome } = await unmoved(deps, call, async (row) => {
    const body = row.task as ScheduledTask;
    const ready = await readyTask(deps, teamId, { body });
    return runSchedule(deps.db, row, { teamId, userId, ...ready, ...idempotency });
  });
  if (outcome.outcome === 'busy')
    throw conflict(
      'schedule_busy',
      `${toPublicId('task', outcome.taskId)} of this schedule has not ended, and it makes no other meanwhile: wait for it, cancel it, or set overlap to queue.`,
    );
  return committed(deps, outcome, was.task as ScheduledTask);
}

/** How often it is read again that somebody changes in between. */
const MAX_READS = 5;

/** Acts on a schedule as it is, once more where somebody has changed it since it was read. */
async function unmoved<Outcome extends { readonly outcome: string }>(
  deps: ApiDeps,
  { caller, id }: Call<unknown, unknown>,
  act: (was: ScheduleRow) => Promise<Outcome>,
) {
  for (let reads = 0; reads < MAX_READS; reads += 1) {
    const was = await scheduleOf(deps, caller.teamId, id);
    const outcome = await act(was);
    if (outcome.outcome !== 'moved_on')
      return { was, outcome: outcome as Exclude<Outcome, { readonly outcome: 'moved_on' }> };
  }
  throw conflict('schedule_changed', 'The schedule was changed meanwhile, again and again: try again.');
}

async function scheduleOf({ db }: ApiDeps, teamId: string, id: string): Promise<ScheduleRow> {
  const schedule = await readSchedule(db, { teamId, id });
  if (schedule === undefined) throw noSchedule(id);
  return schedule;
}

function noSchedule(id: string) {
  return notFound(`schedule ${toPublicId('schedule', id)}`);
}

function nameTaken(name: string) {
  return conflict(
    'name_taken',
    `There is a schedule of the name ${JSON.stringify(name)}: choose another, or remove that one.`,
    'name',
  );
}

/** What stands in the path or the query of a webhook's address is often a secret: whoever may only look sees where it goes. */
function shownTask(task: ScheduledTask, { scopes }: Caller): ScheduledTask {
  const { webhookUrl } = task;
  if (webhookUrl === undefined || scopes.includes('submit') || scopes.includes('admin')) return task;
  return { ...task, webhookUrl: new URL(webhookUrl).origin };
}

function showSchedule(row: ScheduleRow, caller: Caller): Schedule {
  const { errorCode: code, errorMessage: message, erredAt } = row;
  return {
    ...{ id: toPublicId('schedule', row.id), name: row.name, cron: row.cron, every: row.everySeconds },
    ...{ timeZone: row.timeZone, overlap: row.overlap },
    task: shownTask(row.task as ScheduledTask, caller),
    ...{ enabled: row.disabledAt === null, actsFor: row.userName, createdAt: row.createdAt.toISOString() },
    nextDueAt: row.dueAt?.toISOString() ?? null,
    lastTaskId: row.lastTaskId === null ? null : toPublicId('task', row.lastTaskId),
    lastError:
      code === null || message === null || erredAt === null
        ? null
        : { code, message, at: erredAt.toISOString() },
    lastSkippedAt: row.skippedAt?.toISOString() ?? null,
    disabledAt: row.disabledAt?.toISOString() ?? null,
    disabledReason: row.disabledReason,
  };
}
