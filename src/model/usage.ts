import type { TokenUsage } from './model.ts';

/** What an answer without any count is booked as. */
export const NO_USAGE: TokenUsage = { input: 0, output: 0, cached: 0, reasoning: 0 };

/** The most that the store's integer columns hold: a senseless count must not lose a paid answer. */
export const MAX_TOKENS = 2_147_483_647;

/** A provider's count as a whole number of tokens, at most `MAX_TOKENS`: anything else is none. */
export function tokens(count: unknown): number {
  if (typeof count !== 'number' || Number.isNaN(count)) return 0;
  return Math.min(Math.max(0, Math.trunc(count)), MAX_TOKENS);
}
