/** What clocks on the wall show in a time zone, as a date whose UTC fields say it, and when they do. */
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** What the clocks show at `time`, to the second. */
export function shownAt(time: Date, timeZone: string): Date {
  const parts = faceOf(timeZone).formatToParts(time);
  const of = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((part) => part.type === type)?.value);
  return new Date(Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second')));
}

/** When the clocks first show `face`; where they leave it out, the first moment behind the gap. To the minute. */
export function firstShown(face: Date, timeZone: string): Date {
  const offsets = [-DAY_MS, DAY_MS].map((ms) => offsetAt(face.getTime() + ms, timeZone));
  const [early = 0, late = 0] = offsets.map((offset) => face.getTime() - offset).sort((a, b) => a - b);
  const shown = [early, late].find((ms) => ms + offsetAt(ms, timeZone) === face.getTime());
  return new Date(shown ?? changeBetween(early, late, timeZone));
}

/** The minute in which the clocks are put forward, behind `before`. */
function changeBetween(before: number, after: number, timeZone: string): number {
  const offset = offsetAt(before, timeZone);
  let [last, first] = [before, after];
  while (first - last > MINUTE_MS) {
    const middle = last + Math.floor((first - last) / MINUTE_MS / 2) * MINUTE_MS;
    if (offsetAt(middle, timeZone) === offset) last = middle;
    else first = middle;
  }
  return first;
}

/** How far the clocks are ahead of UTC, in milliseconds. */
function offsetAt(ms: number, timeZone: string): number {
  return shownAt(new Date(ms), timeZone).getTime() - Math.floor(ms / 1_000) * 1_000;
}

const faces = new Map<string, Intl.DateTimeFormat>();

function faceOf(timeZone: string): Intl.DateTimeFormat {
  const known = faces.get(timeZone);
  if (known !== undefined) return known;
  const fields = { year: 'numeric', month: 'numeric', day: 'numeric' } as const;
  const clock = { hour: 'numeric', minute: 'numeric', second: 'numeric', hourCycle: 'h23' } as const;
  const face = new Intl.DateTimeFormat('en-US', { timeZone, ...fields, ...clock });
  faces.set(timeZone, face);
  return face;
}
