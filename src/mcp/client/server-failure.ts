/** What an error of the SDK, or of what carries it, says of a server. */
import { SseError } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js';
import { messageOf } from '../../core/errors.ts';
import { NotSignedIn } from './access.ts';
import { ServerGone } from './server-gone.ts';

/** Why what carried the messages ended; undefined while it has not. */
export function goneOf(transport: Transport | undefined): ServerGone | undefined {
  const gone = (transport as { readonly gone?: unknown } | undefined)?.gone;
  return gone instanceof ServerGone ? gone : undefined;
}

/** Of HTTP, where the server answered with one: the codes of JSON-RPC are other numbers, though they may look like these. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof StreamableHTTPError || error instanceof SseError ? error.code : undefined;
}

/** The session that a request named is forgotten, and the request with it (MCP, "Session management"); some say so by 400. */
export function isSessionLost(error: unknown): boolean {
  return [400, 404].includes(statusOf(error) ?? 0);
}

const UNREACHED = /^(ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|ERR_IP_BLOCKED)$/;

export function isTooLate(error: unknown): boolean {
  if (error instanceof McpError) return error.code === ErrorCode.RequestTimeout;
  return error instanceof Error && error.name === 'TimeoutError';
}

/** Statuses that are said before a body is read: who asks, how, how much, how often. */
const UNREAD = [401, 403, 405, 406, 411, 413, 415, 429];

/** The server did not read the request: nothing is wrong with the connection. */
export function isUnread(error: unknown): boolean {
  return error instanceof NotSignedIn || UNREAD.includes(statusOf(error) ?? 0);
}

/** The server did not take the request in, or it never came there. */
export function isNotTaken(error: unknown): boolean {
  if (isUnread(error)) return true;
  const { cause } = error as { readonly cause?: { readonly code?: unknown } };
  return UNREACHED.test(String(cause?.code));
}

/** Why it failed, as the end of a sentence, and what of it are the server's own words. */
export function describeFailure(error: unknown): { readonly why: string; readonly errors?: string } {
  if (error instanceof ServerGone)
    return { why: error.message, ...(error.errors === undefined ? {} : { errors: error.errors }) };
  const status = statusOf(error);
  if (status !== undefined && status >= 100 && error instanceof Error)
    return { why: `answered with the HTTP status ${status}`, errors: error.message };
  if (status !== undefined || error instanceof SyntaxError)
    return { why: 'answered in another form than MCP has', errors: messageOf(error) };
  if (error instanceof McpError) return { why: 'answered with an error', errors: error.message };
  return { why: `could not be reached: ${sayCause(error)}` };
}

/** The last of a chain of causes says most: `fetch failed` says nothing. */
function sayCause(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return messageOf(last);
}
