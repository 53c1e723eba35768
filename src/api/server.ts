import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UserError } from '../core/errors.ts';
import type { Api } from './app.ts';
import { answerRefused, refuseHost, refuseSilent } from './refused-requests.ts';
import { SILENCE_MS, watchBody } from './silent-bodies.ts';

/** How long requests in hand may take once the server closes; new ones are told meanwhile that it does. */
export const CLOSE_GRACE_MS = 5_000;

/** How long a request may take to arrive, in milliseconds: a large directory over a slow line. Who stands still waits shorter, `SILENCE_MS`. */
const ARRIVAL_MS = 60 * 60_000;

export interface Address {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Instead of `CLOSE_GRACE_MS`. */
  readonly closeGraceMs?: number;
  /** Instead of `SILENCE_MS`. */
  readonly silenceMs?: number;
}

export interface Listening {
  /** `http://HOST:PORT`; an address that stands for all of this machine's is shown as its own. */
  readonly url: string;
  /**
   * Ends event streams, and answers new requests with 503 `stopping` until those in hand are answered or `CLOSE_GRACE_MS` is over.
   * Then nothing listens here any more.
   */
  close(): Promise<void>;
}

/** Serves the API. Throws `UserError` (exit code 3): `port_in_use`, `port_refused` or `bad_host`. */
export async function listen(api: Api, address: Address): Promise<Listening> {
  const { host, port, closeGraceMs = CLOSE_GRACE_MS, silenceMs = SILENCE_MS } = address;
  // A client that vanished without a word is noticed by the kernel's probes.
  const options = { keepAlive: true, keepAliveInitialDelay: 30_000, requestTimeout: ARRIVAL_MS };
  const server = createServer({ ...options, requireHostHeader: false });
  const inHand = new Set<ServerResponse>();
  answerRefused(server, (socket) => [...inHand].filter(({ req }) => req.socket === socket));
  server.on('request', (request, response) => {
    if (refuseHost(request, response)) return;
    inHand.add(response);
    response.once('close', () => inHand.delete(response));
    watchBody(request, silenceMs, () => refuseSilent(request, response));
    api(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, { host, port })));
    server.listen(port, host, resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${shownHost(host)}:${taken}`,
    close: () => close(server, api, { inHand, closeGraceMs }),
  };
}

function shownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

interface Closing {
  readonly inHand: ReadonlySet<ServerResponse>;
  readonly closeGraceMs: number;
}

async function close(server: Server, api: Api, { inHand, closeGraceMs }: Closing): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, closeGraceMs);
  const answered = [...inHand].map(ended);
  for (const response of inHand) if (!response.headersSent) response.setHeader('connection', 'close');
  await api.stop();
  await Promise.race([Promise.all(answered), late.promise]);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // What is left was late, or has been told that nothing more is answered here.
  late.promise.then(() => server.closeAllConnections());
  await closed;
  clearTimeout(timer);
}

function ended(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once('close', resolve));
}

function listenError(error: NodeJS.ErrnoException, { host, port }: Address): unknown {
  switch (error.code) {
    case 'EADDRINUSE':
      return new UserError(
        'port_in_use',
        `Port ${port} on ${host} is in use by another program: stop it, or choose another port with --port or CAPYBARA_PORT.`,
        3,
      );
    case 'EACCES':
      return new UserError(
        'port_refused',
        `This user may not listen on port ${port}: choose one from 1024 with --port or CAPYBARA_PORT.`,
        3,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new UserError('bad_host', `${host} is not an address of this machine.`, 3);
    default:
      return error;
  }
}
