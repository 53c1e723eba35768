import { setTimeout as delay } from 'node:timers/promises';
import { isTransient } from '../client/errors.ts';
import type { Connection } from './connection.ts';

const RETRY_MS = 200;

/** Repeats a request that only reads (or may be repeated) until the server answers it. */
export async function untilReachable<Answer>(
  { connection, signal }: { readonly connection: Connection; readonly signal: AbortSignal },
  request: () => Promise<Answer>,
): Promise<Answer> {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!isTransient(error) || signal.aborted) throw error;
      await delay(RETRY_MS);
      await connection.recover();
    }
  }
}
