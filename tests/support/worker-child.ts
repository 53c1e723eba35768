/**
 * A worker in a process of its own, to be killed, stopped and continued: its `ChildSettings` as JSON in the first
 * argument. Says `ready ID` and what its tools say, a line each; ends politely on SIGTERM.
 */
import { join } from 'node:path';
import { createPostgresBus } from '../../src/bus/postgres.ts';
import { createLog } from '../../src/log.ts';
import { createModels } from '../../src/model/providers.ts';
import type { QueueBackend } from '../../src/queue/queue.ts';
import type { DockerEngine } from '../../src/sandbox/docker-arguments.ts';
import type { LeasedSandbox } from '../../src/sandbox/sandbox.ts';
import { createUnconfinedSandbox } from '../../src/sandbox/unconfined.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createRegistry } from '../../src/tools/registry.ts';
import { DEFAULT_LEASE } from '../../src/worker/lease.ts';
import { startWorker, type WorkerOptions } from '../../src/worker/worker.ts';
import { whenNeeded } from './lazy-sandbox.ts';
import { sealing } from './sealing.ts';
import { type StopSettings, stoppable } from './stoppable.ts';
import { workerTools } from './worker-tools.ts';

export interface ChildSettings {
  readonly url: string;
  readonly redisUrl?: string;
  readonly modelUrl: string;
  readonly dataDir: string;
  readonly options: Partial<Pick<WorkerOptions, 'concurrency'>> &
    Pick<
      WorkerOptions,
      | 'lease'
      | 'sweep'
      | 'retry'
      | 'takeoverBackoffMs'
      | 'readGraceMs'
      | 'cloneRetry'
      | 'repositories'
      | 'allowances'
      | 'deliveries'
      | 'mcp'
    >;
  /** Confines commands by bubblewrap, as on one's own machine, or by this engine. */
  readonly confined?: true | DockerEngine;
  /** Given: it says which points it reaches, and may stop itself at one of them. */
  readonly points?: StopSettings;
}

const settings = JSON.parse(process.argv[2] ?? '') as ChildSettings;
const { url, redisUrl, modelUrl, dataDir, options } = settings;
const say = (line: string) => void process.stdout.write(`${line}\n`);
const log = createLog({ level: 'error' });
const db = openDatabase({ url, log });
const backend = await openBackend();
const bus = createPostgresBus({ url, log });
const lease = { ...DEFAULT_LEASE, ...options.lease };
const sandbox = settings.confined
  ? await confined(settings.confined)
  : whenNeeded(() => createUnconfinedSandbox({ environment: process.env, leaseMs: lease.leaseMs }));
const plain = {
  ...{ db, backend },
  models: createModels({ env: { baseUrl: modelUrl } }),
  tools: createRegistry(workerTools(say)),
};
const worker = await startWorker({
  ...{ directUrl: url, bus, sandbox, log, dataDir, version: 'test', concurrency: 4 },
  ...(settings.points === undefined ? plain : stoppable(plain, settings.points, say)),
  ...options,
  ...(options.deliveries && { deliveries: { ...options.deliveries, sealing } }),
});
say(`ready ${worker.id}`);
let isEnding = false;
process.on('SIGTERM', () => {
  if (!isEnding) void end();
  isEnding = true;
});

/** What is not loaded costs hundreds of starts nothing. */
async function confined(by: true | DockerEngine): Promise<LeasedSandbox> {
  if (by !== true) {
    const { createDockerSandbox } = await import('../../src/sandbox/docker.ts');
    const [environment, directory] = [process.env, join(dataDir, 'docker')];
    return createDockerSandbox({
      engine: by,
      profile: 'local',
      environment,
      directory,
      leaseMs: lease.leaseMs,
    });
  }
  const { openBubblewrap } = await import('./bubblewrap.ts');
  return openBubblewrap({ leaseMs: lease.leaseMs });
}

async function openBackend(): Promise<QueueBackend> {
  if (redisUrl === undefined) {
    const { createPostgresQueueBackend } = await import('../../src/queue/postgres.ts');
    return createPostgresQueueBackend({ url, log });
  }
  const { createRedisQueueBackend } = await import('../../src/queue/redis.ts');
  return createRedisQueueBackend({ url: redisUrl, log });
}

async function end(): Promise<void> {
  await worker.stop();
  await sandbox.close();
  await Promise.all([backend.close(), bus.close(), db.close()]);
  // No process.exit: what is left open keeps this process alive, and the test that waits for its end fails.
}
