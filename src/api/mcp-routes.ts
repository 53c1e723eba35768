/**
 * `/mcp`: Capybara as an MCP server, by Streamable HTTP. It is a client of this very API, with the key that it was asked with: it can do what
 * that key can, by the same routes, and what it did stands in the audit trail as theirs.
 */
import type { Request } from 'express';
import { z } from 'zod';
import { createClient } from '../client/client.ts';
import { messageOf } from '../core/errors.ts';
import type { McpEndpoint } from '../mcp/server/http.ts';
import type { Reach } from '../mcp/server/reach.ts';
import { keyIn } from './auth.ts';
import type { ApiDeps } from './deps.ts';
import { ApiProblem } from './problem.ts';
import { type Route, route } from './route.ts';

const Message = z
  .looseObject({ jsonrpc: z.literal('2.0'), method: z.string().optional() })
  .meta({ id: 'McpMessage', description: 'A message of the Model Context Protocol, in JSON-RPC 2.0.' });

export function mcpRoutes({ corsOrigins, log }: Pick<ApiDeps, 'corsOrigins' | 'log'>): Route[] {
  let endpoint: Promise<McpEndpoint> | undefined;
  // Its libraries take a while to load, and most processes are never asked.
  const load = async () => new (await import('../mcp/server/http.ts')).McpEndpoint();
  const onBug = (error: unknown) => log.error({ error }, `an MCP call failed: ${messageOf(error)}`);
  return [
    route({
      method: 'post',
      path: '/mcp',
      scope: 'any',
      summary:
        'Model Context Protocol, Streamable HTTP: tools to hand in tasks, follow and steer them. Each call needs of its key what its route needs.',
      isUnaudited: true,
      body: Message,
      success: {
        status: 200,
        description: 'The answer, as the last event of a stream; 202 without one to what is no request.',
        media: ['text/event-stream'],
      },
      problems: { 403: ['origin_not_allowed'] },
      handle: async ({ request, response, body: message, caller: { keyId: caller } }) => {
        checkOrigin(request, corsOrigins);
        endpoint ??= load();
        const asked = { request, response, message, caller, reach: reachOf(request), onBug };
        await (await endpoint).answer(asked);
        return undefined;
      },
    }),
  ];
}

/** This API, at the address where the request came in, and with its key. Who asks is told of a 503 at once, and asks again. */
function reachOf({ socket, headers }: Request): Reach {
  const { localAddress = '127.0.0.1', localPort } = socket;
  const address = localAddress.replace(/^::ffff:/, '');
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${localPort}`;
  const server = { url, apiKey: keyIn(headers.authorization ?? '') };
  return {
    client: createClient(server, { patienceMs: 0 }),
    clientUntil: (signal) => createClient(server, { patienceMs: 0, signal }),
    recover: async () => {},
  };
}

const OWN_ORIGIN = /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/**
 * As the protocol demands: a page of somebody else may have its own name resolve to this machine, and says by its origin that it is no
 * page of ours. Programs send none.
 */
function checkOrigin({ headers: { origin } }: Request, corsOrigins: readonly string[]): void {
  if (origin === undefined || OWN_ORIGIN.test(origin) || corsOrigins.includes(origin)) return;
  throw new ApiProblem({
    status: 403,
    code: 'origin_not_allowed',
    field: 'origin',
    detail: `Pages of ${JSON.stringify(origin.slice(0, 100))} may not use MCP here: name the origin in CAPYBARA_API_CORS_ORIGINS to allow it.`,
  });
}
