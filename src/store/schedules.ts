/** What hands in tasks again and again. Ids are UUIDs; each due time makes one task, in the commit that sets the next. */
import { newId } from '../clock.ts';
import {
  LISTED_PROMPT_LENGTH,
  MAX_UNFINISHED,
  type Overlap,
  type ScheduleDisabled,
  type When,
} from '../core/schedule.ts';
import type { Database } from './database.ts';
import { textArray } from './keys.ts';
import type { NewTask, Submission, SubmitOutcome, TaskSession } from './tasks.ts';
import { cut, type Rows } from './views.ts';

interface OfTeam {
  readonly teamId: string;
  readonly id: string;
}

/** Who makes or changes one, and with which key: its tasks are theirs as long as that key is good. */
export interface Acting {
  readonly teamId: string;
  readonly userId: string;
  readonly keyId: string;
}

/** What a schedule is, as a person says it. `task`: what `POST /v1/tasks` takes. */
export interface ScheduleTerms extends When {
  readonly name: string;
  readonly task: unknown;
  readonly overlap: Overlap;
}

export interface NewSchedule extends ScheduleTerms {
  readonly id: string;
  /** Null: it is made disabled. */
  readonly dueAt: Date | null;
  /** SHA-256 (hexadecimal) of what was asked, so that an id cannot stand for two requests. */
  readonly requestHash: string;
}

export function createSchedule(
  db: Database,
  { teamId, userId, keyId }: Acting,
  schedule: NewSchedule,
  most: number,
): Promise<{ readonly outcome: 'created' | 'repeated' | 'conflict' | 'name_taken' | 'too_many' }> {
  return db.transition('create_schedule', teamId, userId, keyId, schedule, most);
}

/** All that it is from now on. `dueAt` counts where it is enabled now, or `isNewWhen`. */
export interface ScheduleChange extends ScheduleTerms {
  readonly isNewWhen: boolean;
  readonly dueAt: Date | null;
  readonly enabled?: boolean;
  readonly removed?: true;
}

/** `moved_on`: somebody has changed it since that revision. */
export function changeSchedule(
  db: Database,
  { teamId, userId, keyId }: Acting,
  { id, revision }: Pick<ScheduleRow, 'id' | 'revision'>,
  change: ScheduleChange,
): Promise<{ readonly outcome: 'changed' | 'moved_on' | 'not_found' | 'name_taken' }> {
  return db.transition('change_schedule', teamId, userId, keyId, id, revision, change);
}

/** One due time of a schedule, as it was read. */
export interface Due {
  readonly id: string;
  readonly dueAt: Date;
  readonly revision: number;
}

interface ReadyTask {
  readonly session: TaskSession;
  readonly task: NewTask;
}

export type FireOutcome =
  | SubmitOutcome
  | { readonly outcome: 'skipped' }
  | { readonly outcome: 'revoked' }
  | { readonly outcome: 'moved_on' };

/** `next`: when it is due after that, behind the database's now. */
export function fireSchedule(
  db: Database,
  { id, dueAt, revision }: Due,
  next: Date,
  { session, task }: ReadyTask,
): Promise<FireOutcome> {
  const due = [id, dueAt, revision] as const;
  return db.transition('fire_schedule', ...due, next, session, task, MAX_UNFINISHED, newId());
}

/** `disables`: it will never make another as it is. */
export interface PassedOver {
  readonly code: string;
  readonly message: string;
  readonly disables?: ScheduleDisabled;
}

/** `next`: null where `error` disables it. */
export function passSchedule(
  db: Database,
  { id, dueAt, revision }: Due,
  next: Date | null,
  error: PassedOver,
): Promise<{ readonly outcome: 'passed' | 'moved_on' }> {
  return db.transition('pass_schedule', id, dueAt, revision, next, error, newId());
}

export type RunOutcome =
  | SubmitOutcome
  | { readonly outcome: 'busy'; readonly taskId: string }
  | { readonly outcome: 'moved_on' };

export function runSchedule(
  db: Database,
  { id, revision }: Pick<ScheduleRow, 'id' | 'revision'>,
  submission: Submission,
): Promise<RunOutcome> {
  const { teamId, userId, session, task, idempotency = null } = submission;
  const given = [session, task, idempotency] as const;
  return db.transition('run_schedule', teamId, userId, id, revision, ...given, MAX_UNFINISHED);
}

export interface ScheduleRow extends ScheduleTerms {
  readonly id: string;
  readonly teamId: string;
  /** Whose its tasks are. */
  readonly userId: string;
  readonly userName: string;
  readonly revision: number;
  readonly createdAt: Date;
  /** Null where it is disabled. */
  readonly dueAt: Date | null;
  /** The newest task that it made and that is there still. */
  readonly lastTaskId: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly erredAt: Date | null;
  readonly skippedAt: Date | null;
  readonly disabledAt: Date | null;
  readonly disabledReason: ScheduleDisabled | null;
}

const COLUMNS = `
  s.id, s.team_id AS "teamId", s.user_id AS "userId", u.name AS "userName", s.name, s.cron, s.every_seconds AS "everySeconds", s.time_zone AS "timeZone",
  s.task, s.overlap, s.revision, s.created_at AS "createdAt", s.due_at AS "dueAt", s.error_code AS "errorCode", s.error_message AS "errorMessage",
  s.erred_at AS "erredAt", s.skipped_at AS "skippedAt", s.disabled_at AS "disabledAt", s.disabled_reason AS "disabledReason",
  (SELECT t.id FROM task t WHERE t.schedule_id = s.id ORDER BY t.id DESC LIMIT 1) AS "lastTaskId"`;

export interface ScheduleFilter {
  readonly teamId: string;
  readonly id?: string;
  readonly name?: string | undefined;
  readonly before?: string | undefined;
  readonly orRemoved?: boolean;
}

/** A hundred whole prompts may be as many megabytes. */
const LISTED_COLUMNS = COLUMNS.replace(
  's.task,',
  `CASE WHEN length(s.task->>'prompt') <= ${LISTED_PROMPT_LENGTH} THEN s.task
        ELSE jsonb_set(s.task, '{prompt}', to_jsonb(left(s.task->>'prompt', ${LISTED_PROMPT_LENGTH}) || '…')) END AS task,`,
);

/** The team's schedules that were not removed, the newest first: the beginnings of their prompts, with an ellipsis where there is more. */
export async function readSchedules(
  db: Database,
  filter: ScheduleFilter,
  limit: number,
): Promise<Rows<ScheduleRow>> {
  return cut(await schedulesOf(db, filter, { columns: LISTED_COLUMNS, limit: limit + 1 }), limit);
}

function schedulesOf(
  db: Database,
  { teamId, id, name, before, orRemoved = false }: ScheduleFilter,
  { columns, limit }: { readonly columns: string; readonly limit: number },
): Promise<ScheduleRow[]> {
  return db.read<ScheduleRow & Record<string, unknown>>(
    `SELECT ${columns} FROM schedule s JOIN "user" u ON u.id = s.user_id
      WHERE s.team_id = $1 AND (s.removed_at IS NULL OR $6) AND ($2::uuid IS NULL OR s.id = $2) AND ($3::text IS NULL OR s.name = $3)
        AND ($4::uuid IS NULL OR (s.created_at, s.id) < (SELECT created_at, id FROM schedule WHERE id = $4 AND team_id = $1))
      ORDER BY s.created_at DESC, s.id DESC LIMIT $5`,
    ...[teamId, id ?? null, name ?? null, before ?? null, limit, orRemoved],
  );
}

/** Whole. `orRemoved`: for whoever has made it, whatever has become of it since. */
export async function readSchedule(
  db: Database,
  filter: OfTeam & { readonly orRemoved?: boolean },
): Promise<ScheduleRow | undefined> {
  return (await schedulesOf(db, filter, { columns: COLUMNS, limit: 1 }))[0];
}

export type DueSchedule = ScheduleRow & { readonly dueAt: Date; readonly now: Date };

/** Of all teams, what is due, the first first, but for these. `now`: the database's, when it was asked. */
export function dueSchedules(
  db: Database,
  limit: number,
  except: readonly string[] = [],
): Promise<readonly DueSchedule[]> {
  return db.read<DueSchedule & Record<string, unknown>>(
    `SELECT ${COLUMNS}, clock_timestamp() AS now FROM schedule s JOIN "user" u ON u.id = s.user_id
      WHERE s.due_at <= clock_timestamp() AND NOT s.id = ANY($2::uuid[]) ORDER BY s.due_at LIMIT $1`,
    ...[limit, textArray(except)],
  );
}

/** The database's time, which due times are behind. */
export async function timeOfDatabase(db: Database): Promise<Date> {
  const [row] = await db.sql<{ now: Date }>`SELECT clock_timestamp() AS now`;
  if (row === undefined) throw new Error('Postgres told no time');
  return row.now;
}
