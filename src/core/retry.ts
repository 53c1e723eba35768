import type { Failure } from './errors.ts';

export interface RetryPolicy {
  /** Requests in a row that may fail before the task does. */
  readonly tries: number;
  readonly firstMs: number;
  readonly longestMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { tries: 3, firstMs: 1_000, longestMs: 60_000 };

/**
 * How long to wait before the request is sent again, or undefined where it is not: what the provider asked for, else
 * twice as long each time, with a jitter of up to a quarter so that many sessions do not come back at once.
 *
 * @param retries requests that failed since the last answer, before this one
 * @param random in [0, 1)
 */
export function retryDelay(
  failure: Failure,
  state: { readonly retries: number; readonly random: number },
  policy: RetryPolicy = DEFAULT_RETRY,
): number | undefined {
  if (failure.kind !== 'retryable' || state.retries + 1 >= policy.tries) return undefined;
  const backoff = Math.min(policy.firstMs * 2 ** state.retries, policy.longestMs);
  return Math.round(Math.max(failure.retryAfterMs ?? 0, backoff) * (1 + state.random / 4));
}

/** For a repository that cannot be cloned just now. */
export const DEFAULT_CLONE_RETRY: RetryPolicy = { tries: 5, firstMs: 2_000, longestMs: 60_000 };

/** Pauses before a turn that lost its worker is tried again: five tries, then it is a crash loop (PROTOCOL 13). */
export const TAKEOVER_BACKOFF_MS: readonly number[] = [0, 1_000, 5_000, 30_000];
