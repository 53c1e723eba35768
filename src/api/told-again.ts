import { type IdKind, toPublicId } from '../core/id.ts';
import { type MakingRequest, renewKey } from '../store/keys.ts';
import type { ApiDeps } from './deps.ts';
import { type ApiProblem, conflict, IDEMPOTENCY_HEADER, idempotencyConflict } from './problem.ts';
import type { Call } from './route.ts';
import { hashOf } from './submit-task.ts';

/** By what a repeat of a request that makes a key is known: it is told a key again, and so must be of the same maker. */
export function makingOf({ caller, body }: Call<unknown, unknown>): MakingRequest {
  return { madeWith: caller.keyId, requestHash: hashOf(body) };
}

interface ToldAgain {
  /** The UUID of the key, which its request's Idempotency-Key gives. */
  readonly keyId: string;
  /** What the request made: the key, or a team with it. */
  readonly made: { readonly kind: IdKind; readonly id: string };
  /** Thrown where no such request was made. */
  readonly otherwise: ApiProblem;
}

/**
 * The key of a request that made one before, in place of the one that was answered: nobody has used that, so its answer was lost. Throws
 * `ApiProblem` where the key was used, or the request is another one.
 *
 * A request whose client has gone is one that comes late, behind its own repeat: what that was told stays good.
 */
export async function toldAgain(
  { db }: Pick<ApiDeps, 'db'>,
  call: Call<unknown, unknown>,
  { keyId, made, otherwise }: ToldAgain,
): Promise<string> {
  if (call.response.destroyed) throw madeAlready(made.kind, made.id);
  const again = await renewKey(db, { id: keyId, ...makingOf(call) });
  switch (again.outcome) {
    case 'renewed':
      return again.apiKey;
    case 'conflict':
      throw idempotencyConflict();
    case 'kept':
      throw madeAlready(made.kind, made.id);
    case 'not_found':
      throw otherwise;
  }
}

function madeAlready(kind: IdKind, uuid: string): ApiProblem {
  return conflict(
    'made_already',
    `This Idempotency-Key has made the ${kind} ${toPublicId(kind, uuid)} already, and its key is told again only to the key that made it, and only until somebody uses it: revoke it and make another.`,
    IDEMPOTENCY_HEADER,
  );
}
