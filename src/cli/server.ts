/** A Capybara at an address, and what its refusals say to a person. */
import { Problem } from '../api/wire.ts';
import { messageOf, UserError } from '../core/errors.ts';

/** Where a Capybara answers, and the key it wants. */
export interface Server {
  readonly url: string;
  readonly apiKey?: string | undefined;
}

/** The server could not be reached, or answered that it cannot serve now: the same request may succeed later. */
export class UnreachableError extends UserError {
  constructor(message: string) {
    super('server_unreachable', message, 3);
  }
}

/** It waits for whoever runs the server. */
const FULL_DISK = 507;

/** Whether the same request may succeed later without anyone changing it. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  if (!(error instanceof ProblemError)) return false;
  const { status } = error.problem;
  return status === 429 || (status >= 500 && status !== FULL_DISK);
}

/** The server said no. */
export class ProblemError extends UserError {
  readonly problem: Problem;
  constructor(problem: Problem, server: Server) {
    super(problem.code, sentence(problem, server), exitCodeOf(problem.status));
    this.problem = problem;
  }
}

function exitCodeOf(status: number): 2 | 3 {
  if (status === 401 || status === 403 || status === 429 || status >= 500) return 3;
  return 2;
}

function sentence(problem: Problem, server: Server): string {
  if (problem.status !== 401) return problem.detail;
  const state = server.apiKey ? 'does not accept the key it was given' : 'needs a key and was given none';
  return `${hostOf(server)} ${state}: set CAPYBARA_API_KEY to one of its keys.`;
}

export function hostOf({ url }: Server): string {
  return `The Capybara at ${new URL(url).origin}`;
}

/** The server may live under a path of its host. User and password are not for `fetch`, which would quote them. */
export function addressOf(server: Server, path: string): URL {
  const base = new URL(server.url);
  base.username = '';
  base.password = '';
  base.search = '';
  base.pathname = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`;
  return new URL(path.slice(1), base);
}

export function reason(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ENOTFOUND') return 'no such host';
  return messageOf(cause);
}

export async function problemOf(response: Response, server: Server): Promise<UserError> {
  const text = await response.text().catch(() => '');
  const problem = Problem.safeParse(parseJson(text));
  if (problem.success) return new ProblemError(problem.data, server);
  const found = `HTTP ${response.status}${response.statusText ? ` ${response.statusText}` : ''}`;
  if (response.status >= 500 || response.status === 429) {
    return new UnreachableError(`${hostOf(server)} cannot serve now (${found}): try again.`);
  }
  return new UserError(
    'bad_answer',
    `${hostOf(server)} answered ${found} without a reason: check the address.`,
    3,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
