/**
 * What a request with a key passes before its route looks at it: whose it is, whether there are too many, who asks for what in the
 * audit trail, and whether its key is for that.
 */
import type { RequestHandler, Response } from 'express';
import { MemoryStore, rateLimit } from 'express-rate-limit';
import { newId } from '../clock.ts';
import { messageOf } from '../core/errors.ts';
import type { Scope } from '../core/scope.ts';
import { beginAudit, endAudit } from '../store/audit.ts';
import { type Caller, createKeyFinder } from '../store/keys.ts';
import { VERSION } from '../version.ts';
import { requireKey } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { ApiProblem, sendProblem } from './problem.ts';
import type { Route, ServeOptions } from './route.ts';
import { onceSettled } from './settled.ts';
import { WrongKeys } from './wrong-keys.ts';

const WINDOW_MS = 60_000;
/** Which Capybara answers: for whoever wants to know whether it is of their own version. */
const VERSION_HEADER = 'capybara-version';

export interface Entry extends ServeOptions {
  close(): void;
}

export function openEntry(deps: ApiDeps): Entry {
  const wrongKeys = new WrongKeys(deps.wrongKeysPerMinute, deps.log);
  const findKey = createKeyFinder(deps.db, { clock: deps.clock });
  const authenticate = requireKey(findKey, (address) => wrongKeys.refusal(address));
  const store = new MemoryStore();
  const limited = limitRate(store, deps.requestsPerMinute);
  return {
    entry: (route) => [authenticate, sayVersion, ...limited, ...audited(deps, route), ...scoped(route)],
    close: () => {
      store.shutdown();
      wrongKeys.close();
    },
  };
}

/** Only who has a key is told. */
const sayVersion: RequestHandler = (_request, response, next) => {
  response.set(VERSION_HEADER, VERSION);
  next();
};

function callerOf(response: Response): Caller {
  return response.locals.caller as Caller;
}

/** Says in the headers of draft-ietf-httpapi-ratelimit-headers-08 what is left, and in `Retry-After` when there is more. */
function limitRate(store: MemoryStore, perMinute: number): RequestHandler[] {
  if (perMinute === 0) return [];
  return [
    rateLimit({
      ...{ windowMs: WINDOW_MS, limit: perMinute, store, validate: false },
      ...{ standardHeaders: 'draft-8', legacyHeaders: false, identifier: 'key' },
      keyGenerator: (_request, response) => callerOf(response).keyId,
      handler: (_request, response) => sendProblem(response, rateLimited(perMinute)),
    }),
  ];
}

function rateLimited(perMinute: number): ApiProblem {
  return new ApiProblem({
    status: 429,
    code: 'rate_limited',
    detail: `This key has sent the ${perMinute} requests that it may in a minute: send this one again when Retry-After says.`,
  });
}

function scoped({ scope }: Route): RequestHandler[] {
  if (scope === undefined || scope === 'any') return [];
  return [
    (_request, response, next) => {
      const { scopes } = callerOf(response);
      if (!scopes.includes(scope)) throw missingScope(scope, scopes);
      next();
    },
  ];
}

function missingScope(scope: Scope, scopes: readonly Scope[]): ApiProblem {
  return new ApiProblem({
    status: 403,
    code: 'missing_scope',
    detail: `This needs a key with the scope ${scope}, and the one that was sent has ${scopes.join(', ')}: ask an administrator of your team for another.`,
  });
}

/** Longest part of an address that is kept of what a request is about. */
const MAX_SUBJECT_LENGTH = 60;

/**
 * Committed before anything else is: a change without a row that says who made it would have to be one that nobody made. What came of
 * it follows; where that is missing, the API stopped in between.
 */
function audited(deps: ApiDeps, { method, path, isUnaudited }: Route): RequestHandler[] {
  if (method === 'get' || isUnaudited) return [];
  return [
    async (request, response, next) => {
      const id = newId(deps.clock);
      const { id: named = request.params.name } = request.params;
      const about = named === undefined ? undefined : String(named).slice(0, MAX_SUBJECT_LENGTH);
      const action = `${method.toUpperCase()} ${path}`;
      await beginAudit(deps.db, { id, caller: callerOf(response), action, subject: about });
      onceSettled(response, () => {
        const made = response.locals.made as string | undefined;
        void endAudit(deps.db, { id, status: response.statusCode, subject: about ?? made }).catch(
          (error: unknown) =>
            deps.log.warn({ id, error: messageOf(error) }, 'an audit record has no outcome'),
        );
      });
      next();
    },
  ];
}
