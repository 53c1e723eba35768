import type { RequestHandler } from 'express';
import type { FindKey } from '../store/keys.ts';
import { ApiProblem } from './problem.ts';

const REALM = 'Bearer realm="capybara"';

/** What a wrong key from that address is answered with. */
export type Refuse = (address: string) => Promise<ApiProblem>;

/** Lets through who presents a key; puts who they are into `response.locals.caller`. */
export function requireKey(findKey: FindKey, refuse: Refuse): RequestHandler {
  return async (request, response, next) => {
    const header = request.headers.authorization;
    if (header === undefined) throw missingKey();
    const key = keyIn(header);
    const caller = key === undefined ? undefined : await findKey(key);
    if (caller === undefined) throw await refuse(request.ip ?? '');
    response.locals.caller = caller;
    next();
  };
}

/** What stands behind `Bearer`; undefined where something else stands there. */
export function keyIn(header: string): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header)?.[1];
}

function missingKey(): ApiProblem {
  return new ApiProblem({
    status: 401,
    code: 'missing_key',
    field: 'authorization',
    detail: 'This needs a key: send it as "Authorization: Bearer capy_…".',
    headers: { 'www-authenticate': REALM },
  });
}

export function invalidKey(): ApiProblem {
  return new ApiProblem({
    status: 401,
    code: 'invalid_key',
    field: 'authorization',
    detail:
      'The key that was sent is not one of this Capybara, or was revoked: use the one that `capybara migrate --bootstrap` printed, or the one in the key file that `capybara up` names.',
    headers: { 'www-authenticate': `${REALM}, error="invalid_token"` },
  });
}
