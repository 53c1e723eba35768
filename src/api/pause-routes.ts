/** `POST /v1/tasks/:id/pause` and `resume`: over the task and everything under it. */
import { toPublicId } from '../core/id.ts';
import { type PauseOutcome, pauseTask, resumeTask } from '../store/tasks.ts';
import { type ApiDeps, announce } from './deps.ts';
import { type ApiProblem, conflict, notFound } from './problem.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { showTask } from './show.ts';
import { taskOf } from './task-routes.ts';
import { Task } from './wire.ts';

export function pauseRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/tasks/:id/pause',
      scope: 'submit',
      summary:
        'Pause a task, and all that it has delegated: an open answer is broken off, a running command ended, and nothing begins before it is resumed.',
      id: 'task',
      success: { status: 200, description: 'The task, paused.', schema: Task },
      problems: { 404: ['not_found'], 409: ['task_ended'] },
      handle: (call) => pause(deps, call),
    }),
    route({
      method: 'post',
      path: '/v1/tasks/:id/resume',
      scope: 'submit',
      summary:
        'Let a paused task go on, and all that it has delegated. One that is not paused stays as it is.',
      id: 'task',
      success: { status: 200, description: 'The task.', schema: Task },
      problems: { 404: ['not_found'], 409: ['task_ended'] },
      handle: (call) => resume(deps, call),
    }),
  ];
}

async function pause(deps: ApiDeps, { caller, id }: Call<unknown, unknown>): Promise<Reply> {
  const outcome = await pauseTask(deps.db, { teamId: caller.teamId, taskId: id });
  if (outcome.outcome !== 'paused') throw refusal(outcome, id);
  const { rootId, paused } = outcome;
  for (const taskId of paused) deps.bus.publish({ type: 'pause', rootId, taskId });
  announce(deps, outcome);
  return { status: 200, body: showTask(await taskOf(deps, caller.teamId, id)) };
}

async function resume(deps: ApiDeps, { caller, id }: Call<unknown, unknown>): Promise<Reply> {
  const outcome = await resumeTask(deps.db, { teamId: caller.teamId, taskId: id });
  if (outcome.outcome !== 'resumed') throw refusal(outcome, id);
  announce(deps, outcome);
  return { status: 200, body: showTask(await taskOf(deps, caller.teamId, id)) };
}

function refusal(outcome: Extract<PauseOutcome, { outcome: 'ended' | 'not_found' }>, id: string): ApiProblem {
  const task = toPublicId('task', id);
  if (outcome.outcome === 'not_found') return notFound(`task ${task}`);
  return conflict(
    'task_ended',
    `The task ${task} has ended (${outcome.status}): there is nothing to pause or to resume.`,
  );
}
