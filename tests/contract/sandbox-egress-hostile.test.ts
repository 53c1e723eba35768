/** A host that a command may reach, and that answers as it likes; and a command that does not wait for its answers. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Egress, openEgress } from '../../src/sandbox/egress.ts';

let host: Server;
let port: number;
let egress: Egress;
/** What it answers; nothing where left out. */
let answer: string;
let sockets: Set<Socket>;
let resolve: () => Promise<readonly string[]>;

beforeEach(async () => {
  answer = '';
  sockets = new Set();
  resolve = async () => ['127.0.0.1'];
  host = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    socket.once('data', () => answer !== '' && socket.end(answer));
  });
  await once(host.listen(0, '127.0.0.1'), 'listening');
  port = (host.address() as AddressInfo).port;
  const hosts = [{ host: 'odd.test', port, isPrivate: true }];
  egress = await openEgress({ directory: tmpdir(), hosts, resolve: () => resolve() });
});
afterEach(async () => {
  await egress.close();
  for (const socket of sockets) socket.destroy();
  host.close();
});

const GET = () => `GET http://odd.test:${port}/ HTTP/1.1\r\nHost: odd.test\r\n\r\n`;
const CONNECT = () => `CONNECT odd.test:${port} HTTP/1.1\r\nHost: odd.test\r\n\r\n`;

async function asked(text: string): Promise<string> {
  const socket = connect(egress.socket);
  let said = '';
  socket.on('error', () => {}).on('data', (piece) => (said += piece));
  socket.write(text);
  await once(socket, 'close');
  return said;
}

describe('a host that answers as no server may', () => {
  it.each([
    ['a status of 0', 'HTTP/1.1 000 Odd\r\nContent-Length: 2\r\n\r\nok'],
    ['a status below 100', 'HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok'],
    ['a header that is none', 'HTTP/1.1 200 OK\r\nX: \u0001\r\nContent-Length: 2\r\n\r\nok'],
    ['no HTTP', '\u0016\u0003\u0001'],
  ])('with %s is a bad gateway', async (_, said) => {
    answer = said;
    expect(await asked(GET())).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    expect(await asked(GET())).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it('is heard where it names trailers that cannot come', async () => {
    answer = 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nok';
    expect(await asked(GET())).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)+\r\nok$/);
  });
});

describe('a command that goes before it has an answer', () => {
  it.each([
    ['by URL', GET],
    ['by tunnel', CONNECT],
  ])('leaves no connection behind: %s', async (_, text) => {
    const isResolved = Promise.withResolvers<void>();
    const isAsked = Promise.withResolvers<void>();
    resolve = async () => {
      isAsked.resolve();
      await isResolved.promise;
      return ['127.0.0.1'];
    };
    const connected = once(host, 'connection');
    const socket = connect(egress.socket);
    socket.write(text());
    await isAsked.promise;
    socket.destroy();
    await once(socket, 'close');
    await new Promise(setImmediate);
    isResolved.resolve();
    await connected;
    await vi.waitFor(() => expect(sockets.size).toBe(0));
  });

  it('and its end ends what is under way', async () => {
    const connected = once(host, 'connection');
    const answered = asked(GET());
    await connected;
    await egress.close();
    await answered;
    await vi.waitFor(() => expect(sockets.size).toBe(0));
  });
});
