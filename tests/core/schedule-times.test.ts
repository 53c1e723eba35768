/** When schedules are due: by clocks on the wall of their time zones, and by none. */
import { describe, expect, test } from 'vitest';
import { firstDue, nextDue } from '../../src/api/schedule-times.ts';
import type { When } from '../../src/core/schedule.ts';

const byCron = (cron: string, timeZone = 'UTC'): When => ({ cron, everySeconds: null, timeZone });
const byTime = (everySeconds: number): When => ({ cron: null, everySeconds, timeZone: 'UTC' });

function dueTimes(when: When, from: string, count: number): string[] {
  const times: string[] = [];
  for (let after: Date | null = new Date(from); times.length < count; ) {
    after = nextDue(when, after);
    if (after === null) break;
    times.push(after.toISOString().slice(0, 16));
  }
  return times;
}

describe('by a cron expression it is due', () => {
  test.each([
    ['on working days', '0 6 * * 1-5', '2026-10-30T05:00Z', ['2026-10-30T06:00', '2026-11-02T06:00']],
    ['on days by name', '0 6 * JAN MON', '2026-10-30T05:00Z', ['2027-01-04T06:00', '2027-01-11T06:00']],
    ['on either of two days', '0 0 13 * 5', '2026-12-11T05:00Z', ['2026-12-13T00:00', '2026-12-18T00:00']],
    ['on leap days', '0 0 29 2 *', '2026-10-30T05:00Z', ['2028-02-29T00:00', '2032-02-29T00:00']],
  ])('%s', (_what, cron, from, expected) => {
    expect(dueTimes(byCron(cron), from, 2)).toEqual(expected);
  });

  test.each([
    // 02:00 to 03:00 is not there on March 29.
    [
      'when clocks have gone forward, where its time was left out',
      '30 2 * * *',
      '2026-03-28T00:00Z',
      ['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30'],
    ],
    [
      'each hour that there is where clocks go forward',
      '30 * * * *',
      '2026-03-28T23:45Z',
      ['2026-03-29T00:30', '2026-03-29T01:30', '2026-03-29T02:30'],
    ],
    // 02:00 to 03:00 comes twice on October 25.
    [
      'once, where its time comes twice',
      '30 2 * * *',
      '2026-10-24T12:00Z',
      ['2026-10-25T00:30', '2026-10-26T01:30', '2026-10-27T01:30'],
    ],
    [
      'each half hour where clocks go back, the same on the wall or not',
      '*/30 * * * *',
      '2026-10-24T23:45Z',
      ['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-25T01:00'],
    ],
  ])('%s', (_what, cron, from, expected) => {
    expect(dueTimes(byCron(cron, 'Europe/Berlin'), from, expected.length)).toEqual(expected);
  });

  test.each([
    // In Berlin 02:00 to 03:00 is not there on 28 March 2027, and comes twice on 25 October 2026.
    ['0 2,14 * * *', 'Europe/Berlin', '2027-03-27T13:00Z', ['03-28T01:00', '03-28T12:00', '03-29T00:00']],
    ['0 2,14 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', ['10-25T00:00', '10-25T13:00', '10-26T01:00']],
    ['*/30 2 * * *', 'Europe/Berlin', '2027-03-27T13:00Z', ['03-28T01:00', '03-29T00:00', '03-29T00:30']],
    ['*/30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', ['10-25T00:00', '10-25T00:30', '10-26T01:00']],
    ['0 */2 * * *', 'Europe/Berlin', '2027-03-27T22:30Z', ['03-27T23:00', '03-28T01:00', '03-28T02:00']],
    ['0 */2 * * *', 'Europe/Berlin', '2026-10-24T21:00Z', ['10-24T22:00', '10-25T00:00', '10-25T03:00']],
    ['0 * * * *', 'Europe/Berlin', '2026-10-24T23:30Z', ['10-25T00:00', '10-25T01:00', '10-25T02:00']],
    // In New York the same on 14 March 2027 and 1 November 2026 (01:00 to 02:00).
    ['15 2,3 * * *', 'America/New_York', '2027-03-14T05:30Z', ['03-14T07:00', '03-14T07:15', '03-15T06:15']],
    ['15 1,5 * * *', 'America/New_York', '2026-11-01T04:30Z', ['11-01T05:15', '11-01T10:15', '11-02T06:15']],
    // On Lord Howe clocks go by half an hour: from 02:00 to 02:30 on 4 October 2026, from 02:00 to 01:30 on 4 April 2027.
    [
      '15,45 2 * * *',
      'Australia/Lord_Howe',
      '2026-10-03T14:00Z',
      ['10-03T15:30', '10-03T15:45', '10-04T15:15'],
    ],
    [
      '45 1,2 * * *',
      'Australia/Lord_Howe',
      '2027-04-03T13:00Z',
      ['04-03T14:45', '04-03T16:15', '04-04T15:15'],
    ],
    ['0 2,14 * * *', 'UTC', '2027-03-27T13:00Z', ['03-27T14:00', '03-28T02:00', '03-28T14:00']],
  ])('at each time that %s names, once, in %s after %s', (cron, timeZone, from, expected) => {
    const times = dueTimes(byCron(cron, timeZone), from, expected.length);
    expect(times.map((time) => time.slice(5))).toEqual(expected);
  });
});

describe('every so many seconds it is due', () => {
  test('counted from the time that it was due last, though that is long ago', () => {
    const since = new Date('2026-01-01T00:00:10Z');
    const due = (now: string) => nextDue(byTime(60), new Date(now), since)?.toISOString();
    expect(due('2026-01-01T00:00:10.500Z')).toBe('2026-01-01T00:01:10.000Z');
    expect(due('2026-01-01T03:00:10Z')).toBe('2026-01-01T03:01:10.000Z');
    expect(due('2026-01-01T03:00:09.999Z')).toBe('2026-01-01T03:00:10.000Z');
  });
});

describe('it is not taken', () => {
  const now = new Date('2026-10-01T00:00:00Z');
  const five = 'expected minute, hour, day of the month, month and day of the week, such as "0 6 * * 1-5".';
  test.each([
    ['cron', byCron('0 6 * *'), `cron "0 6 * *" has 4 fields: ${five}`],
    ['cron', byCron('0 0 6 * * *'), `cron "0 0 6 * * *" has 6 fields: ${five}`],
    ['cron', byCron(''), `cron "" has 1 fields: ${five}`],
    ['cron', byCron('0 24 * * *'), `cron "0 24 * * *" cannot be used: its hour is "24"; ${five}`],
    ['cron', byCron('0 0 * 13 *'), `cron "0 0 * 13 *" cannot be used: its month is "13"; ${five}`],
    ['cron', byCron('*/0 * * * *'), `cron "*/0 * * * *" cannot be used: its minute is "*/0"; ${five}`],
    ['cron', byCron('0 0 30 2 *'), `cron "0 0 30 2 *" names a day that never comes: ${five}`],
    [
      'timeZone',
      byCron('0 0 * * *', 'Berlin'),
      'timeZone "Berlin" is none that is known: expected an IANA name such as Europe/Berlin or UTC.',
    ],
    [
      'timeZone',
      byCron('0 0 * * *', '+02:00'),
      'timeZone "+02:00" is none that is known: expected an IANA name such as Europe/Berlin or UTC.',
    ],
    [
      'cron',
      byCron('0,4 6 * * *'),
      'A schedule may be due every 300 seconds at most, and this one would be after 240: let more time pass between.',
    ],
    [
      'every',
      byTime(299),
      'A schedule may be due every 300 seconds at most, and this one would be after 299: let more time pass between.',
    ],
  ])('with a wrong %s: %j', (field, when, message) => {
    expect(() => firstDue(when, now, 300)).toThrow(
      expect.objectContaining({ status: 400, code: 'bad_schedule', field, message }),
    );
  });

  test('while what is just seldom enough is', () => {
    expect(firstDue(byTime(300), now, 300).toISOString()).toBe('2026-10-01T00:05:00.000Z');
    expect(firstDue(byCron('0,5 6 * * *'), now, 300).toISOString()).toBe('2026-10-01T06:00:00.000Z');
    // One of the days to come has 23 hours.
    const daily = firstDue(byCron('0 6 * * *', 'Europe/Berlin'), new Date('2026-03-01T00:00Z'), 86_400);
    expect(daily.toISOString()).toBe('2026-03-01T05:00:00.000Z');
  });
});
