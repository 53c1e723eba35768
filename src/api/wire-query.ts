/** Numbers as queries have them. */
import { z } from 'zod';

/** Decimal digits alone: not `0x10`, `1e3` or nothing at all, which JavaScript takes for numbers too. */
function readDigits(raw: unknown): unknown {
  return typeof raw === 'string' && /^-?\d{1,15}$/.test(raw) ? Number(raw) : raw;
}

export function wholeInQuery(least: number, most: number = Number.MAX_SAFE_INTEGER) {
  const range = most === Number.MAX_SAFE_INTEGER ? `, ${least} or more` : ` from ${least} to ${most}`;
  const error = `expected a whole number${range}`;
  return z.preprocess(readDigits, z.int({ error }).min(least, { error }).max(most, { error }));
}
