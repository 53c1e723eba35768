/**
 * One line of the log for each request. Ids in it are UUIDs, under the names that they have everywhere in the log: `teamId`, `userId`,
 * `keyId`, `sessionId`, `taskId`; a public id is its kind and the same digits. Never a query, a body or a header.
 */
import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import { fromPublicId, ID_PREFIXES, type IdKind } from '../core/id.ts';
import type { Log } from '../log.ts';
import type { Caller } from '../store/keys.ts';

export const REQUEST_ID = 'x-request-id';

/** A client's own, by which it finds its request in this log; anything else is replaced. */
const TAKEN_ID = /^[\w.:-]{1,64}$/;

/** A request that is over. */
export interface EndedRequest {
  readonly method: string;
  /** As in the OpenAPI document but for the spelling of `:id`; `unknown` where no route answered. */
  readonly route: string;
  readonly status: number;
  readonly ms: number;
  /** It was a stream, which lasts as long as its client likes. */
  readonly isStream: boolean;
}

/** What supervisors ask every few seconds is told where somebody looks for it. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function isProbe(path: string): boolean {
  return PROBES.has(path);
}

/** Names each request in `x-request-id`, and tells of its end. `also`: whoever counts them. */
export function logRequests(log: Log, also: (ended: EndedRequest) => void): RequestHandler {
  return (request, response, next) => {
    const began = performance.now();
    const given = request.get(REQUEST_ID);
    const requestId = given !== undefined && TAKEN_ID.test(given) ? given : randomUUID();
    response.locals.requestId = requestId;
    response.setHeader(REQUEST_ID, requestId);
    response.once('close', () => {
      const ended = {
        method: METHODS.has(request.method) ? request.method : 'other',
        route: String(request.route?.path ?? 'unknown'),
        status: response.statusCode,
        ms: Math.round((performance.now() - began) * 10) / 10,
      };
      const isStream = String(response.getHeader('content-type')).startsWith('text/event-stream');
      also({ ...ended, isStream });
      const how = {
        ...(isStream ? { isStream } : {}),
        ...(response.writableFinished ? {} : { isBrokenOff: true }),
      };
      const level = PROBES.has(ended.route) && ended.status < 400 ? 'debug' : 'info';
      log[level]({ requestId, ...ended, ...callerOf(response), ...aboutOf(response), ...how }, 'request');
    });
    next();
  };
}

export function requestIdOf(response: Response): string {
  return String(response.locals.requestId);
}

function callerOf({ locals }: Response): Partial<Pick<Caller, 'teamId' | 'userId' | 'keyId'>> {
  const caller = locals.caller as Caller | undefined;
  if (caller === undefined) return {};
  const { teamId, userId, keyId } = caller;
  return { teamId, userId, keyId };
}

/** What its address names, and what it made. */
function aboutOf({ locals }: Response): Record<string, string> {
  const { about, made } = locals as { about?: { kind: IdKind; id: string }; made?: unknown };
  const named = about === undefined ? {} : { [`${about.kind}Id`]: about.id };
  const kind = KINDS.find((each) => String(made).startsWith(`${ID_PREFIXES[each]}_`));
  const id = kind === undefined ? undefined : fromPublicId(kind, String(made));
  return id === undefined ? named : { [`${kind}Id`]: id, ...named };
}

const KINDS = Object.keys(ID_PREFIXES) as IdKind[];
