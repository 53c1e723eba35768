/** A TCP relay in front of Postgres or Redis, one per process, so that one process's line can break or fall silent. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface Target {
  readonly host: string;
  readonly port: number;
}

export class Relay {
  readonly #server: Server;
  readonly #target: () => Target;
  readonly #sockets = new Set<Socket>();
  readonly #closing = new AbortController();
  /** Who waits for the end of a silence. */
  #silence: Promise<void> | undefined;

  /** `target` is asked at each connection: what was restarted may be elsewhere. */
  static async open(target: () => Target): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  private constructor(target: () => Target) {
    this.#target = target;
    this.#server = createServer({ pauseOnConnect: true }, (client) => this.#join(client));
  }

  /** The same address, through here. */
  through(url: string): string {
    const through = new URL(url);
    through.hostname = '127.0.0.1';
    through.port = String((this.#server.address() as AddressInfo).port);
    return through.href;
  }

  cut(): void {
    for (const socket of this.#sockets) {
      // A reset of a socket that is being shut down leaves libuv spinning over it for ever.
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }

  /** Nothing passes, and nobody is told. What was sent meanwhile arrives afterwards. */
  async stall(ms: number): Promise<void> {
    if (this.#silence !== undefined) return;
    // Ends early with the relay.
    this.#silence = delay(ms, undefined, { signal: this.#closing.signal }).catch(() => {});
    for (const socket of this.#sockets) socket.pause();
    await this.#silence;
    this.#silence = undefined;
    for (const socket of this.#sockets) socket.resume();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  #join(client: Socket): void {
    this.#add(client);
    void (this.#silence ?? Promise.resolve()).then(() => {
      if (client.destroyed) return;
      const server = connect({ ...this.#target(), noDelay: true });
      this.#add(server);
      forward(client, server);
      forward(server, client);
      client.resume();
    });
  }

  #add(socket: Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    // Its other end is told by the end of both.
    socket.on('error', () => {});
  }
}

/** Unlike `pipe`, it does not start a socket again that a silence has paused. */
function forward(from: Socket, to: Socket): void {
  from.on('data', (chunk) => void to.write(chunk));
  from.once('end', () => to.end());
  from.once('close', () => to.destroy());
}

export function targetOf(url: string): Target {
  const { protocol, hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || (protocol.startsWith('redis') ? 6379 : 5432)) };
}
