/** A public internet of a test's own: names with public addresses, all of them served by one real server on this machine. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { buildConnector } from 'undici';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Reach } from '../../src/checked-agent.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import type { Tool, ToolContext, ToolOutcome } from '../../src/tools/tool.ts';

export const PUBLIC_IPV4 = '93.184.215.14';

/** A server for a suite; each test says what it answers. Connections that a test left behind end with it. */
export function useServer() {
  let server: Server;
  let listener: RequestListener = (_, response) => response.end();
  let requests: string[] = [];
  const sockets = new Set<Socket>();
  beforeAll(async () => {
    server = createServer((request, response) => {
      requests.push(`${request.method} ${request.headers.host}${request.url}`);
      listener(request, response);
    });
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    requests = [];
  });
  afterAll(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const port = () => (server.address() as AddressInfo).port;
  return {
    answers: (next: RequestListener) => {
      listener = next;
    },
    requests: () => requests,
    port,
    url: () => `http://127.0.0.1:${port()}`,
    sockets: () => sockets.size,
  };
}

/** `names`: what each resolves to, one answer per question where there are several. Whatever is dialled, the server answers. */
export function reachOf(
  port: () => number,
  names: Readonly<Record<string, readonly (readonly string[])[]>> = {},
) {
  const dialled: string[] = [];
  const asked = new Map<string, number>();
  const connect = buildConnector({ timeout: 5_000 });
  const reach: Reach = {
    async resolve(name) {
      const answers = names[name] ?? [[PUBLIC_IPV4]];
      const times = asked.get(name) ?? 0;
      asked.set(name, times + 1);
      return answers[Math.min(times, answers.length - 1)] ?? [];
    },
    connect: (options, callback) => {
      dialled.push(`${options.hostname}:${options.port || '80'}`);
      connect({ ...options, hostname: '127.0.0.1', port: String(port()) }, callback);
    },
  };
  return { reach, dialled };
}

/** Runs one call as a worker does: what is thrown becomes a result. */
export function callOf(
  tool: Tool,
  args: object,
  signal = new AbortController().signal,
): Promise<ToolOutcome> {
  const context = { signal, onOutput: () => {} } as unknown as ToolContext;
  return createRegistry([tool]).execute(tool.name, JSON.stringify(args), context);
}
