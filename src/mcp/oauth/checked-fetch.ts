/**
 * Requests to wherever a foreign server sends: to the host of the server itself, as it is reached, and to what is public and encrypted; to
 * anything else only where it is allowed. What is answered is read whole, and not at any length; a stream is not read.
 */
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { type Agent, fetch as request } from 'undici';
import { checkedAgent, type Reach, systemReach } from '../../checked-agent.ts';
import { whyNotPublic } from '../../public-address.ts';
import { ServerGone } from '../client/server-gone.ts';

/** So long one request for signing in may take. */
const REQUEST_MS = 15_000;
/** Metadata and tokens take a few KiB. */
const ANSWER_BYTES = 1024 * 1024;

export interface Whereto {
  /** The server's own address; undefined where that is to be checked as any other. */
  readonly own?: string | undefined;
  /** Whether something else may be reached, though it is private or not encrypted. */
  readonly isAllowed: (way: { readonly host: string; readonly address: string }) => boolean;
}

export interface CheckedFetch extends AsyncDisposable {
  readonly fetch: FetchLike;
}

/** The caller destroys it. */
export function whereAllowed({ own, isAllowed }: Whereto, reach: Reach = systemReach()): Agent {
  const { hostname = '', protocol } = (own && URL.parse(own)) || {};
  const isOwn = (host: string, isSecure: boolean) =>
    host === hostname.replace(/^\[(.*)\]$/, '$1') && (isSecure || protocol === 'http:');
  return checkedAgent(reach, {
    way: ({ host, address, isSecure }) => {
      if (isOwn(host, isSecure) || isAllowed({ host, address })) return;
      const why = whyNotPublic(address);
      if (why !== undefined) throw new ServerGone(`sends to ${host}, which belongs to ${why}`, undefined);
      if (!isSecure) throw new ServerGone(`sends to ${host} without encryption`, undefined);
    },
    nowhere: (host) => new ServerGone(`sends to ${host}, and there is no such host`, undefined),
  });
}

/** Streams what is answered. */
export function through(agent: Agent): FetchLike {
  return async (url, init) => {
    const { method, headers, body, signal } = init ?? {};
    const answer = await request(url, {
      ...(method === undefined ? {} : { method }),
      headers: Object.fromEntries(new Headers(headers)),
      ...(body === undefined || body === null ? {} : { body: `${body}` }),
      ...(signal === undefined ? {} : { signal }),
      ...{ redirect: init?.redirect ?? 'manual', dispatcher: agent },
    });
    const { status, statusText } = answer;
    return new Response(answer.body as ReadableStream<Uint8Array> | null, {
      ...{ status, statusText, headers: [...answer.headers] as [string, string][] },
    });
  };
}

/** The caller disposes of it, which ends what is under way. */
export function checkedFetch(whereto: Whereto, reach?: Reach): CheckedFetch {
  const agent = whereAllowed(whereto, reach);
  const streamed = through(agent);
  return {
    fetch: async (url, init) => {
      const late = AbortSignal.timeout(REQUEST_MS);
      const signal = AbortSignal.any([late, ...(init?.signal ? [init.signal] : [])]);
      return whole(await streamed(url, { ...init, redirect: 'manual', signal }));
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

async function whole(answer: Response): Promise<Response> {
  const { status, statusText } = answer;
  const about = { status, statusText, headers: [...answer.headers] as [string, string][] };
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
  if (isStream || [204, 205, 304].includes(status)) {
    await answer.body?.cancel();
    return new Response(null, about);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES)
      throw new ServerGone(
        `answered with more than ${ANSWER_BYTES} bytes where somebody signs in`,
        undefined,
      );
  }
  return new Response(Buffer.concat(chunks), about);
}
