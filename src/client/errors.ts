/** What can go wrong between a client and a Capybara, as types to tell apart and sentences to show. */
import { Problem } from '../api/wire.ts';
import { isRefusedOffline, messageOf, OFFLINE_RULE, UserError } from '../core/errors.ts';
import { hostOf, type Server } from './server.ts';

/** The server could not be reached, or answered that it cannot serve now: the same request may succeed later. */
export class UnreachableError extends UserError {
  /** When the server asked to be asked again, in milliseconds; undefined where it did not say. */
  readonly retryAfterMs: number | undefined;
  constructor(message: string, retryAfterMs?: number) {
    super('server_unreachable', message, 3);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The server said no: `code` is stable, `message` is its sentence for a person. */
export class ProblemError extends UserError {
  /** As it was sent (RFC 9457). */
  readonly problem: Problem;
  /** When the server asked to be asked again, in milliseconds; undefined where it did not say. */
  readonly retryAfterMs: number | undefined;
  constructor(problem: Problem, server: Server, retryAfterMs?: number) {
    super(problem.code, sentence(problem, server), exitCodeOf(problem.status));
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }

  get status(): number {
    return this.problem.status;
  }

  get detail(): string {
    return this.problem.detail;
  }

  /** What of the request is at fault, `limits.turns`; undefined where it is no field. */
  get field(): string | undefined {
    return this.problem.field;
  }
}

/** It waits for whoever runs the server. */
const FULL_DISK = 507;

/** Whether the same request may succeed later without anyone changing it. */
export function isTransient(error: unknown): error is ProblemError | UnreachableError {
  if (error instanceof UnreachableError) return true;
  if (!(error instanceof ProblemError)) return false;
  if (isWrongKey(error.problem)) return false;
  return error.status === 429 || (error.status >= 500 && error.status !== FULL_DISK);
}

function exitCodeOf(status: number): 2 | 3 {
  if (status === 401 || status === 403 || status === 429 || status >= 500) return 3;
  return 2;
}

/** A key that was refused is refused again, also where too many of those came from here. */
function isWrongKey({ status, code }: Problem): boolean {
  return status === 401 || code === 'too_many_wrong_keys';
}

function sentence(problem: Problem, server: Server): string {
  if (!isWrongKey(problem)) return problem.detail;
  const state = server.apiKey ? 'does not accept the key it was given' : 'needs a key and was given none';
  return `${hostOf(server)} ${state}: set CAPYBARA_API_KEY to one of its keys.`;
}

/** Where the server is offline's to refuse, another try will not help. */
export function unreachable(server: Server, error: unknown): UserError {
  const cause = error instanceof Error && error.cause ? error.cause : error;
  if (isRefusedOffline(cause)) {
    const message = `${hostOf(server)} has a public address, and ${OFFLINE_RULE}: leave out --offline (CAPYBARA_OFFLINE), or name another server.`;
    return new UserError('offline', message, 3);
  }
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const cure = cureOf(code) ?? 'check the address, or that it runs';
  return new UnreachableError(`${hostOf(server)} cannot be reached (${reason(cause)}): ${cure}.`);
}

/** What OpenSSL says of a certificate that it cannot trace to one that this machine trusts. */
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|CERT_UNTRUSTED/;

function cureOf(code: string): string | undefined {
  if (UNTRUSTED.test(code)) return 'name the file of its authority in NODE_EXTRA_CA_CERTS';
  if (code === 'CERT_HAS_EXPIRED') return 'have its certificate renewed, or check the clock of this machine';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'use the name that its certificate is for';
  return code === WRONG_PROTOCOL ? 'use http:// in its address' : undefined;
}

const WRONG_PROTOCOL = 'ERR_SSL_WRONG_VERSION_NUMBER';

function reason(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ENOTFOUND') return 'no such host';
  if (code === WRONG_PROTOCOL) return 'it does not speak TLS';
  if (UNTRUSTED.test(String(code))) return `its certificate is not trusted here, ${code}`;
  return messageOf(cause);
}

/** An answer that this version cannot read. */
export function badAnswer(server: Server, path: string, found: string): UserError {
  const message = `${hostOf(server)} gave an answer to ${path} that this version does not understand (${found}): check the address and update the older one.`;
  return new UserError('bad_answer', message, 3);
}

/** A success that is no event stream: something between here and the server answered in its place. */
export function badStream(server: Server, status: number, contentType: string): UserError {
  const found = contentType === '' ? 'no Content-Type' : JSON.stringify(contentType.slice(0, 80));
  const message = `${hostOf(server)} answered ${status} with ${found} where an event stream (text/event-stream) was expected: check the address, and that no sign-in page or proxy of the network answers in its place.`;
  return new UserError('bad_answer', message, 3);
}

/** What an answer that is no success means. */
export async function refusalOf(response: Response, server: Server): Promise<UserError> {
  const text = await response.text().catch(() => '');
  const problem = Problem.safeParse(parseJson(text));
  const retryAfterMs = retryAfterOf(response);
  if (problem.success) return new ProblemError(problem.data, server, retryAfterMs);
  const found = `HTTP ${response.status}${response.statusText ? ` ${response.statusText}` : ''}`;
  if (response.status >= 500 || response.status === 429) {
    const message = `${hostOf(server)} cannot serve now (${found}): try again.`;
    return new UnreachableError(message, retryAfterMs);
  }
  return new UserError(
    'bad_answer',
    `${hostOf(server)} answered ${found} without a reason: check the address.`,
    3,
  );
}

/** `Retry-After` in seconds, as Capybara sends it; proxies that send a date are not obeyed. */
function retryAfterOf(response: Response): number | undefined {
  const text = response.headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) * 1000 : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
