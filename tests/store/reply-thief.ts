/** A line to Postgres that can lose a reply, or break while Postgres is still at work: what repeats have to survive. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface Line {
  /** Leads to the same database, through this line. */
  readonly url: string;
  /** Breaks the connection that the next reply comes on, instead of passing it: what was asked for is committed. */
  loseNextReply(): void;
  /** Breaks every connection now; Postgres goes on with what it was doing. */
  cut(): void;
  /** Breaks every connection and takes no new one, until `up`. */
  down(): void;
  /** Passes nothing more, and breaks nothing, until `up`. */
  freeze(): void;
  up(): void;
  /** From the next connection on it leads there: a Postgres that came back under another address. */
  leadTo(url: string): void;
  close(): Promise<void>;
}

export async function lineTo(url: string): Promise<Line> {
  let target = new URL(url);
  const sockets = new Set<Socket>();
  let thief = false;
  let frozen = false;
  let down = false;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    if (down) return void near.destroy();
    const far = connect(Number(target.port), target.hostname);
    for (const socket of [near, far]) keep(socket);
    near.on('data', (data) => frozen || far.write(data));
    far.on('data', (data) => {
      if (thief) {
        thief = false;
        near.destroy();
      } else if (!frozen) near.write(data);
    });
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const near = new URL(url);
  near.hostname = '127.0.0.1';
  near.port = String(typeof address === 'object' ? address?.port : '');
  return {
    url: near.href,
    loseNextReply: () => {
      thief = true;
    },
    cut,
    down: () => {
      down = true;
      cut();
    },
    freeze: () => {
      frozen = true;
    },
    up: () => {
      // What was swallowed never comes: a line that was frozen comes back with new connections.
      if (frozen) cut();
      down = false;
      frozen = false;
    },
    leadTo: (other) => {
      target = new URL(other);
    },
    close: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
