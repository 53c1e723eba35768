/** A Redis for the proof: a `redis-server` of its own from the PATH, else the configured one, in a namespace of its own. */
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { connectRedis, disconnectRedis, redisTarget } from '../redis.ts';

export interface ProofRedis {
  /** With a namespace. Another one after a restart. */
  url(): string;
  /** FLUSHALL, or in a Redis of somebody else's the namespace alone. */
  flush(): Promise<void>;
  /** Ends it with all it holds and starts an empty one. Only where it is ours. */
  readonly restart?: () => Promise<void>;
  close(): Promise<void>;
}

const PROGRAM = 'redis-server';
const START_MS = 10_000;
const SCAN_COUNT = 1_000;

/** Undefined where there is neither. */
export async function openRedis(
  place: string,
  { url, log }: { readonly url: string | undefined; readonly log: Log },
): Promise<ProofRedis | undefined> {
  if (await isInstalled()) return ownRedis(place, log);
  return url === undefined ? undefined : givenRedis(url, log);
}

async function isInstalled(): Promise<boolean> {
  return promisify(execFile)(PROGRAM, ['--version'], { timeout: START_MS }).then(
    () => true,
    () => false,
  );
}

async function ownRedis(place: string, log: Log): Promise<ProofRedis> {
  mkdirSync(place, { recursive: true });
  let server = await serve(place, log);
  const url = () => `redis://127.0.0.1:${server.port}/`;
  return {
    url: () => `${url()}?namespace=verify`,
    flush: () => once({ url: url(), log }, async (client) => void (await client.flushall())),
    restart: async () => {
      await server.stop();
      server = await serve(place, log);
    },
    close: () => server.stop(),
  };
}

function givenRedis(url: string, log: Log): ProofRedis {
  const own = new URL(url);
  own.searchParams.set('namespace', `verify-${randomUUID()}`);
  const { namespace } = redisTarget(own.href);
  const flush = () => once({ url, log }, (client) => removeKeys(client, namespace));
  return { url: () => own.href, flush, close: flush };
}

async function removeKeys(client: Redis, namespace: string): Promise<void> {
  let cursor = '0';
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', `*${namespace}*`, 'COUNT', SCAN_COUNT);
    if (keys.length > 0) await client.unlink(...keys);
    cursor = next;
  } while (cursor !== '0');
}

/** Dies with us however we die: the shell that started it ends it when our end of the pipe is gone. */
const GUARD = '"$@" & server=$!; cat > /dev/null; kill -9 $server; wait $server 2> /dev/null';

async function serve(dir: string, log: Log): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const port = await freePort();
  const settings = { port, bind: '127.0.0.1', dir, save: '', appendonly: 'no' };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const guard = spawn('sh', ['-c', GUARD, 'sh', PROGRAM, ...args], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const ended = new Promise<void>((resolve) => guard.once('close', () => resolve()));
  const stop = () => {
    guard.stdin.end();
    return ended;
  };
  try {
    await once({ url: `redis://127.0.0.1:${port}/`, log }, async (client) => void (await client.ping()));
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop };
}

async function once(target: { url: string; log: Log }, use: (client: Redis) => Promise<void>): Promise<void> {
  const client = connectRedis(target, { connectionName: 'verify' });
  const late = setTimeout(() => client.disconnect(), START_MS);
  try {
    await use(client);
  } finally {
    clearTimeout(late);
    await disconnectRedis(client);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('expected a TCP port');
  return address.port;
}
