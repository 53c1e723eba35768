import { connect, createServer, type Server, type Socket } from 'node:net';
import type { DockerEngine } from '../../src/sandbox/docker-arguments.ts';

const USUAL = 'unix:///var/run/docker.sock';

/** A socket that leads to an engine, until it is cut. */
export class EngineLine {
  readonly host: string;
  readonly #path: string;
  readonly #to: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(path: string, to: string) {
    this.#path = path;
    this.#to = to;
    this.host = `unix://${path}`;
  }

  static async open({ host = USUAL }: DockerEngine, path: string): Promise<EngineLine> {
    const line = new EngineLine(path, host.replace('unix://', ''));
    await line.heal();
    return line;
  }

  /** Ends what goes through it; nobody gets through any more. */
  cut(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  async heal(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true }, (client) => this.#join(client));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#path, resolve));
  }

  async close(): Promise<void> {
    const server = this.#server;
    const closed = new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
    this.cut();
    await closed;
  }

  #join(client: Socket): void {
    const engine = connect({ path: this.#to, allowHalfOpen: true });
    for (const [one, other] of [
      [client, engine],
      [engine, client],
    ] as const) {
      this.#sockets.add(one);
      one
        .on('error', () => {})
        .once('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  }
}
