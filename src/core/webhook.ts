/** When a webhook's delivery was taken, when it is tried again, and when it is given up. */

/** Longest URL of a webhook, in characters. */
export const MAX_WEBHOOK_URL_LENGTH = 2_048;
/** Webhooks of a team that are not removed: each event asks every one of them. */
export const MAX_WEBHOOKS = 20;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Pauses after each try that failed, in milliseconds; about a day together. After the last one it has failed. */
export const DELIVERY_BACKOFF_MS: readonly number[] = [
  ...[5_000, 30_000, 2 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS],
  ...[HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS],
];

/** After so long with nothing but failures a webhook is disabled. */
export const FAILING_MS = 5 * 24 * HOUR_MS;

/** Types of what is delivered beside events. */
export const WEBHOOK_TEST = 'webhook.test';

/** Of a task that names a URL of its own, what is sent there: its end, and what is asked of a person below it. */
export const TASK_DELIVERIES = [
  'task.succeeded',
  'task.failed',
  'task.cancelled',
  'approval.requested',
] as const;

/** What came of one try: an answer with its status, or none, and why, in a sentence. */
export type Sent =
  /** `retryAfterMs`: what its `Retry-After` asks for. */
  | { readonly status: number; readonly said: string; readonly retryAfterMs?: number | undefined }
  | { readonly status: null; readonly said: string };

export type AfterTry =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'retry'; readonly ms: number }
  /** `gone`: who answered wants no more of them. */
  | { readonly kind: 'failed'; readonly gone: boolean };

/** What the receiver says by 410. */
const GONE = 410;

/**
 * When who answered asks for a later time, then it is tried then, but after no longer a pause than the longest there is.
 *
 * @param tries how many there were, this one included
 * @param backoff pauses after each of them
 */
export function afterTry(
  {
    status,
    retryAfterMs = 0,
  }: { readonly status: number | null; readonly retryAfterMs?: number | undefined },
  tries: number,
  backoff: readonly number[] = DELIVERY_BACKOFF_MS,
): AfterTry {
  if (status !== null && status >= 200 && status < 300) return { kind: 'delivered' };
  if (status === GONE) return { kind: 'failed', gone: true };
  const ms = backoff[tries - 1];
  if (ms === undefined) return { kind: 'failed', gone: false };
  return { kind: 'retry', ms: Math.max(ms, Math.min(retryAfterMs, Math.max(...backoff))) };
}
