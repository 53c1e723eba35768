/** What hands in a task again and again: when, and whether beside one that has not ended. */

/** Longest name of a schedule, in characters. */
export const MAX_SCHEDULE_NAME_LENGTH = 100;
/** What a list shows of each prompt, in characters. */
export const LISTED_PROMPT_LENGTH = 500;
/** Longest cron expression, in characters: every minute and every hour of a list by name is shorter. */
export const MAX_CRON_LENGTH = 500;
export const MAX_TIME_ZONE_LENGTH = 64;
/** Longest interval, in seconds: a year. */
export const MAX_EVERY_SECONDS = 366 * 24 * 60 * 60;
/** Tasks of one schedule that have not ended, whatever it says of overlap: then it makes no more. */
export const MAX_UNFINISHED = 10;

/** Where a task of it has not ended: no other is made, or one more. */
export const OVERLAPS = ['skip', 'queue'] as const;
export type Overlap = (typeof OVERLAPS)[number];

/** A `person` said so; the key or user whose tasks these are was `revoked`; its `session` takes no more; nobody can tell when it would
 * be due next, and it is `never_due`. */
export const SCHEDULE_DISABLED = ['person', 'revoked', 'session', 'never_due'] as const;
export type ScheduleDisabled = (typeof SCHEDULE_DISABLED)[number];

/** One of `cron` and `everySeconds`; the other is null. */
export interface When {
  /** Minute, hour, day of the month, month, day of the week, in the time zone. */
  readonly cron: string | null;
  readonly everySeconds: number | null;
  /** An IANA name. */
  readonly timeZone: string;
}
