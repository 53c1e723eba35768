/**
 * A server at an address: Streamable HTTP, or the HTTP with server-sent events of 2024 where the server has only that (MCP,
 * "Backwards compatibility" of transports: it refuses the first request with a status of 400 to 499).
 */
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type {
  FetchLike,
  Transport,
  TransportSendOptions,
} from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { Agent } from 'undici';
import { raced } from '../../checked-agent.ts';
import { through, whereAllowed } from '../oauth/checked-fetch.ts';
import { type Access, authorizedFetch } from './access.ts';
import { EventLength } from './event-length.ts';
import { Flow } from './flow.ts';
import type { UrlServer } from './server.ts';
import { statusOf } from './server-failure.ts';
import { ServerGone } from './server-gone.ts';
import { StreamPace } from './stream-pace.ts';

const TOO_MUCH = 'sent more than anybody can read';
/** For a server to hear that its session is over. */
const FAREWELL_MS = 1_000;

type OnMessage = NonNullable<Transport['onmessage']>;

export interface UrlTransportOptions {
  readonly messageBytes: number;
  /** What to pass by, where no header says who asks. */
  readonly access?: Access | undefined;
  /** Of a team's server: whether it may be at an address that is private, or not encrypted. */
  readonly isAllowed?: ((way: { readonly host: string; readonly address: string }) => boolean) | undefined;
}

export class UrlTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: OnMessage;
  gone: ServerGone | undefined;
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #flow: Flow;
  readonly #messageBytes: number;
  readonly #pace = new StreamPace();
  #inner: StreamableHTTPClientTransport | SSEClientTransport;
  readonly #closing = new AbortController();
  readonly #agent: Agent | undefined;
  readonly #request: FetchLike;
  #mayBeOld: boolean;
  /** Why there is no stream: the older transport's start tells it as something else. Of what is sent it says nothing. */
  #streamRefusal: ServerGone | undefined;

  constructor(server: UrlServer, { messageBytes, access, isAllowed = () => false }: UrlTransportOptions) {
    const { url, headers = {}, transport } = server;
    const hasKey = new Headers(headers).has('authorization');
    this.#agent = server.ofTeam ? whereAllowed({ isAllowed }) : undefined;
    const base = this.#agent === undefined ? fetch : through(this.#agent);
    this.#request =
      access === undefined || hasKey ? base : authorizedFetch(base, access, this.#closing.signal);
    this.#url = new URL(url);
    this.#headers = headers;
    this.#messageBytes = messageBytes;
    this.#flow = new Flow(messageBytes);
    this.#mayBeOld = transport === undefined;
    this.#inner = transport === 'sse' ? this.#old() : this.#current();
  }

  #current(): StreamableHTTPClientTransport {
    return new StreamableHTTPClientTransport(this.#url, this.#options());
  }

  #old(): SSEClientTransport {
    return new SSEClientTransport(this.#url, this.#options());
  }

  /** Redirects lead to no other origin: whoever is there would be sent the headers. */
  #options() {
    return {
      requestInit: { headers: { ...this.#headers } },
      fetch: this.#fetch,
      redirectPolicy: 'same-origin' as const,
    };
  }

  readonly #fetch: FetchLike = async (url, init) => {
    const isStreamAsked = (init?.method ?? 'GET') === 'GET';
    if (isStreamAsked) await this.#pace.turn(init?.signal ?? undefined);
    const answer = await this.#request(url, init).catch((error: unknown) => {
      const { cause } = error as Error;
      const gone = [error, cause].find((each) => each instanceof ServerGone);
      if (isStreamAsked) this.#streamRefusal = gone;
      throw gone ?? error;
    });
    if (answer.body === null) return answer;
    const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
    const counted = answer.body.pipeThrough(this.#counting(isStream));
    const { status, statusText, headers } = answer;
    const read = new Response(counted, { status, statusText, headers });
    if (init?.method !== 'POST' || status < 400) return read;
    // The older transport's own error has the server's words among its own.
    if (this.#inner instanceof SSEClientTransport) throw new StreamableHTTPError(status, await read.text());
    return this.#isOfMessage(status) ? answerIn(read, init) : read;
  };

  /** Whether a refusal is one of what was sent. Others are: no session, nobody who may ask, another transport. */
  #isOfMessage(status: number): boolean {
    if ([401, 403].includes(status) || this.#mayBeOld) return false;
    return status !== 404 || this.sessionId === undefined;
  }

  #counting(isStream: boolean): TransformStream<Uint8Array, Uint8Array> {
    let bytes = 0;
    const event = new EventLength();
    return new TransformStream({
      transform: (chunk, controller) => {
        if (this.gone !== undefined) return controller.error(this.gone);
        bytes = isStream ? event.after(chunk) : bytes + chunk.length;
        const isTooMuch = bytes > this.#messageBytes;
        if (this.#flow.takes(chunk.length) && !isTooMuch) return controller.enqueue(chunk);
        const why = isTooMuch ? `sent a message of more than ${this.#messageBytes} bytes` : TOO_MUCH;
        controller.error(this.#stop(why));
      },
    });
  }

  #stop(why: string): ServerGone {
    this.gone ??= new ServerGone(`${why}, and the connection was ended`, undefined);
    void this.close();
    return this.gone;
  }

  /** Of what came, one piece: a message, or what is none. */
  #isTaken(): boolean {
    if (this.gone !== undefined) return false;
    if (this.#flow.takesMessage()) return true;
    this.#stop(TOO_MUCH);
    return false;
  }

  async start(): Promise<void> {
    const inner = this.#inner;
    inner.onmessage = (message: JSONRPCMessage) => {
      this.#pace.rewarded();
      if (this.#isTaken()) this.onmessage?.(message);
    };
    inner.onerror = (error) => {
      if (this.#isTaken()) this.onerror?.(error);
    };
    inner.onclose = () => {
      if (this.#inner === inner) this.onclose?.();
    };
    await inner.start().catch((error: unknown) => {
      throw this.#streamRefusal ?? error;
    });
  }

  async send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    try {
      const inner: Transport = this.#inner;
      await inner.send(message, options);
      this.#mayBeOld = false;
    } catch (error) {
      if (!this.#mayBeOld || !isRefused(error)) throw error;
      this.#mayBeOld = false;
      const refused = this.#inner;
      this.#inner = this.#old();
      await refused.close();
      await this.start();
      await this.#inner.send(message);
    }
  }

  /** The server need not keep a session that nobody comes back to. One that does not listen is not waited for. */
  async close(): Promise<void> {
    if (this.#inner instanceof StreamableHTTPClientTransport && this.#inner.sessionId !== undefined)
      await raced(this.#inner.terminateSession(), AbortSignal.timeout(FAREWELL_MS)).catch(() => undefined);
    this.#closing.abort();
    await this.#inner.close();
    await this.#agent?.destroy();
  }

  setProtocolVersion(version: string): void {
    this.#inner.setProtocolVersion(version);
  }

  get sessionId(): string | undefined {
    return this.#inner instanceof StreamableHTTPClientTransport ? this.#inner.sessionId : undefined;
  }
}

/** A server that answers a request with an error of JSON-RPC has taken it in, whatever the status says. */
async function answerIn(refusal: Response, init: RequestInit | undefined): Promise<Response> {
  const text = await refusal.text();
  const { status, statusText, headers } = refusal;
  const isAnswer = idIn(text) !== undefined && idIn(text) === idIn(`${init?.body}`);
  if (!isAnswer) return new Response(text, { status, statusText, headers });
  return new Response(text, { headers: { 'content-type': 'application/json' } });
}

function idIn(message: string): unknown {
  try {
    return JSON.parse(message).id ?? undefined;
  } catch {
    return undefined;
  }
}

/** Not for want of a key: that the older transport would want too. */
function isRefused(error: unknown): boolean {
  const status = statusOf(error) ?? 0;
  return status >= 400 && status < 500 && status !== 401 && status !== 403;
}
