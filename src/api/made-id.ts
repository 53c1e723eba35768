import { newId } from '../clock.ts';
import { keepAnswer } from '../store/answers.ts';
import type { ApiDeps } from './deps.ts';
import type { Call } from './route.ts';
import { hashOf } from './submit-task.ts';
import { idempotencyKeyOf } from './task-routes.ts';

/** What was asked is compared with what was made under the id. */
const WHATEVER = hashOf(null);

/**
 * The id that a request makes something under: the same for a repeat of it, for the day that its Idempotency-Key is remembered. It is kept
 * before anything is made, so that the row's own id makes it once, wherever the first try ended. `what`: in what the key is one.
 */
export async function idFor(
  { db, clock }: Pick<ApiDeps, 'db' | 'clock'>,
  { caller, request }: Call<unknown, unknown>,
  what: string,
): Promise<string> {
  const id = newId(clock);
  const sent = idempotencyKeyOf(request.headers['idempotency-key']);
  if (sent === undefined) return id;
  const key = `id of ${what}\n${sent}`;
  const { teamId } = caller;
  const kept = await keepAnswer(db, { teamId, key, requestHash: WHATEVER, sessionId: null, answer: id });
  return String(kept.answer);
}
