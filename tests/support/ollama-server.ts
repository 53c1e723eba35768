/** An Ollama without its models: what it answers to whoever looks at, fetches and removes them. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

export interface OllamaServer {
  readonly url: string;
  readonly port: number;
  /** `GET /api/tags`, with the body where there is one. */
  readonly received: {
    readonly asked: string;
    readonly body: unknown;
    readonly authorization: string | undefined;
  }[];
  /** Models by name. */
  readonly models: Set<string>;
  /** Resolves when a client has gone away in the middle of a pull. */
  readonly left: Promise<void>;
  close(): Promise<void>;
}

export interface OllamaServerOptions {
  readonly models?: readonly string[];
  readonly version?: unknown;
  /** Writes what a pull tells; the whole of a good one where left out. */
  readonly pull?: (response: ServerResponse) => void | Promise<void>;
  readonly answersAfterMs?: number;
  /** Says nothing to anyone. */
  readonly isSilent?: boolean;
}

export const LAYER = `sha256:${'a1'.repeat(32)}`;

export const line = (news: object) => `${JSON.stringify(news)}\n`;

export async function startOllama(options: OllamaServerOptions = {}): Promise<OllamaServer> {
  const { version = 'version' in options ? options.version : '0.12.3', isSilent = false } = options;
  const models = new Set(options.models ?? ['qwen3:8b', 'llama3.2:3b']);
  const received: OllamaServer['received'] = [];
  const left = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const body = request.method === 'GET' ? undefined : await json(request).catch(() => undefined);
    const { authorization } = request.headers;
    const asked = `${request.method} ${request.url}`;
    received.push({ asked, body, authorization });
    const { name = '' } = (body ?? {}) as { name?: string };
    const answer = (status: number, value: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
      response.end(value === undefined ? '' : JSON.stringify(value));
    };
    if (isSilent) return;
    await delay(options.answersAfterMs ?? 0);
    if (asked === 'GET /api/version') return answer(200, { version });
    if (asked === 'GET /api/tags') return answer(200, { models: [...models].map(tagOf) });
    if (asked === 'DELETE /api/delete') {
      return models.delete(name)
        ? answer(200, undefined)
        : answer(404, { error: `model '${name}' not found` });
    }
    if (asked !== 'POST /api/pull') return answer(404, { error: 'no such route' });
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.on('close', () => response.writableFinished || left.resolve());
    await (options.pull ?? goodPull)(response);
    if (options.pull === undefined) models.add(name);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, port, received, models, left: left.promise, close };
}

function tagOf(name: string) {
  return {
    ...{ name, model: name, modified_at: '2026-01-02T03:04:05Z', size: 5_200_000_000, digest: 'd' },
    details: { parameter_size: '8.2B', quantization_level: 'Q4_K_M', family: 'qwen3' },
  };
}

function goodPull(response: ServerResponse): void {
  response.write(line({ status: 'pulling manifest' }));
  for (const completed of [1_000_000, 2_600_000_000, 5_200_000_000]) {
    response.write(line({ status: 'pulling a1a1a1a1a1a1', digest: LAYER, total: 5_200_000_000, completed }));
  }
  response.write(line({ status: 'verifying sha256 digest' }));
  response.end(line({ status: 'success' }));
}
