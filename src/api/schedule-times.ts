/**
 * When a schedule is due. By a cron expression it is due by the clock on the wall of its time zone: a time that does not exist where
 * clocks go forward is due when they have, one that comes twice where they go back is due once, the first time; where the hour is
 * `*`, it is due in each hour that passes, through both. Every so many seconds it is due by no clock's face.
 */
import { Cron } from 'croner';
import type { When } from '../core/schedule.ts';
import { type ApiProblem, badRequest } from './problem.ts';
import { firstShown, shownAt } from './wall-clock.ts';

const FIELDS = ['minute', 'hour', 'day of the month', 'month', 'day of the week'] as const;
const EXAMPLE = 'expected minute, hour, day of the month, month and day of the week, such as "0 6 * * 1-5"';
/** Due times in a row that the shortest interval is looked for in. */
const LOOKED_AT = 100;

/** The first due time behind `after`; null: never again. `since`: a due time that the seconds are counted from. */
export function nextDue(
  { cron, everySeconds, timeZone }: When,
  after: Date,
  since: Date = after,
): Date | null {
  if (cron !== null)
    return isHourly(cron) ? parsed(cron, timeZone).nextRun(after) : nextShown(cron, timeZone, after);
  const everyMs = (everySeconds ?? 0) * 1_000;
  const passed = Math.floor((after.getTime() - since.getTime()) / everyMs);
  return new Date(since.getTime() + (Math.max(passed, 0) + 1) * everyMs);
}

/** What comes in every hour goes by the time that passes. */
function isHourly(cron: string): boolean {
  return /^\S+\s+\*(\/1)?\s/.test(cron.trim());
}

/** Each time that `cron` names is looked for on the wall; two that clocks leave out together are one moment. */
function nextShown(cron: string, timeZone: string, after: Date): Date | null {
  const named = parsed(cron, 'UTC');
  let face = named.nextRun(new Date(shownAt(after, timeZone).getTime() - 1_000));
  while (face !== null) {
    const due = firstShown(face, timeZone);
    if (due > after) return due;
    face = named.nextRun(face);
  }
  return null;
}

/** Its first due time behind `now`. Throws `ApiProblem` (`bad_schedule`) where it would never be due, or too often. */
export function firstDue(when: When, now: Date, shortestSeconds: number): Date {
  const { cron, everySeconds, timeZone } = when;
  checkTimeZone(timeZone);
  if (cron !== null) checkCron(cron);
  const first = nextDue(when, now);
  if (first === null)
    throw refused('cron', `cron ${JSON.stringify(cron)} names a day that never comes: ${EXAMPLE}.`);
  const seconds = everySeconds ?? shortestGap({ ...when, timeZone: 'UTC' }, now) / 1_000;
  if (seconds < shortestSeconds)
    throw refused(
      cron === null ? 'every' : 'cron',
      `A schedule may be due every ${shortestSeconds} seconds at most, and this one would be after ${seconds}: let more time pass between.`,
    );
  return first;
}

/** In milliseconds. Where no clock is put forward, since a day that is an hour shorter makes a daily one no more frequent. */
function shortestGap(when: When, now: Date): number {
  let shortest = Number.POSITIVE_INFINITY;
  let last = nextDue(when, now);
  for (let count = 0; count < LOOKED_AT && last !== null; count += 1) {
    const next = nextDue(when, last);
    if (next !== null) shortest = Math.min(shortest, next.getTime() - last.getTime());
    last = next;
  }
  return shortest;
}

function checkTimeZone(timeZone: string): void {
  if (/^[A-Z]/i.test(timeZone) && isZone(timeZone)) return;
  throw refused(
    'timeZone',
    `timeZone ${JSON.stringify(timeZone)} is none that is known: expected an IANA name such as Europe/Berlin or UTC.`,
  );
}

function isZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch {
    return false;
  }
}

function checkCron(cron: string): void {
  const fields = cron.trim().split(/\s+/);
  const said = `cron ${JSON.stringify(cron)}`;
  if (fields.length !== FIELDS.length)
    throw refused('cron', `${said} has ${fields.length} fields: ${EXAMPLE}.`);
  const wrong = fields.findIndex((field, place) => !canParse(alone(field, place)));
  if (wrong !== -1)
    throw refused(
      'cron',
      `${said} cannot be used: its ${FIELDS[wrong]} is ${JSON.stringify(fields[wrong])}; ${EXAMPLE}.`,
    );
}

/** One field, where the others say nothing. */
function alone(field: string, place: number): string {
  return FIELDS.map((_, index) => (index === place ? field : '*')).join(' ');
}

function canParse(cron: string): boolean {
  try {
    parsed(cron, 'UTC');
    return true;
  } catch {
    return false;
  }
}

function parsed(cron: string, timezone: string): Cron {
  return new Cron(cron.trim(), { timezone, mode: '5-part', paused: true });
}

function refused(field: string, detail: string): ApiProblem {
  return badRequest('bad_schedule', detail, field);
}
