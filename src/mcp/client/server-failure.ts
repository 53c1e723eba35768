/** What an error of the SDK, or of what carries it, says of a server. */
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { McpError } from '@modelcontextprotocol/sdk/types.js';
import { messageOf } from '../../core/errors.ts';
import { NotSignedIn } from './access.ts';
import { ServerGone } from './server-gone.ts';

/** Why what carried the messages ended; undefined while it has not. */
export function goneOf(transport: Transport | undefined): ServerGone | undefined {
  const gone = (transport as { readonly gone?: unknown } | undefined)?.gone;
  return gone instanceof ServerGone ? gone : undefined;
}

/** Of HTTP, where the server answered with one. */
export function statusOf(error: unknown): number {
  return Number((error as { readonly code?: unknown }).code);
}

const UNREACHED = /^(ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|ERR_IP_BLOCKED)$/;

/** The server refused the request itself, or it never came there. */
export function isNotTaken(error: unknown): boolean {
  const status = statusOf(error);
  if (error instanceof NotSignedIn || (status >= 400 && status < 500)) return true;
  const { cause } = error as { readonly cause?: { readonly code?: unknown } };
  return UNREACHED.test(String(cause?.code));
}

/** Why it failed, as the end of a sentence, and what of it are the server's own words. */
export function describeFailure(error: unknown): { readonly why: string; readonly errors?: string } {
  if (error instanceof ServerGone)
    return { why: error.message, ...(error.errors === undefined ? {} : { errors: error.errors }) };
  const status = statusOf(error);
  if (status >= 100 && status < 600 && error instanceof Error)
    return { why: `answered with the HTTP status ${status}`, errors: error.message };
  if (error instanceof McpError) return { why: 'answered with an error', errors: error.message };
  return { why: `could not be reached: ${sayCause(error)}` };
}

/** The last of a chain of causes says most: `fetch failed` says nothing. */
function sayCause(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return messageOf(last);
}
