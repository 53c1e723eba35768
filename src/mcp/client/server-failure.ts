/** What an error of the SDK, or of what carries it, says of a server. */
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { messageOf } from '../../core/errors.ts';
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
  if (status >= 400 && status < 500) return true;
  const { cause } = error as { readonly cause?: { readonly code?: unknown } };
  return UNREACHED.test(String(cause?.code));
}

/** The last of a chain of causes says most: `fetch failed` says nothing. */
export function sayCause(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return messageOf(last);
}
