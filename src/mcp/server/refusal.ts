/** What an MCP client is told of what the API refused: the API's sentence and code, as a tool's result or as an error of JSON-RPC. */
import { type CallToolResult, ErrorCode } from '@modelcontextprotocol/sdk/types.js';
import type { z } from 'zod';
import { ProblemError, UnreachableError } from '../../client/errors.ts';
import { UserError } from '../../core/errors.ts';
import type { Reach } from './reach.ts';

/** The key of a result's `_meta` under which programs find `code`, and of a problem of the API also `status` and `field`. */
export const PROBLEM_META = 'capybara/problem';

/** An error of JSON-RPC. Its message goes out as it is: the SDK's own would say its number once more. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;
  readonly data: Readonly<Record<string, unknown>> | undefined;
  constructor(code: number, message: string, data?: Readonly<Record<string, unknown>>) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export interface Refused {
  readonly sentence: string;
  readonly data: { readonly code: string; readonly status?: number; readonly field?: string };
}

export interface Answering {
  readonly reach: Reach;
  readonly signal: AbortSignal;
  /** Told of what is no refusal; the client is told that there was a bug, and no more. */
  readonly onBug: (error: unknown) => void;
}

/** What `act` resolves with, or what `refused` makes of a refusal. */
export async function answered<Result>(
  { reach, signal, onBug }: Answering,
  act: () => Promise<Result>,
  refused: (refused: Refused) => Result,
): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof RpcError || signal.aborted) throw error;
    // Where it has gone is for the next call: this one may have been heard.
    if (error instanceof UnreachableError) await reach.recover().catch(() => {});
    const refusal = refusalOf(error);
    if (refusal !== undefined) return refused(refusal);
    onBug(error);
    throw new RpcError(ErrorCode.InternalError, 'This is a bug of Capybara: its log says more.');
  }
}

/** The model reads it, and may mend its call by it. */
export function refusedResult({ sentence, data }: Refused): CallToolResult {
  return {
    isError: true,
    content: [{ type: 'text', text: `${sentence} (${data.code})` }],
    _meta: { [PROBLEM_META]: data },
  };
}

/** Where no result can say so. */
export function refusedRequest({ sentence, data }: Refused): never {
  const { status = 400 } = data;
  throw new RpcError(status < 500 ? ErrorCode.InvalidParams : ErrorCode.InternalError, sentence, data);
}

function refusalOf(error: unknown): Refused | undefined {
  if (error instanceof ProblemError) {
    const { code, status, field, message } = error;
    // A client of tools knows no routes.
    const sentence = message.replace('with POST /v1/tasks', 'by submit_task, with its sessionId');
    return { sentence, data: { code, status, ...(field === undefined ? {} : { field }) } };
  }
  if (!(error instanceof UserError)) return undefined;
  const unreachable = error instanceof UnreachableError ? { status: 503 } : {};
  return { sentence: error.message, data: { code: error.code, ...unreachable } };
}

/** Of arguments that do not fit a tool's schema. */
export function badArguments(tool: string, error: z.ZodError): UserError {
  return new UserError('invalid_request', `The arguments of ${tool} cannot be used${sayIssue(error)}.`);
}

/** Where, and what was expected there: ` at taskId: expected string, received number`. */
export function sayIssue({ issues: [issue] }: z.ZodError): string {
  const at =
    issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.').slice(0, 100)}`;
  const what = (issue?.message ?? 'they have another shape').replace(/^Invalid input: /, '');
  return `${at}: ${what}`;
}
