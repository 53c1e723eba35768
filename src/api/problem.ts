/** What an error says to whoever asked: RFC 9457, one sentence, a stable code, never a secret or a stack. */
import { STATUS_CODES } from 'node:http';
import type { ErrorRequestHandler, Response } from 'express';
import type { z } from 'zod';
import { messageOf, UserError } from '../core/errors.ts';
import { isDiskFull } from '../core/full-disk.ts';
import type { Log } from '../log.ts';
import { DatabaseUnavailable } from '../store/database.ts';
import { requestIdOf } from './request-log.ts';
import { settled } from './settled.ts';
import { MAX_BODY_BYTES, type Problem } from './wire.ts';

export const PROBLEM_JSON = 'application/problem+json';
/** What a client waits before it sends a request again, in seconds. */
const RETRY_AFTER_SECONDS = 1;

/** Thrown by a route: answered as it is. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly status: number;
  readonly code: string;
  /** Of the request, that is at fault: `limits.turns`; undefined where it is no field. */
  readonly field: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** What was looked at, and what was found of each. */
  readonly checks: Readonly<Record<string, string>> | undefined;
  constructor(answer: Answer) {
    super(answer.detail);
    this.status = answer.status;
    this.code = answer.code;
    this.field = answer.field;
    this.headers = answer.headers ?? {};
    this.checks = answer.checks;
  }
}

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly field?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly checks?: Readonly<Record<string, string>> | undefined;
}

/** Of a session that only reads the files of the one that delegated to it. */
export function sharedFiles(session: string): ApiProblem {
  return conflict(
    'session_shared',
    `The session ${session} has no files of its own, and only reads those of the one that delegated to it: give the task to that one, or fork this one.`,
  );
}

export function notFound(what: string, field?: string): ApiProblem {
  return new ApiProblem({ status: 404, code: 'not_found', detail: `There is no ${what}.`, field });
}

export function badRequest(code: string, detail: string, field?: string): ApiProblem {
  return new ApiProblem({ status: 400, code, detail, field });
}

export function conflict(code: string, detail: string, field?: string): ApiProblem {
  return new ApiProblem({ status: 409, code, detail, field });
}

/** Of an `Idempotency-Key` that stands for something else: `what` it was used for. */
export function idempotencyConflict(what = 'request'): ApiProblem {
  return conflict(
    'idempotency_conflict',
    `This Idempotency-Key was used for another ${what}: send a new one with each new ${what}.`,
    IDEMPOTENCY_HEADER,
  );
}

/** The field of a request that makes repeating it harmless. */
export const IDEMPOTENCY_HEADER = 'idempotency-key';

/** Where a person's input cannot be used, `field` of the request says so. */
export function inField(field: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof UserError ? badRequest(error.code, error.message, field) : error;
  };
}

/** Of a request that holds another one at `field`: what is at fault there is below that, but for a header, which both have. */
export function below(field: string): (error: unknown) => never {
  return (error) => {
    const { status, code, message: detail, field: inner } = knownProblem(error) ?? {};
    if (inner === undefined || inner === IDEMPOTENCY_HEADER || status === undefined || code === undefined)
      throw error;
    throw new ApiProblem({ status, code, detail: detail ?? '', field: `${field}.${inner}` });
  };
}

/** Of one that was there a moment ago. */
export function sessionDeleted(): ApiProblem {
  return new ApiProblem({ status: 404, code: 'session_deleted', detail: 'The session was deleted.' });
}

export function unavailable(
  code: string,
  detail: string,
  { checks, closes = false }: { readonly checks?: Answer['checks']; readonly closes?: boolean } = {},
): ApiProblem {
  const headers = {
    'retry-after': String(RETRY_AFTER_SECONDS),
    ...(closes ? { connection: 'close' } : {}),
  };
  return new ApiProblem({ status: 503, code, detail, headers, checks });
}

/** One sentence about what zod found first: where, what was expected, what was there. */
export function invalidRequest(where: string, error: z.ZodError): ApiProblem {
  const [issue] = error.issues;
  if (issue === undefined) return badRequest('invalid_request', `The ${where} cannot be used.`);
  if (issue.code === 'unrecognized_keys') {
    const names = issue.keys.slice(0, 5).map((key) => pathOf([...issue.path, key]));
    return badRequest(
      'invalid_request',
      `The ${where} has fields that are not known: ${names.join(', ')}.`,
      names[0],
    );
  }
  const message = issue.message.replace(/^Invalid input: /, '');
  const field = issue.path.length === 0 ? undefined : pathOf(issue.path);
  const place = field === undefined ? '' : ` at ${field}`;
  return badRequest('invalid_request', `The ${where} cannot be used${place}: ${message}.`, field);
}

const SHOWN_NAME = 60;

function pathOf(path: readonly PropertyKey[]): string {
  return path.map((part) => String(part).slice(0, SHOWN_NAME)).join('.');
}

/** This process takes nothing new: the client's next connection leads to another. */
export function stopping(): ApiProblem {
  return unavailable('stopping', 'This server is stopping; try again.', { closes: true });
}

export function problemOf({ status, code, message, field, checks }: ApiProblem): Problem {
  const title = STATUS_CODES[status] ?? 'Error';
  return {
    type: 'about:blank',
    title,
    status,
    code,
    detail: message,
    ...(field === undefined ? {} : { field }),
    ...(checks === undefined ? {} : { checks }),
  };
}

export function sendProblem(response: Response, problem: ApiProblem): void {
  const body = JSON.stringify(problemOf(problem));
  response.status(problem.status).set(problem.headers).type(PROBLEM_JSON).send(body);
}

/** The last handler of the app: whatever was thrown becomes an answer, and what nobody expected a line in the log. */
export function problemHandler(log: Log): ErrorRequestHandler {
  const answer: ErrorRequestHandler = (error: unknown, request, response, _next) => {
    const requestId = requestIdOf(response);
    const where = { requestId, method: request.method, path: request.path };
    // Whoever stopped in the middle was told so, and then its connection ended.
    if (response.writableEnded && knownProblem(error) !== undefined) return;
    if (response.headersSent) {
      const level = error instanceof DatabaseUnavailable ? 'warn' : 'error';
      log[level]({ error, ...where }, 'an answer broke off');
      response.destroy();
      return;
    }
    if (error instanceof DatabaseUnavailable) {
      log.warn({ error: messageOf(error.cause), ...where }, 'a request was refused: Postgres is away');
    }
    if (isDiskFull(error)) {
      log.error({ error: messageOf(error), ...where }, 'a request was refused: the disk is full');
    }
    const problem = knownProblem(error);
    if (problem !== undefined) return sendProblem(response, problem);
    log.error({ error, ...where }, 'a request failed');
    sendProblem(response, internal(requestId));
  };
  return (error: unknown, request, response, next) => {
    answer(error, request, response, next);
    settled(response);
  };
}

/** Of what nobody expected. `id`: by which the log tells of it. */
export function internal(id: string): ApiProblem {
  const detail = `Something went wrong inside Capybara; its log says more under ${id}.`;
  return new ApiProblem({ status: 500, code: 'internal', detail });
}

/** What an error answers with; undefined where nobody expected it. */
export function knownProblem(error: unknown): ApiProblem | undefined {
  if (error instanceof ApiProblem) return error;
  if (error instanceof DatabaseUnavailable) return unavailable(error.code, error.message);
  if (isDiskFull(error)) return diskFull();
  if (error instanceof UserError) return badRequest(error.code, error.message, FIELDS[error.code]);
  // A path whose percent-encoding is broken names nothing.
  if (error instanceof URIError) return notFound('such address');
  return bodyProblem(error as BodyError);
}

/** What of a request is at fault where an agent or a model cannot be used. */
const FIELDS: Readonly<Record<string, string>> = {
  ...{ unknown_agent: 'agent', unknown_tool: 'withoutTools' },
  ...{ unknown_model: 'model', no_model: 'model', no_provider: 'model' },
};

function diskFull(): ApiProblem {
  const detail =
    'The disk that this server keeps files on is full: nothing was changed. Once whoever runs it has made room there, send the request again.';
  return new ApiProblem({ status: 507, code: 'disk_full', detail });
}

interface BodyError {
  readonly type?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  /** What was sent, as text. */
  readonly body?: unknown;
  /** Bytes that were accepted. */
  readonly limit?: number;
}

/** What zlib says of a body that does not unpack: gzip and deflate (`Z_`), br (`ERR__ERROR_`), zstd. */
const UNPACKING_CODE = /^(Z_DATA_ERROR$|Z_BUF_ERROR$|Z_NEED_DICT$|ERR__ERROR_|ZSTD_error_)/;

/** What body-parser throws. */
function bodyProblem({
  type,
  code,
  message,
  body,
  limit = MAX_BODY_BYTES,
}: BodyError): ApiProblem | undefined {
  if (typeof code === 'string' && UNPACKING_CODE.test(code)) {
    return badRequest(
      'malformed_json',
      'The request body is not what its Content-Encoding says, or is cut short.',
    );
  }
  switch (type) {
    case 'entity.parse.failed':
      return (
        noObject(body) ??
        badRequest('malformed_json', `The request body is not JSON: ${String(message).slice(0, 200)}.`)
      );
    case 'entity.too.large':
      return new ApiProblem({
        status: 413,
        code: 'body_too_large',
        detail: `The request body has more than the ${limit} bytes that are accepted.`,
      });
    case 'charset.unsupported':
    case 'encoding.unsupported':
      return unsupportedMedia(
        'The request body must be JSON in a Unicode charset such as UTF-8, plain or compressed with gzip, deflate, br or zstd.',
      );
    case 'request.aborted':
    case 'request.size.invalid':
      return badRequest('malformed_json', 'The request body ended before its Content-Length.');
    default:
      return undefined;
  }
}

/** Of JSON that is neither object nor array, which body-parser calls malformed: `null`, `"text"`, `1`. */
function noObject(body: unknown): ApiProblem | undefined {
  const found = /^\s*(?:(null|true|false)|(")|[-\d])/.exec(String(body));
  if (found === null || !isJson(String(body))) return undefined;
  const [, word, quote] = found;
  const what = word ?? (quote === undefined ? 'a number' : 'a text');
  return badRequest('invalid_request', `The request body cannot be used: expected an object, found ${what}.`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Of a prompt, a message, or what is attached to one. */
export function tooLarge(detail: string, field?: string): ApiProblem {
  return new ApiProblem({ status: 413, code: 'prompt_too_large', detail, field });
}

export function unsupportedMedia(detail: string): ApiProblem {
  return new ApiProblem({ status: 415, code: 'unsupported_media_type', detail, field: 'content-type' });
}
