import type { TokenUsage } from './model.ts';

/** What an answer without any count is booked as. */
export const NO_USAGE: TokenUsage = { input: 0, output: 0, cached: 0, reasoning: 0 };

/** A provider's count as a whole number of tokens: anything else is none. */
export function tokens(count: number | null | undefined): number {
  return typeof count === 'number' && Number.isFinite(count) ? Math.max(0, Math.trunc(count)) : 0;
}
