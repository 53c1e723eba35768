import type { Check } from './check.ts';

/** Leases and due times are Postgres' own; what is wrong beyond this is what people read. */
const WORTH_KNOWING_MS = 2_000;
const MUST_BE_MENDED_MS = 5 * 60_000;
const CURE = 'let it be kept right on both machines (timedatectl set-ntp true)';

/** Another clock was read between `before` and `after` of this one; all in milliseconds since the epoch. */
export interface Reading {
  readonly of: string;
  readonly theirs: number;
  readonly before: number;
  readonly after: number;
  /** How exactly the other one was told. */
  readonly withinMs?: number;
}

export function compareClocks({ of, theirs, before, after, withinMs = 0 }: Reading): Check {
  const name = `clock of ${of}`;
  const behind = theirs - after;
  const ahead = before - theirs - withinMs;
  const apart = Math.max(behind, ahead, 0);
  if (apart < WORTH_KNOWING_MS) return { name, state: 'ok', found: 'it agrees with the one of this machine' };
  const direction = behind > 0 ? 'ahead of' : 'behind';
  const found = `it is ${Math.round(apart / 1_000)} s ${direction} the one of this machine`;
  return { name, state: apart < MUST_BE_MENDED_MS ? 'warning' : 'wrong', found, cure: CURE };
}

/** This version was made in that year: certificates are not good before. */
const MADE_IN = 2026;

export function ownClock(now = new Date()): Check {
  const found = `it says ${now.toISOString()}`;
  if (now.getUTCFullYear() >= MADE_IN) return { name: 'clock', state: 'ok', found };
  return { name: 'clock', state: 'wrong', found, cure: 'set it (timedatectl set-ntp true)' };
}
