/**
 * A server at an address: Streamable HTTP, or the HTTP with server-sent events of 2024 where the server has only that (MCP,
 * "Backwards compatibility" of transports: it refuses the first request with a status of 400 to 499).
 */
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type {
  FetchLike,
  Transport,
  TransportSendOptions,
} from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { Flow } from './flow.ts';
import type { UrlServer } from './server.ts';
import { ServerGone } from './server-gone.ts';

type OnMessage = NonNullable<Transport['onmessage']>;

export class UrlTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: OnMessage;
  gone: ServerGone | undefined;
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #flow: Flow;
  readonly #messageBytes: number;
  #inner: StreamableHTTPClientTransport | SSEClientTransport;
  #mayBeOld: boolean;

  constructor({ url, headers = {}, transport }: UrlServer, messageBytes: number) {
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
    const answer = await fetch(url, init);
    if (answer.body === null) return answer;
    const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
    const counted = answer.body.pipeThrough(this.#counting(isStream));
    const { status, statusText, headers } = answer;
    return new Response(counted, { status, statusText, headers });
  };

  #counting(isStream: boolean): TransformStream<Uint8Array, Uint8Array> {
    let bytes = 0;
    return new TransformStream({
      transform: (chunk, controller) => {
        bytes += chunk.length;
        const isTooMuch = !isStream && bytes > this.#messageBytes;
        if (this.#flow.takes(chunk.length) && !isTooMuch) return controller.enqueue(chunk);
        const why = isTooMuch
          ? `sent a message of more than ${this.#messageBytes} bytes`
          : 'sent more than anybody can read';
        this.gone = new ServerGone(`${why}, and the connection was ended`, undefined);
        controller.error(this.gone);
        void this.close();
      },
    });
  }

  async start(): Promise<void> {
    const inner = this.#inner;
    inner.onmessage = (message: JSONRPCMessage) => this.onmessage?.(message);
    inner.onerror = (error) => this.onerror?.(error);
    inner.onclose = () => {
      if (this.#inner === inner) this.onclose?.();
    };
    await inner.start();
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

  /** The server need not keep a session that nobody comes back to. */
  async close(): Promise<void> {
    if (this.#inner instanceof StreamableHTTPClientTransport && this.#inner.sessionId !== undefined)
      await this.#inner.terminateSession().catch(() => undefined);
    await this.#inner.close();
  }

  setProtocolVersion(version: string): void {
    this.#inner.setProtocolVersion(version);
  }

  get sessionId(): string | undefined {
    return this.#inner instanceof StreamableHTTPClientTransport ? this.#inner.sessionId : undefined;
  }
}

/** Not for want of a key: that the older transport would want too. */
function isRefused(error: unknown): boolean {
  const code = Number((error as { readonly code?: unknown }).code);
  return code >= 400 && code < 500 && code !== 401 && code !== 403;
}
