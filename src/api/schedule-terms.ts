/** What a person says a schedule is, checked: when it is due, and that its task would be taken now. */
import type { z } from 'zod';
import type { When } from '../core/schedule.ts';
import {
  type ScheduleChange,
  type ScheduleRow,
  type ScheduleTerms,
  timeOfDatabase,
} from '../store/schedules.ts';
import { readSession } from '../store/views-sessions.ts';
import type { ApiDeps } from './deps.ts';
import { badRequest, below } from './problem.ts';
import { firstDue } from './schedule-times.ts';
import { committed, readyTask } from './submit-task.ts';
import type { CreateSchedule, PatchSchedule, ScheduledTask } from './wire-schedules.ts';

/** With when it is due first. Throws `ApiProblem`. */
export async function termsOf(
  deps: ApiDeps,
  teamId: string,
  body: z.output<typeof CreateSchedule>,
): Promise<ScheduleTerms & { readonly dueAt: Date }> {
  const { name, task, overlap, timeZone, cron, every } = body;
  if (cron === undefined && every === undefined)
    throw badRequest(
      'bad_schedule',
      'Nothing says when it is due: send cron, such as "0 6 * * 1-5", or every, in seconds.',
      'cron',
    );
  const when = whenOf({ cron, every, timeZone });
  const dueAt = await firstDueOf(deps, when);
  await checkTask(deps, teamId, task);
  return { name, task, overlap, ...when, dueAt };
}

/** All that it is from now on. Throws `ApiProblem`. */
export async function changeOf(
  deps: ApiDeps,
  was: ScheduleRow,
  body: PatchSchedule,
): Promise<ScheduleChange> {
  const { name = was.name, task = was.task, overlap = was.overlap, timeZone = was.timeZone } = body;
  const { cron, every, enabled } = body;
  const isKept = cron === undefined && every === undefined;
  const when = isKept ? { ...kept(was), timeZone } : whenOf({ cron, every, timeZone });
  const isNewWhen = !isKept || timeZone !== was.timeZone;
  const dueAt = isNewWhen || enabled === true ? await firstDueOf(deps, when) : null;
  if (body.task !== undefined || enabled === true) await checkTask(deps, was.teamId, task as ScheduledTask);
  return { name, task, overlap, ...when, isNewWhen, dueAt, ...(enabled === undefined ? {} : { enabled }) };
}

function kept({ cron, everySeconds, timeZone }: When): When {
  return { cron, everySeconds, timeZone };
}

interface Asked {
  readonly cron?: string | undefined;
  readonly every?: number | undefined;
  readonly timeZone: string;
}

function whenOf({ cron, every, timeZone }: Asked): When {
  if (cron !== undefined && every !== undefined)
    throw badRequest(
      'bad_schedule',
      'A schedule is due by cron, or every so many seconds: leave one of them out.',
      'every',
    );
  return { cron: cron ?? null, everySeconds: every ?? null, timeZone };
}

async function firstDueOf({ db, schedules }: ApiDeps, when: When): Promise<Date> {
  return firstDue(when, await timeOfDatabase(db), schedules.shortestSeconds);
}

/** Throws the `ApiProblem` that it would be refused with now, which names its fields below `task`. */
async function checkTask(deps: ApiDeps, teamId: string, task: ScheduledTask): Promise<void> {
  refuseUploads(task);
  const check = async () => {
    const { session } = await readyTask(deps, teamId, { body: task });
    if ('workspace' in session) return;
    const found = await readSession(deps.db, { teamId, id: session.id });
    if (found === undefined) committed(deps, { outcome: 'session_not_found' }, task);
    else if (found.archivedAt !== null) committed(deps, { outcome: 'session_archived' }, task);
  };
  await check().catch(below('task'));
}

function refuseUploads({ workspace }: ScheduledTask): void {
  const sources = workspace?.kind === 'roots' ? Object.values(workspace.roots) : [workspace];
  if (sources.every((source) => source?.kind !== 'upload')) return;
  throw badRequest(
    'bad_workspace',
    'An upload is as old as it is, and a schedule would begin with it for ever: name a repository, or go on with a session (sessionId).',
    'task.workspace',
  );
}
