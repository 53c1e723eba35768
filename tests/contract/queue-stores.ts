/** What the suites of queue and bus run on: Postgres and Redis, each behind a line that a test can cut. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { redisTarget } from '../../src/redis.ts';
import { createTestDatabase } from '../support/database.ts';
import { startRedis } from '../support/redis.ts';

export interface Backend {
  readonly kind: 'postgres' | 'redis';
  /** Straight to the server. */
  readonly url: string;
  /** Names of the open connections of queues and buses, without the asker's own. */
  connections(): Promise<string[]>;
  /** Ends them from the server's side. */
  killConnections(): Promise<void>;
  /** Says something on the bus' channel that the bus did not write. */
  forge(payload: string): Promise<void>;
  stop(): Promise<void>;
  readonly restart?: () => Promise<void>;
}

export async function postgresBackend(): Promise<Backend> {
  const database = await createTestDatabase();
  const ask = async (sql: string, values: unknown[] = []) => {
    const client = new Client(database.url);
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  };
  const others = 'FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()';
  return {
    kind: 'postgres',
    url: database.url,
    connections: async () => (await ask(`SELECT application_name AS name ${others}`)).map((row) => row.name),
    killConnections: async () => void (await ask(`SELECT pg_terminate_backend(pid) ${others}`)),
    forge: async (payload) => void (await ask(`SELECT pg_notify('capybara', $1)`, [payload])),
    stop: () => database.drop(),
  };
}

export async function redisBackend(suite: string): Promise<Backend | undefined> {
  const redis = await startRedis(suite);
  if (redis === undefined) return undefined;
  const { url, namespace } = redisTarget(redis.url);
  const ask = async <T>(question: (client: Redis) => Promise<T>) => {
    const client = new Redis(url);
    try {
      return await question(client);
    } finally {
      client.disconnect();
    }
  };
  const clients = async (client: Redis) =>
    String(await client.client('LIST'))
      .split('\n')
      .map((line) => ({ id: / ?id=(\d+)/.exec(line)?.[1] ?? '', name: / name=(\S*)/.exec(line)?.[1] ?? '' }))
      .filter(({ name }) => name.startsWith(namespace));
  return {
    kind: 'redis',
    url: redis.url,
    connections: () => ask(async (client) => (await clients(client)).map(({ name }) => name)),
    killConnections: () =>
      ask(async (client) => {
        for (const { id } of await clients(client)) await client.client('KILL', 'ID', id);
      }),
    forge: (payload) => ask(async (client) => void (await client.publish(`${namespace}:bus`, payload))),
    stop: redis.stop,
    ...(redis.restart && { restart: redis.restart }),
  };
}

export interface Line {
  /** Leads to the server over this line. */
  readonly url: string;
  /** Nothing answers any more: open connections break, new ones are refused. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** From now on nothing passes, and nobody is told. */
  freeze(): void;
  close(): Promise<void>;
}

export async function lineTo(url: string): Promise<Line> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let frozen = false;
  let server: Server = createServer();
  let port = 0;
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  const onConnection = (near: Socket) => {
    keep(near);
    if (frozen) return;
    const far = connect(Number(target.port), target.hostname);
    keep(far);
    near.on('data', (data) => frozen || far.write(data));
    far.on('data', (data) => frozen || near.write(data));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  };
  const mend = () =>
    new Promise<void>((resolve) => {
      server = createServer(onConnection).listen(port, '127.0.0.1', resolve);
    });
  const cut = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  await mend();
  const near = new URL(url);
  const address = server.address();
  port = typeof address === 'object' && address ? address.port : 0;
  near.hostname = '127.0.0.1';
  near.port = String(port);
  return { url: near.href, cut, mend, freeze: () => (frozen = true), close: cut };
}
