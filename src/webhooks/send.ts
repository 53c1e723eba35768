/** One try to deliver: a signed POST, to an address that was checked, within limits. Nothing is thrown; what came of it is data. */
import { type Dispatcher, request } from 'undici';
import { checkedAgent, type Reach, raced } from '../checked-agent.ts';
import { messageOf } from '../core/errors.ts';
import type { Sent } from '../core/webhook.ts';
import { readRetryAfter } from '../retry-after.ts';
import { type Signed, signatureHeaders } from './signature.ts';
import { checkWay, readTarget, TargetError, type TargetPolicy } from './target.ts';

export interface SendOptions {
  readonly policy: TargetPolicy;
  readonly reach: Reach;
  /** For all of it: names, connection, answer. */
  readonly timeoutMs: number;
  /** Stops it at once. */
  readonly signal: AbortSignal;
}

export interface Delivery extends Signed {
  readonly url: string;
  readonly secret: Uint8Array;
}

/** What is read of an answer; the rest is not. */
export const MAX_ANSWER_BYTES = 64 * 1024;
/** What is kept of it, in characters. */
export const MAX_SAID_LENGTH = 200;

const REDIRECTS = [301, 302, 303, 307, 308];

/** Undefined: it was stopped, and nobody knows whether it arrived. */
export async function send(delivery: Delivery, options: SendOptions): Promise<Sent | undefined> {
  const { policy, reach, timeoutMs, signal } = options;
  const late = AbortSignal.timeout(timeoutMs);
  const agent = checkedAgent(reach, {
    way: (way) => checkWay(way, policy),
    nowhere: (host) => new TargetError(`There is no address for ${host}.`),
  });
  try {
    return await posted(delivery, { agent, policy, signal: AbortSignal.any([signal, late]) });
  } catch (error) {
    if (signal.aborted) return undefined;
    if (late.aborted) return { status: null, said: `No whole answer within ${timeoutMs / 1_000} seconds.` };
    return { status: null, said: error instanceof TargetError ? error.message : oneLine(causeOf(error)) };
  } finally {
    await agent.destroy();
  }
}

interface Posting {
  readonly agent: Dispatcher;
  readonly policy: TargetPolicy;
  readonly signal: AbortSignal;
}

async function posted(delivery: Delivery, { agent, policy, signal }: Posting): Promise<Sent> {
  const { url, secret, ...signed } = delivery;
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'Capybara (webhooks)',
    'accept-encoding': 'identity',
    ...signatureHeaders(signed, secret),
  };
  const target = readTarget(url, policy).href;
  const answer = request(target, { dispatcher: agent, method: 'POST', headers, body: signed.body, signal });
  const { statusCode: status, headers: answered, body } = await raced(answer, signal);
  // What was answered stands, whatever becomes of its body.
  const text = await beginningOf(body).catch(() => '');
  const asked = readRetryAfter(String(answered['retry-after']), signed.seconds * 1_000);
  return { status, said: sayAnswer(status, text), ...(asked === undefined ? {} : { retryAfterMs: asked }) };
}

async function beginningOf(body: Dispatcher.ResponseData['body']): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of body) {
      pieces.push(piece);
      size += piece.length;
      if (size >= MAX_ANSWER_BYTES) break;
    }
  } finally {
    body.on('error', () => undefined).destroy();
  }
  return Buffer.concat(pieces).subarray(0, MAX_ANSWER_BYTES).toString();
}

function sayAnswer(status: number, text: string): string {
  if (REDIRECTS.includes(status)) return `Answered ${status}: redirects are not followed.`;
  const line = oneLine(text);
  return line === '' ? `Answered ${status}.` : `Answered ${status}: ${line}`;
}

/** Without what a terminal or a log could take for more than text. */
function oneLine(text: string): string {
  const line = text
    .slice(0, 4 * MAX_SAID_LENGTH)
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\s\u2028\u2029]+/gu, ' ')
    .trim();
  return line.length > MAX_SAID_LENGTH ? `${line.slice(0, MAX_SAID_LENGTH)}…` : line;
}

function causeOf(error: unknown): string {
  const { cause, code } = error as { cause?: unknown; code?: unknown };
  const text = messageOf(cause ?? error);
  return text === '' && typeof code === 'string' ? code : text;
}
