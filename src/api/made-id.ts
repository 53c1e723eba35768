import { newId } from '../clock.ts';
import type { ApiDeps } from './deps.ts';
import { derivedId } from './derived-id.ts';
import type { Call } from './route.ts';
import { idempotencyKeyOf } from './task-routes.ts';

/** The id that a request makes something under: the same for a repeat of it. */
export function idFor(
  { clock }: Pick<ApiDeps, 'clock'>,
  { caller, request }: Call<unknown, unknown>,
  what: string,
): string {
  const key = idempotencyKeyOf(request.headers['idempotency-key']);
  return key === undefined ? newId(clock) : derivedId(`${caller.teamId} ${what}`, key);
}
