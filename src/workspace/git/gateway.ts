/**
 * The way by which git reaches a remote over http(s): a proxy on this machine's own loopback, for one clone. It resolves each host and
 * checks its addresses when it connects, also where a redirect leads, and the connection goes to exactly an address that was checked;
 * and it counts what comes. What https says stays between git and the remote.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { messageOf, OFFLINE_RULE } from '../../core/errors.ts';
import { isTrustedHost, type RepositoryPolicy } from '../../core/repository.ts';
import { isPrivateAddress } from '../../private-network.ts';
import { whyNotPublic } from '../../public-address.ts';
import { RepositoryError } from './repository-error.ts';

/** How names and machines are reached. Nothing but a test hands in another. */
export interface Reach {
  /** All addresses of a name. */
  resolve(name: string): Promise<readonly string[]>;
  connect(target: { readonly host: string; readonly port: number }): Socket;
}

export const systemReach: Reach = {
  resolve: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
  connect: (target) => connect(target),
};

export interface GatewayOptions {
  readonly policy: RepositoryPolicy;
  /** All that may come from the remote, in bytes. */
  readonly bytes: number;
  /** How long both sides may be silent. A server that prepares a large pack says so every few seconds. */
  readonly idleMs: number;
  readonly reach: Reach;
}

export interface Gateway {
  /** Git's settings for going through it. */
  readonly settings: Readonly<Record<string, string>>;
  /** Why it broke something off; git says only that something failed. */
  readonly refusal: RepositoryError | undefined;
  close(): Promise<void>;
}

const CONNECT_MS = 10_000;
/** Of a name with many, the first that can be connected to is taken. */
const MOST_ADDRESSES = 4;
/** Between one hop and the next, not for the other side (RFC 9110, 7.6.1). */
const HOP_HEADERS = ['proxy-authorization', 'proxy-connection', 'connection', 'keep-alive', 'te', 'upgrade'];

export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new LiveGateway(options);
  await gateway.listen();
  return gateway;
}

class LiveGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #server: Server;
  readonly #key = randomBytes(24).toString('hex');
  readonly #sockets = new Set<Socket>();
  #came = 0;
  refusal: RepositoryError | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#server = createServer((asked, answer) => void this.#forward(asked, answer));
    this.#server.on('connect', (asked, socket, head) => void this.#tunnel(asked, socket, head));
    this.#server.on('connection', (socket) => this.#keep(socket));
    this.#server.keepAliveTimeout = 0;
  }

  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    await promise;
  }

  get settings(): Readonly<Record<string, string>> {
    const { port } = this.#server.address() as AddressInfo;
    return { 'http.proxy': `http://git:${this.#key}@127.0.0.1:${port}`, 'http.proxyAuthMethod': 'basic' };
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** `CONNECT host:port`: https. */
  async #tunnel(asked: IncomingMessage, near: Duplex, head: Buffer): Promise<void> {
    const target = URL.parse(`http://${asked.url}`);
    const far = await this.#opened(asked, target, 443);
    if (far === undefined) return void near.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    near.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) far.write(head);
    far.on('data', (piece: Buffer) => this.#count(piece));
    far.pipe(near).pipe(far);
    far.once('close', () => near.destroy());
    near.once('close', () => far.destroy());
  }

  /** `GET http://host/path`: http. */
  async #forward(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const target = URL.parse(asked.url ?? '');
    const far = await this.#opened(asked, target, 80);
    if (far === undefined || target === null) return void answer.writeHead(403).end();
    const headers = Object.entries(asked.headers).filter(([name]) => !HOP_HEADERS.includes(name));
    const forwarded = request({
      createConnection: () => far,
      method: asked.method,
      path: `${target.pathname}${target.search}`,
      headers: { ...Object.fromEntries(headers), connection: 'close' },
    });
    const broken = () => answer.destroy();
    forwarded.on('error', broken).on('response', (came) => {
      const { connection: _, 'keep-alive': __, trailer: ___, ...rest } = came.headers;
      if (!isStatus(came.statusCode)) return void forwarded.destroy(new Error('no status'));
      answer.writeHead(came.statusCode, rest);
      came.on('data', (piece: Buffer) => this.#count(piece));
      // A body that breaks off must not look like one that ended.
      came.on('error', broken).on('aborted', broken).pipe(answer);
    });
    answer.once('close', () => forwarded.destroy());
    asked.on('error', () => forwarded.destroy()).pipe(forwarded);
  }

  /** A connection to where it is asked for; undefined, with the reason in `refusal`, where there is none. */
  async #opened(asked: IncomingMessage, target: URL | null, usualPort: number): Promise<Socket | undefined> {
    if (!this.#isOurs(asked) || target === null) return undefined;
    const { hostname } = target;
    const port = target.port === '' ? usualPort : Number(target.port);
    try {
      const far = await this.#connected(await this.#addressesOf(hostname, port), { hostname, port });
      this.#keep(far);
      this.#watch(far);
      return far;
    } catch (error) {
      this.refusal ??= error instanceof RepositoryError ? error : unreachable(hostname, messageOf(error));
      return undefined;
    }
  }

  /** Other processes of this machine may find the port. */
  #isOurs({ headers }: IncomingMessage): boolean {
    const expected = Buffer.from(`Basic ${Buffer.from(`git:${this.#key}`).toString('base64')}`);
    const found = Buffer.from(headers['proxy-authorization'] ?? '');
    return found.length === expected.length && timingSafeEqual(found, expected);
  }

  async #addressesOf(host: string, port: number): Promise<readonly string[]> {
    const { policy, reach } = this.#options;
    const name = host.replace(/^\[(.*)\]$/, '$1');
    const isTrusted = isTrustedHost(policy, { host, port });
    if (!isTrusted && !policy.online) throw refused(name, 'is not listed');
    const addresses = isIP(name) === 0 ? await reach.resolve(name) : [name];
    if (!policy.online) refusePublic(name, addresses);
    if (isTrusted) return addresses;
    for (const address of addresses) {
      const why = whyNotPublic(address);
      if (why !== undefined) throw refused(name, `belongs to ${why}`);
    }
    return addresses;
  }

  async #connected(
    addresses: readonly string[],
    { hostname, port }: { readonly hostname: string; readonly port: number },
  ): Promise<Socket> {
    let failure: unknown = new Error('it has no address');
    for (const host of addresses.slice(0, MOST_ADDRESSES)) {
      try {
        return await established(this.#options.reach.connect({ host, port }));
      } catch (error) {
        failure = error;
      }
    }
    throw unreachable(hostname, messageOf(failure));
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy()).once('close', () => this.#sockets.delete(socket));
  }

  #watch(far: Socket): void {
    const { idleMs } = this.#options;
    far.setTimeout(idleMs, () => {
      const seconds = idleMs / 1_000;
      this.#breakOff('retryable', 'repository_unreachable', `was silent for ${seconds} seconds`);
    });
  }

  #count(piece: Buffer): void {
    this.#came += piece.length;
    const { bytes } = this.#options;
    if (this.#came <= bytes) return;
    const found = `sends more than ${Math.floor(bytes / 1024 ** 2)} MiB`;
    this.#breakOff('terminal', 'repository_too_large', `${found}: CAPYBARA_GIT_MIB says what one may have`);
  }

  #breakOff(kind: 'retryable' | 'terminal', code: string, found: string): void {
    this.refusal ??= new RepositoryError(kind, code, `The host of the repository ${found}.`);
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** What a server may say; an answer is written with nothing else. */
function isStatus(code: number | undefined): code is number {
  return code !== undefined && code >= 100 && code <= 999;
}

function established(socket: Socket): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  socket.setTimeout(CONNECT_MS, () =>
    socket.destroy(new Error(`no connection within ${CONNECT_MS / 1_000} seconds`)),
  );
  socket.once('error', reject).once('connect', () => {
    socket.setTimeout(0).removeAllListeners('timeout');
    socket.off('error', reject);
    resolve(socket);
  });
  return promise;
}

function refused(name: string, why: string): RepositoryError {
  return new RepositoryError(
    'terminal',
    'repository_refused',
    `The repository leads to '${name}', which ${why}: repositories come from public hosts, and from those that an administrator lists with CAPYBARA_GIT_ALLOW.`,
  );
}

/** Throws `RepositoryError` where the host `name` has a public address: offline none is gone to, whoever listed it. */
export function refusePublic(name: string, addresses: readonly string[]): void {
  if (addresses.every(isPrivateAddress)) return;
  throw new RepositoryError(
    'terminal',
    'repository_refused',
    `The repository's host '${name}' has a public address, and ${OFFLINE_RULE}: leave out --offline (CAPYBARA_OFFLINE), or clone from a private one.`,
  );
}

function unreachable(name: string, why: string): RepositoryError {
  return new RepositoryError(
    'retryable',
    'repository_unreachable',
    `The host '${name}' of the repository cannot be reached (${why}).`,
  );
}
