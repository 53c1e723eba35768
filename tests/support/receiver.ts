/** Who webhooks are sent to: a real HTTP server, which a test tells what to answer. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders & Record<string, string>;
  readonly body: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
  readonly json: any;
}

/** A status; `silent`: it says nothing, until the connection ends. */
export type Answering = number | 'silent';

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** What the next requests are answered with, one after the other; 204 behind them. */
  answers(...next: Answering[]): void;
  /** Resolves once so many requests have come. */
  hears(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  let answers: Answering[] = [];
  let heard = Promise.withResolvers<void>();
  const answer = (response: ServerResponse) => {
    const status = answers.shift() ?? 204;
    if (status !== 'silent') response.writeHead(status).end();
  };
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces).toString();
    const headers = request.headers as Received['headers'];
    received.push({ path: request.url ?? '', headers, body, json: JSON.parse(body) });
    heard.resolve();
    heard = Promise.withResolvers<void>();
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    answers: (...next) => {
      answers = next;
    },
    hears: async (count) => {
      while (received.length < count) await heard.promise;
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
