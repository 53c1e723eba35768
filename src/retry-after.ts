/** When a server that was asked too much wants to be asked again. */

/**
 * What a `Retry-After` asks for (RFC 9110 §10.2.3: seconds or a date), in milliseconds from `now`; undefined of anything else. A date that is
 * over asks for nothing: 0.
 */
export function readRetryAfter(text: string, now: number): number | undefined {
  const ms = numberOf(text) * 1_000;
  const wait = Number.isFinite(ms) ? ms : dateOf(text) - now;
  return Number.isFinite(wait) ? Math.max(0, Math.ceil(wait)) : undefined;
}

/** An HTTP date begins with the day's name; `Date.parse` alone would also take `-5` for a date. */
function dateOf(text: string): number {
  return /^\s*[a-z]+, /i.test(text) ? Date.parse(text) : Number.NaN;
}

/** Without sign and exponent; NaN of anything else. */
export function numberOf(text: string): number {
  return /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : Number.NaN;
}
