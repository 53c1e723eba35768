/** Schedules as commands make, name and show them. */
import type { Task } from '../api/wire.ts';
import type { CreateSchedule, Schedule, ScheduledTask } from '../api/wire-schedules.ts';
import type { Client } from '../client/client.ts';
import type { Config } from '../config.ts';
import { UserError } from '../core/errors.ts';
import { fromPublicId } from '../core/id.ts';
import { MAX_EVERY_SECONDS, type Overlap } from '../core/schedule.ts';
import { beginningWith, findSession, newest } from './find.ts';
import { fields, table } from './table.ts';
import { readTask, type TaskFlags } from './task-input.ts';
import { oneLine } from './untrusted-text.ts';

const LINE = 500;

export interface ScheduleFlags extends Omit<TaskFlags, 'continue' | 'root' | 'attach'> {
  readonly cron?: string | undefined;
  readonly every?: string | undefined;
  readonly 'time-zone'?: string | undefined;
  readonly overlap?: string | undefined;
  readonly disabled: boolean;
}

interface Place {
  readonly flags: ScheduleFlags;
  readonly config: Config;
  readonly cwd: string;
}

/** A schedule that is ready to be made. `session`: what its tasks go on with, as it was typed. */
export interface ScheduleRequest {
  readonly body: CreateSchedule;
  readonly session?: string;
}

/** Everything that can be wrong without asking a server is said here. */
export function readSchedule(name: string, prompt: string, { flags, config, cwd }: Place): ScheduleRequest {
  const when = whenOf(flags);
  const { body, sends, session } = readTask(prompt, { flags: { ...flags, continue: false }, config, cwd });
  if (sends !== undefined)
    throw new UserError(
      'workspace_invalid',
      'A schedule works on no copy of a directory, which would be as old as the schedule: give --workspace the URL of a repository or "empty", or go on with a session by --session.',
    );
  const schedule: CreateSchedule = {
    ...{ name, ...when, task: body as ScheduledTask },
    ...(flags.overlap !== undefined && { overlap: flags.overlap as Overlap }),
    ...(flags.disabled && { enabled: false }),
  };
  return { body: schedule, ...(session !== undefined && { session }) };
}

type AskedWhen = Pick<CreateSchedule, 'cron' | 'every' | 'timeZone'>;

function whenOf({ cron, every, 'time-zone': timeZone }: ScheduleFlags): AskedWhen {
  if ((cron === undefined) === (every === undefined))
    throw new UserError(
      'schedule_invalid',
      'A schedule is due by --cron "0 6 * * 1-5" or --every 30m: give one of them.',
    );
  const zone = timeZone === undefined ? {} : { timeZone };
  return cron === undefined ? { every: secondsOf(every ?? ''), ...zone } : { cron, ...zone };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90`, `90s`, `30m`, `12h`, `7d`, in seconds. */
function secondsOf(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNITS[unit] ?? 0);
  if (digits !== '' && seconds >= 1 && seconds <= MAX_EVERY_SECONDS) return seconds;
  throw new UserError(
    'schedule_invalid',
    `--every must be a time such as 90s, 30m, 12h or 7d, of a year at most; found ${JSON.stringify(oneLine(text, 60))}.`,
  );
}

export async function addSchedule(client: Client, { body, session }: ScheduleRequest): Promise<Schedule> {
  if (session === undefined) return client.createSchedule(body);
  const { id: sessionId } = await findSession(client, session);
  return client.createSchedule({ ...body, task: { ...body.task, sessionId } });
}

/** The schedule that `id` means, as a list shows it: a whole `sch_…`, its beginning, a name, or `last`. Throws `UserError` (exit code 2). */
export async function findSchedule(client: Client, id: string): Promise<Schedule> {
  if (fromPublicId('schedule', id)) return client.schedule(id);
  if (id === 'last') return newest(await client.schedules({ limit: 1 }), 'There is no schedule yet.');
  if (/^sch_[0-9a-f]{0,32}$/i.test(id))
    return beginningWith(id, (query) => client.schedules(query), 'None of the schedules');
  const none = `There is no schedule ${JSON.stringify(oneLine(id, 60))}: expected its name, sch_…, its beginning, or "last".`;
  return newest(await client.schedules({ name: id, limit: 1 }), none);
}

export async function turnSchedule(client: Client, id: string, enabled: boolean): Promise<Schedule> {
  return client.changeSchedule((await findSchedule(client, id)).id, { enabled });
}

function whenText({ cron, every, timeZone }: Schedule): string {
  return cron === null ? `every ${shortTime(every ?? 0)}` : `${cron} ${timeZone}`;
}

/** In the largest unit that it is a multiple of. */
function shortTime(seconds: number): string {
  const unit = ['d', 'h', 'm'].find((each) => seconds % (UNITS[each] ?? 1) === 0) ?? 's';
  return `${seconds / (UNITS[unit] ?? 1)}${unit}`;
}

export function schedulesText(list: readonly Schedule[]): string {
  if (list.length === 0) return 'No schedules.\n';
  const rows = list.map((each) => [
    ...[each.id, each.name, whenText(each)],
    each.nextDueAt ?? `disabled (${each.disabledReason})`,
    each.lastTaskId ?? '-',
    each.lastError?.message ?? '-',
  ]);
  return table(['ID', 'NAME', 'WHEN', 'NEXT', 'LAST TASK', 'LAST ERROR'], rows);
}

const WHY = {
  person: 'somebody disabled it',
  revoked: 'the key that it was made with is not good any more',
  session: 'its session takes no more tasks',
  never_due: 'when it would be due next cannot be told',
} as const;

function stateText({ disabledAt, disabledReason, nextDueAt }: Schedule): string {
  if (disabledAt === null || disabledReason === null) return `due at ${nextDueAt}`;
  return `disabled at ${disabledAt}: ${WHY[disabledReason]}`;
}

/** Runs that are shown with a schedule. */
const SHOWN_RUNS = 5;

/** A schedule, and the newest tasks that it made. */
export async function scheduleWithRuns(client: Client, id: string): Promise<Schedule & { tasks: Task[] }> {
  const found = fromPublicId('schedule', id) ? id : (await findSchedule(client, id)).id;
  // A list has no whole prompts.
  const schedule = await client.schedule(found);
  const { data: tasks } = await client.tasks({ scheduleId: schedule.id, limit: SHOWN_RUNS });
  return { ...schedule, tasks };
}

export function scheduleText(schedule: Schedule & { readonly tasks: readonly Task[] }): string {
  const { id, name, task, tasks, lastError: error, lastSkippedAt } = schedule;
  const lines = fields([
    ['schedule', id],
    ['name', oneLine(name, LINE)],
    ['when', oneLine(whenText(schedule), LINE)],
    ['state', stateText(schedule)],
    ['prompt', oneLine(task.prompt, LINE)],
    ['works on', oneLine(placeText(task), LINE)],
    ['overlap', schedule.overlap],
    ['acts for', oneLine(schedule.actsFor, LINE)],
    ...(lastSkippedAt === null ? [] : [['skipped', `${lastSkippedAt}: others of it had not ended`] as const]),
    ...(error === null ? [] : [['error', `${error.at}: ${oneLine(error.message, LINE)}`] as const]),
    ['created', schedule.createdAt],
  ]);
  const rows = tasks.map((each) => [each.id, each.status, each.createdAt]);
  const runs = rows.length === 0 ? '' : `\n${table(['LAST TASKS', 'STATUS', 'CREATED'], rows)}`;
  const hint = schedule.enabled ? '' : `\nTo enable it: capybara schedules enable ${id}\n`;
  return `${lines}${runs}${hint}`;
}

function placeText({ sessionId, workspace }: ScheduledTask): string {
  if (sessionId !== undefined) return sessionId;
  switch (workspace?.kind) {
    case 'git':
      return workspace.ref === undefined ? workspace.url : `${workspace.url}#${workspace.ref}`;
    case 'local':
      return workspace.path;
    case 'roots':
      return Object.keys(workspace.roots).join(', ');
    default:
      return 'an empty directory';
  }
}

/** `isEmbedded`: nobody hands anything in while no Capybara runs here. */
export function addedText(schedule: Schedule, isEmbedded: boolean): string {
  const { id, name, nextDueAt } = schedule;
  const due = nextDueAt === null ? 'is disabled' : `is due at ${nextDueAt}`;
  const hint = isEmbedded ? 'It is handed in while `capybara up` runs.\n' : '';
  return `${id} (${oneLine(name, LINE)}) ${due}\n${hint}To try it: capybara schedules run ${id}\n`;
}
