import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UserError } from '../core/errors.ts';
import type { Api } from './app.ts';

/** How long requests in hand may take once the server closes. */
export const CLOSE_GRACE_MS = 5_000;

/** How long a request may take to arrive, in milliseconds: a large directory over a slow line. Who stands still is cut off sooner. */
const ARRIVAL_MS = 60 * 60_000;

export interface Address {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface Listening {
  /** `http://HOST:PORT`; an address that stands for all of this machine's is shown as its own. */
  readonly url: string;
  /** Takes no more requests, ends event streams, and resolves when those in hand are answered or `CLOSE_GRACE_MS` is over. */
  close(): Promise<void>;
}

/** Serves the API. Throws `UserError` (exit code 3): `port_in_use`, `port_refused` or `bad_host`. */
export async function listen(api: Api, { host, port }: Address): Promise<Listening> {
  // A client that vanished without a word is noticed by the kernel's probes.
  const options = { keepAlive: true, keepAliveInitialDelay: 30_000, requestTimeout: ARRIVAL_MS };
  const server = createServer(options, api);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, { host, port })));
    server.listen(port, host, resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return { url: `http://${shownHost(host)}:${taken}`, close: () => close(server, api) };
}

function shownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

async function close(server: Server, api: Api): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const late = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
  await api.endStreams();
  server.closeIdleConnections();
  await closed;
  clearTimeout(late);
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
