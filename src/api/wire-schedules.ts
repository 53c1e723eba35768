/** What hands in a task again and again. */
import { z } from 'zod';
import {
  MAX_CRON_LENGTH,
  MAX_EVERY_SECONDS,
  MAX_SCHEDULE_NAME_LENGTH,
  MAX_TIME_ZONE_LENGTH,
  MAX_UNFINISHED,
  OVERLAPS,
  SCHEDULE_DISABLED,
} from '../core/schedule.ts';
import { CreateTask } from './wire.ts';
import { Id } from './wire-id.ts';
import { SEEN_NAME, seenName } from './wire-names.ts';

const timestamp = z.iso.datetime().meta({ description: 'RFC 3339, UTC' });

const Name = seenName(MAX_SCHEDULE_NAME_LENGTH, {
  but: '[sS][cC][hH]_|[lL][aA][sS][tT]$',
  message: `${SEEN_NAME}, and neither "last" nor one that begins with sch_`,
}).meta({ description: 'one of its own among those of the team' });

export const ScheduledTask = CreateTask.omit({ attachments: true }).meta({
  id: 'ScheduledTask',
  description:
    'What is handed in each time, as POST /v1/tasks takes it: with sessionId the next task of that session, else one of a new session. Its workspace is no upload, which would be as old as the schedule.',
});
export type ScheduledTask = z.infer<typeof ScheduledTask>;

const cron = z.string().max(MAX_CRON_LENGTH).meta({
  description: 'minute, hour, day of the month, month, day of the week, in the time zone',
});
const every = z.int().min(1).max(MAX_EVERY_SECONDS).meta({ description: 'seconds' });
const timeZone = z
  .string()
  .max(MAX_TIME_ZONE_LENGTH)
  .meta({ description: 'an IANA name, such as Europe/Berlin; what cron says is by its clocks' });
const overlap = z.enum(OVERLAPS).meta({
  description: `where a task of it has not ended: skip makes none; queue makes one more (behind it in the same session, else beside it), up to ${MAX_UNFINISHED}`,
});

export const Schedule = z
  .object({
    id: Id,
    name: z.string(),
    cron: z.string().nullable(),
    every: z.int().nullable(),
    timeZone: z.string(),
    task: ScheduledTask.meta({
      description: 'of webhookUrl a key that is for neither submit nor admin sees the origin alone',
    }),
    overlap: z.enum(OVERLAPS),
    enabled: z.boolean(),
    actsFor: z.string().meta({
      description: 'whose its tasks are: who made it, or changed or enabled it last',
    }),
    createdAt: timestamp,
    nextDueAt: timestamp.nullable().meta({ description: 'null where it is disabled' }),
    lastTaskId: Id.nullable().meta({ description: 'the newest task that it made' }),
    lastError: z
      .object({ code: z.string(), message: z.string(), at: timestamp })
      .nullable()
      .meta({ description: 'why it made no task when it was due last' }),
    lastSkippedAt: timestamp
      .nullable()
      .meta({ description: 'when it made none last because others had not ended' }),
    disabledAt: timestamp.nullable(),
    disabledReason: z.enum(SCHEDULE_DISABLED).nullable().meta({
      description:
        'revoked: the key that it was made with is not good any more; session: its session takes no more tasks; never_due: when it would be due next cannot be told',
    }),
  })
  .meta({ id: 'Schedule' });
export type Schedule = z.infer<typeof Schedule>;

export const CreateSchedule = z
  .strictObject({
    name: Name,
    cron: cron.optional().meta({ description: 'this, or every' }),
    every: every.optional(),
    timeZone: timeZone.default('UTC'),
    task: ScheduledTask,
    overlap: overlap.default('skip'),
    enabled: z.boolean().default(true),
  })
  .meta({ id: 'CreateSchedule' });
export type CreateSchedule = z.input<typeof CreateSchedule>;

export const PatchSchedule = z
  .strictObject({
    name: Name.optional(),
    cron: cron.optional().meta({ description: 'takes the place of every' }),
    every: every.optional().meta({ description: 'takes the place of cron' }),
    timeZone: timeZone.optional(),
    task: ScheduledTask.optional().meta({ description: 'all of it' }),
    overlap: overlap.optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: 'PatchSchedule' });
export type PatchSchedule = z.infer<typeof PatchSchedule>;
