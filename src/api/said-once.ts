import { fromPublicId } from '../core/id.ts';
import { findAnswer, type KeptAnswer, keepAnswer } from '../store/answers.ts';
import type { ApiDeps } from './deps.ts';
import { idempotencyConflict, sessionDeleted } from './problem.ts';
import type { Call, Reply } from './route.ts';
import { hashOf } from './submit-task.ts';
import { idempotencyKeyOf } from './task-routes.ts';

type Handler<Query, Body> = (call: Call<Query, Body>) => Promise<Reply>;

/**
 * Answers a request that comes again under its Idempotency-Key as the first time, before anything else is looked at: what has
 * changed since does not matter. The answer is kept behind the commit of what it tells of: after a crash in between, the id
 * that `handle` has of `idFor` is what makes it once.
 */
export function saidOnce<Query, Body>(
  deps: ApiDeps,
  what: string,
  handle: Handler<Query, Body>,
): Handler<Query, Body> {
  return async (call) => {
    const key = idempotencyKeyOf(call.request.headers['idempotency-key']);
    if (key === undefined) return handle(call);
    // No header holds a line's end: no key of a task is the same.
    const request = {
      ...{ teamId: call.caller.teamId, key: `${what} ${call.id}\n${key}`, requestHash: hashOf(call.body) },
    };
    const earlier = await findAnswer(deps.db, request);
    if (earlier !== undefined) return again(earlier, request.requestHash, what);
    const reply = await handle(call);
    if (reply === undefined) return undefined;
    const answer = { ...request, answer: reply.body, sessionId: sessionIn(reply.body) };
    return again(await keepAnswer(deps.db, answer), request.requestHash, what);
  };
}

function again({ requestHash, answer }: KeptAnswer, asked: string, what: string): Reply {
  if (requestHash !== asked) throw idempotencyConflict(what);
  if (answer === null) throw sessionDeleted();
  return { status: 201, body: answer };
}

/** The UUID of the session that an answer tells of. */
function sessionIn(body: unknown): string | null {
  const { id, sessionId } = body as { readonly id?: string; readonly sessionId?: string };
  return fromPublicId('session', sessionId ?? id ?? '') ?? null;
}
