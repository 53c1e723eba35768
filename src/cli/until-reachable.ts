import { setTimeout as delay } from 'node:timers/promises';
import { isTransient } from '../client/errors.ts';
import type { Connection } from './connection.ts';

const RETRY_MS = 200;
/** Longest pause that is made because the server asks for it with `Retry-After`, in milliseconds. */
export const MAX_ASKED_MS = 60_000;

/** Repeats a request that only reads (or may be repeated) until the server answers it, as often as it wants to be asked, or `signal` aborts. */
export async function untilReachable<Answer>(
  { connection, signal }: { readonly connection: Connection; readonly signal: AbortSignal },
  request: () => Promise<Answer>,
): Promise<Answer> {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!isTransient(error) || signal.aborted) throw error;
      const askedMs = Math.min(error.retryAfterMs ?? 0, MAX_ASKED_MS);
      await delay(Math.max(RETRY_MS, askedMs), undefined, { signal });
      await connection.recover();
    }
  }
}
