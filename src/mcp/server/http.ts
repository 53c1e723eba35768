/**
 * MCP's Streamable HTTP: each POST is answered by a server of its own, and nothing outlives the answer. So any process of the API answers
 * any message, before and after a restart, and there is no stream but that of an answer.
 *
 * The session id that a client gets names its conversation, and is known to nobody: by it a later POST may end the wait of an earlier
 * one, where both come to the same process. Elsewhere the wait ends by itself, in its own time.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { CancelledNotificationSchema, isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';
import { createMcpServer, type McpServerOptions } from './server.ts';
import { SESSION_HEADER } from './session-header.ts';

export interface McpPost extends McpServerOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The body, read as JSON. */
  readonly message: unknown;
  /** Who asks: nobody ends the waits of others. */
  readonly caller: string;
}

export class McpEndpoint {
  /** What ends each answer that is not whole yet, by who asked what. */
  readonly #waits = new Map<string, () => Promise<void>>();

  /** Resolves when the answer is whole, or its client has gone. */
  async answer({ request, response, message, caller, ...options }: McpPost): Promise<void> {
    if (response.destroyed) return;
    if (isInitializeRequest(message)) response.setHeader(SESSION_HEADER, randomUUID());
    const conversation = `${caller} ${request.headers[SESSION_HEADER] ?? randomUUID()}`;
    const takenBack = cancelledIn(message);
    if (takenBack !== undefined) await this.#waits.get(`${conversation} ${takenBack}`)?.();
    const server = createMcpServer(options);
    const wait = `${conversation} ${idOf(message)}`;
    const end = () => server.close();
    this.#waits.set(wait, end);
    const closed = new Promise<void>((resolve) => response.once('close', resolve)).then(end);
    // The class has accessors where the interface has properties that may be left out.
    const transport = new StreamableHTTPServerTransport() as StreamableHTTPServerTransport & Transport;
    await server.connect(transport);
    await transport.handleRequest(request, response, message);
    await closed;
    if (this.#waits.get(wait) === end) this.#waits.delete(wait);
  }
}

/** As JSON: 1 and "1" are two. */
function idOf(message: unknown): string | undefined {
  return JSON.stringify((message as { readonly id?: unknown }).id);
}

/** The id of the request that a message takes back. */
function cancelledIn(message: unknown): string | undefined {
  const cancelled = CancelledNotificationSchema.safeParse(message);
  return cancelled.success ? JSON.stringify(cancelled.data.params.requestId) : undefined;
}
