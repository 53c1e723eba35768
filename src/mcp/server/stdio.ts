/** `capybara mcp serve`: one client, at the other end of stdin and stdout. */
import type { Readable, Writable } from 'node:stream';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { createMcpServer, type McpServerOptions } from './server.ts';

export interface StdioOptions extends McpServerOptions {
  readonly input: Readable;
  /** Nothing else may write here. */
  readonly output: Writable;
  /** Ends the serving. */
  readonly signal: AbortSignal;
  /** Told of what came that is no message. */
  readonly onNonsense: (error: Error) => void;
}

/** Serves until the client ends its input, which is how it says goodbye, or `signal` aborts. What waits then waits no more; tasks go on. */
export async function serveStdio(options: StdioOptions): Promise<void> {
  const { input, output, signal, onNonsense } = options;
  const server = createMcpServer(options);
  server.onerror = onNonsense;
  const ended = new Promise<void>((resolve) => {
    server.onclose = resolve;
    input.once('end', resolve).once('close', resolve);
    // A client that is gone reads nothing more.
    output.once('error', () => resolve());
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await server.connect(new StdioServerTransport(input, output));
  await ended;
  await server.close();
}
