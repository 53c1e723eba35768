/**
 * The way out of a confined command that may reach some hosts: an HTTP proxy (RFC 9110, CONNECT and absolute URLs) on a Unix socket.
 * The command's network has no other way out. A name is resolved here, and the connection goes to exactly an address that was checked.
 */
import { lookup } from 'node:dns/promises';
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type EgressHost, egressTo, sayEgressHost } from '../core/egress.ts';
import { messageOf } from '../core/errors.ts';
import { whyNotPublic } from '../public-address.ts';
import type { Runner } from './runner.ts';

/** Connections of one command at a time. */
export const MAX_CONNECTIONS = 128;
/** Milliseconds to reach a host. */
export const CONNECT_MS = 10_000;
/** Milliseconds without a byte in either direction, until a connection is ended. */
export const IDLE_MS = 300_000;

export interface EgressOptions {
  /** Where the socket's directory is made: short, since the path of a socket has at most 107 bytes. */
  readonly directory: string;
  readonly hosts: readonly EgressHost[];
  /** Whom the command runs as, where that is not this process's user. */
  readonly runner?: Runner | undefined;
  /** All addresses of a name; the system's. Nothing but a test hands in another. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
}

export interface Egress {
  /** Absolute path. */
  readonly socket: string;
  /** Ends all that goes through it. */
  close(): Promise<void>;
}

export async function openEgress(options: EgressOptions): Promise<Egress> {
  const place = mkdtempSync(join(options.directory, 'capybara-egress-'));
  const socket = join(place, 'proxy');
  const sockets = new Set<Duplex>();
  const server = proxy(options, sockets);
  try {
    await listening(server, socket);
    give(place, socket, options.runner);
  } catch (error) {
    server.close();
    rmSync(place, { recursive: true, force: true });
    throw error;
  }
  return {
    socket,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const each of sockets) each.destroy();
      server.closeAllConnections();
      await closed;
      rmSync(place, { recursive: true, force: true });
    },
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
}

/** To its user alone. */
function give(place: string, socket: string, runner: Runner | undefined): void {
  chmodSync(socket, 0o600);
  for (const path of [place, socket]) if (runner) chownSync(path, runner.uid, runner.gid);
}

function proxy(options: EgressOptions, sockets: Set<Duplex>): Server {
  const server = createServer((incoming, response) => {
    forward(options, { incoming, response, sockets }).catch((error: unknown) => refuse(response, error));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (socket) => keep(sockets, socket));
  server.on('connect', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    tunnel(options, { incoming, socket, head, sockets }).catch((error: unknown) => {
      const text = `${messageOf(error)}\n`;
      socket.end(
        `HTTP/1.1 ${statusOf(error)}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
      );
    });
  });
  return server;
}

function keep(sockets: Set<Duplex>, socket: Socket): void {
  sockets.add(socket);
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  // Whatever ends it is told to whoever reads from it.
  socket.on('error', () => {}).once('close', () => sockets.delete(socket));
}

interface Tunnel {
  readonly incoming: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly sockets: Set<Duplex>;
}

async function tunnel(options: EgressOptions, { incoming, socket, head, sockets }: Tunnel): Promise<void> {
  const to = URL.canParse(`http://${incoming.url}`) ? new URL(`http://${incoming.url}`) : undefined;
  const [, digits] = /:(\d+)$/.exec(incoming.url ?? '') ?? [];
  if (to === undefined || digits === undefined) throw new Refusal(400, 'Expected CONNECT with host:port.');
  const onward = await reach({ host: bare(to.hostname), port: Number(digits) }, options);
  keep(sockets, onward);
  if (socket.destroyed) return void onward.destroy();
  for (const [one, other] of [
    [onward, socket],
    [socket, onward],
  ] as const) {
    one.once('close', () => other.destroy());
  }
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
  onward.write(head);
  onward.pipe(socket);
  socket.pipe(onward);
}

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly sockets: Set<Duplex>;
}

async function forward(options: EgressOptions, { incoming, response, sockets }: Exchange): Promise<void> {
  const url = URL.canParse(incoming.url ?? '') ? new URL(incoming.url ?? '') : undefined;
  if (url?.protocol !== 'http:')
    throw new Refusal(400, 'This is a proxy: expected an absolute http:// URL, or CONNECT.');
  const { hostname, port = '' } = url;
  const socket = await reach({ host: bare(hostname), port: Number(port === '' ? 80 : port) }, options);
  keep(sockets, socket);
  // Whoever asked may have gone meanwhile.
  if (response.destroyed) return void socket.destroy();
  const { 'proxy-connection': _, 'proxy-authorization': __, trailer: ___, ...headers } = incoming.headers;
  const onward = request({
    method: incoming.method,
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, host: url.host, connection: 'close' },
    createConnection: () => socket,
  });
  const failed = (error: unknown) => {
    onward.destroy();
    refuse(response, error);
  };
  onward.on('error', failed).on('response', (answer) => {
    try {
      passOn(answer, response);
    } catch (error) {
      failed(error);
    }
  });
  response.once('close', () => onward.destroy());
  incoming.pipe(onward);
}

/** Throws where the answer is none that can be given: a status of 0, say. Trailers are not passed on. */
function passOn(answer: IncomingMessage, response: ServerResponse): void {
  const { trailer: _, ...headers } = answer.headers;
  response.writeHead(answer.statusCode ?? 502, { ...headers, connection: 'close' });
  answer.pipe(response);
}

/** As the URL of an IPv6 address has it in brackets. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** A connection to a host that the command may reach. */
async function reach(
  to: { readonly host: string; readonly port: number },
  options: EgressOptions,
): Promise<Socket> {
  const { hosts, resolve = systemResolve } = options;
  const entry = egressTo(to, hosts);
  if (entry === undefined) {
    const may = hosts.map(sayEgressHost).join(', ');
    throw new Refusal(
      403,
      `Commands here may not reach ${to.host} at port ${to.port}; they may reach: ${may}.`,
    );
  }
  const addresses = isIP(to.host) === 0 ? await resolve(to.host).catch(unknownHost(to.host)) : [to.host];
  const [address] = addresses;
  for (const each of addresses) {
    const why = whyNotPublic(each);
    if (why === undefined || entry.isPrivate) continue;
    throw new Refusal(
      403,
      `${to.host} leads to ${each}, which belongs to ${why}; the entry private:${sayEgressHost(entry)} would allow that.`,
    );
  }
  if (address === undefined) throw new Refusal(502, `${to.host} has no address.`);
  return connected(address, to.port);
}

async function systemResolve(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

function unknownHost(host: string) {
  return (error: unknown): never => {
    throw new Refusal(502, `${host} could not be resolved: ${messageOf(error)}.`);
  };
}

function connected(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, timeout: CONNECT_MS });
    const fail = (text: string) => {
      socket.destroy();
      reject(new Refusal(502, `${address} at port ${port} could not be reached: ${text}.`));
    };
    socket.once('timeout', () => fail(`no answer within ${CONNECT_MS / 1000} s`));
    socket.once('error', (error) => fail(messageOf(error)));
    socket.once('connect', () => {
      socket.setTimeout(0).removeAllListeners('timeout').removeAllListeners('error');
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  502: 'Bad Gateway',
};

function statusOf(error: unknown): string {
  const status = error instanceof Refusal ? error.status : 502;
  return `${status} ${REASONS[status]}`;
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const status = error instanceof Refusal ? error.status : 502;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end(`${messageOf(error)}\n`);
}
