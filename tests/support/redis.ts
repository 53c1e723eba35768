import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';

export interface TestRedis {
  /** With a namespace of its own. */
  readonly url: string;
  stop(): Promise<void>;
  /** Ends the server and starts an empty one on the same port. Only where the server is ours. */
  readonly restart?: () => Promise<void>;
}

const START_MS = 10_000;
const DOCKER_IMAGE = 'redis:7-alpine';

/**
 * `REDIS_URL` if it is set, else a `redis-server` of our own from the PATH, else one in Docker, else `undefined`, said in
 * one line that names the `suite`.
 */
export async function startRedis(suite: string): Promise<TestRedis | undefined> {
  const redis = sharedRedis() ?? (await ownRedis()) ?? (await dockerRedis());
  if (redis === undefined) {
    console.log(`SKIPPED: ${suite} needs Redis (no REDIS_URL, no redis-server on the PATH, no Docker)`);
  }
  return redis;
}

function sharedRedis(): TestRedis | undefined {
  const url = process.env.REDIS_URL;
  return url ? { url: withNamespace(url), stop: async () => {} } : undefined;
}

async function ownRedis(): Promise<TestRedis | undefined> {
  if (!(await runs('redis-server', '--version'))) return undefined;
  const dir = mkdtempSync(join(tmpdir(), 'capybara-redis-'));
  const port = await freePort();
  let server = await serve(port, dir);
  return {
    url: withNamespace(`redis://127.0.0.1:${port}`),
    async stop() {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
    async restart() {
      await server.stop();
      server = await serve(port, dir);
    },
  };
}

/** Dies with us however we die: the shell that started it ends it when our end of the pipe is gone. */
const GUARD =
  '"$@" & server=$!; cat > /dev/null; kill -9 $server; wait $server 2> /dev/null; rmdir "$DIR" 2> /dev/null';

async function serve(port: number, dir: string): Promise<{ stop(): Promise<void> }> {
  mkdirSync(dir, { recursive: true });
  const settings = { port, bind: '127.0.0.1', dir, save: '', appendonly: 'no' };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const guard = spawn('sh', ['-c', GUARD, 'sh', 'redis-server', ...args], {
    env: { ...process.env, DIR: dir },
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => guard.once('close', () => resolve()));
  await answering(port);
  return {
    stop() {
      guard.stdin.end();
      return ended;
    },
  };
}

async function answering(port: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 10, maxRetriesPerRequest: null });
  client.on('error', () => {});
  const late = setTimeout(() => client.disconnect(), START_MS);
  await client.ping();
  clearTimeout(late);
  client.disconnect();
}

async function dockerRedis(): Promise<TestRedis | undefined> {
  if (!(await runs('docker', 'info'))) return undefined;
  const { GenericContainer } = await import('testcontainers');
  const container = await new GenericContainer(DOCKER_IMAGE)
    .withExposedPorts(6379)
    .start()
    .catch((error: unknown) => console.log(`Docker cannot start ${DOCKER_IMAGE}: ${error}`));
  if (!container) return undefined;
  return {
    url: withNamespace(`redis://${container.getHost()}:${container.getMappedPort(6379)}`),
    stop: async () => void (await container.stop()),
  };
}

/** The same server with keys of its own. */
export function withNamespace(url: string): string {
  const parsed = new URL(url);
  parsed.searchParams.set('namespace', `test-${randomUUID()}`);
  return parsed.href;
}

async function runs(command: string, ...args: string[]): Promise<boolean> {
  return promisify(execFile)(command, args, { timeout: START_MS }).then(
    () => true,
    () => false,
  );
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
