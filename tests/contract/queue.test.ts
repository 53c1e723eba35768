import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { createLog, type Log, silentLog } from '../../src/log.ts';
import type { QueueBackendOptions } from '../../src/queue/bullmq.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import type { JobConsumer, QueueBackend, TurnJob, TurnQueue } from '../../src/queue/queue.ts';
import { createRedisQueueBackend } from '../../src/queue/redis.ts';
import { type Backend, type Line, lineTo, postgresBackend, redisBackend } from './queue-stores.ts';

const CHILD = fileURLToPath(new URL('queue-child.ts', import.meta.url));
/** For a takeover by BullMQ within a test. */
const SHORT_LOCK_MS = 200;

const stores = { postgres: await postgresBackend(), redis: await redisBackend('the queue on Redis') };

afterAll(async () => {
  for (const store of Object.values(stores)) await store?.stop();
});

describe.each(['postgres', 'redis'] as const)('the queue on %s', (kind) => {
  describe.skipIf(stores[kind] === undefined)('', () => {
    const store = stores[kind] as Backend;
    const cleanUp: (() => Promise<void> | void)[] = [];

    afterEach(async () => {
      for (const end of cleanUp.splice(0).reverse()) await end();
      expect(await settledConnections(store)).toEqual([]);
    });

    function open(options: Partial<QueueBackendOptions> = {}) {
      const create = kind === 'postgres' ? createPostgresQueueBackend : createRedisQueueBackend;
      const backend = create({ url: store.url, log: silentLog, ...options });
      const queue = backend.queue();
      cleanUp.push(() => backend.close());
      cleanUp.push(() => queue.close());
      return { backend, queue };
    }

    function consume(
      backend: QueueBackend,
      look: (job: TurnJob) => Promise<void>,
      concurrency = 4,
    ): JobConsumer {
      const consumer = backend.consume({ concurrency, look });
      cleanUp.push(() => consumer.close());
      return consumer;
    }

    async function cuttable(): Promise<Line> {
      const line = await lineTo(store.url);
      cleanUp.push(() => line.close());
      return line;
    }

    it('hands a wake to a consumer', async () => {
      const { backend, queue } = open();
      const { looked, look } = recorder();
      consume(backend, look);
      const job = newJob(3);
      await queue.wake(job);
      await vi.waitFor(() => expect(looked).toEqual([job]), 10_000);
    });

    it('keeps deliveries and turns apart', async () => {
      const { backend, queue } = open();
      const deliveries = backend.deliveries.queue();
      cleanUp.push(() => deliveries.close());
      const [turn, delivery] = [newJob(), { deliveryId: randomUUID(), wake: 1 }];
      await queue.wake(turn);
      await deliveries.wake(delivery);
      expect(await deliveries.states([delivery, { ...delivery, wake: 2 }])).toEqual(['waiting', 'missing']);
      const looked: unknown[] = [];
      const look = async (job: unknown) => void looked.push(job);
      const consumer = backend.deliveries.consume({ concurrency: 4, look });
      cleanUp.push(() => consumer.close());
      await vi.waitFor(() => expect(looked).toEqual([delivery]), 10_000);
      expect(await queue.states([turn])).toEqual(['waiting']);
      consume(backend, look);
      await vi.waitFor(() => expect(looked).toEqual([delivery, turn]), 10_000);
    });

    it('hands over what was added before the consumer came', async () => {
      const { backend, queue } = open();
      const jobs = [newJob(), newJob(), newJob()];
      await queue.wakeAll(jobs);
      const { looked, look } = recorder();
      consume(backend, look, 1);
      await vi.waitFor(() => expect(looked).toEqual(jobs), 10_000);
    });

    it('wakes none, one or many at once', async () => {
      const { queue } = open();
      const jobs = Array.from({ length: 40 }, () => newJob());
      await queue.wakeAll([]);
      await queue.wakeAll(jobs.slice(0, 1));
      await queue.wakeAll(jobs);
      expect(await queue.states(jobs)).toEqual(jobs.map(() => 'waiting'));
      expect(await queue.states([])).toEqual([]);
      await drain(open().backend, queue, jobs);
    });

    it('makes one job of a wake that is doubled while it waits', async () => {
      const { backend, queue } = open();
      const job = newJob();
      await Promise.all([queue.wake(job), queue.wake(job), queue.wakeAll([job, job])]);
      const { looked, look } = recorder();
      consume(backend, look);
      const last = newJob();
      await queue.wake(last);
      await vi.waitFor(() => expect(looked).toContainEqual(last), 10_000);
      expect(looked).toEqual([job, last]);
    });

    it('makes one job of a wake that is doubled while it is active', async () => {
      const { backend, queue } = open();
      const gate = Promise.withResolvers<void>();
      const { looked, look } = recorder(() => gate.promise);
      consume(backend, look);
      const job = newJob();
      await queue.wake(job);
      await vi.waitFor(() => expect(looked).toEqual([job]), 10_000);
      await queue.wake(job);
      gate.resolve();
      await untilMissing(queue, job);
      expect(looked).toEqual([job]);
    });

    it('takes the same wake again after it finished', async () => {
      const { backend, queue } = open();
      const { looked, look } = recorder();
      consume(backend, look);
      const job = newJob();
      for (const times of [1, 2, 3]) {
        await queue.wake(job);
        await vi.waitFor(() => expect(looked).toHaveLength(times), 10_000);
        await untilMissing(queue, job);
      }
    });

    it('looks at as many at a time as it is told, and at no more', async () => {
      const { backend, queue } = open();
      const gate = Promise.withResolvers<void>();
      const { looked, look } = recorder(() => gate.promise);
      consume(backend, look, 3);
      const jobs = Array.from({ length: 8 }, () => newJob());
      await queue.wakeAll(jobs);
      await vi.waitFor(async () => {
        const states = await queue.states(jobs);
        expect(states.filter((state) => state === 'active')).toHaveLength(3);
      }, 10_000);
      expect(looked).toHaveLength(3);
      gate.resolve();
      await vi.waitFor(() => expect(looked).toHaveLength(8), 10_000);
    });

    it('tells waiting, active and missing apart, in the order asked', async () => {
      const { backend, queue } = open();
      const gate = Promise.withResolvers<void>();
      const { looked, look } = recorder(() => gate.promise);
      consume(backend, look, 1);
      const [active, waiting, never] = [newJob(), newJob(), newJob()];
      await queue.wake(active);
      await vi.waitFor(() => expect(looked).toEqual([active]), 10_000);
      await queue.wake(waiting);
      const otherWake = { ...active, wake: active.wake + 1 };
      expect(await queue.states([never, waiting, active, otherWake, waiting])).toEqual([
        'missing',
        'waiting',
        'active',
        'missing',
        'waiting',
      ]);
      gate.resolve();
      await untilMissing(queue, active);
      await untilMissing(queue, waiting);
    });

    it('drops a job that names no turn, and says so', async () => {
      const { log, lines } = recordingLog();
      const { backend, queue } = open({ log });
      const { looked, look } = recorder();
      consume(backend, look);
      const malformed = { turnId: randomUUID(), wake: -1 };
      await queue.wake(malformed);
      await untilMissing(queue, malformed);
      await vi.waitFor(() => expect(lines.join()).toContain('dropped a job that names no turn'), 10_000);
      expect(looked).toEqual([]);
    });

    it('is done with a job whose look throws, and says so', async () => {
      const { log, lines } = recordingLog();
      const { backend, queue } = open({ log });
      consume(backend, async () => {
        throw new Error('no such table');
      });
      const job = newJob();
      await queue.wake(job);
      await untilMissing(queue, job);
      await vi.waitFor(() => expect(lines.join()).toContain('no such table'), 10_000);
    });

    it('stops taking jobs at pause, which waits for those in hand', async () => {
      const { backend, queue } = open();
      const gate = Promise.withResolvers<void>();
      const { looked, look } = recorder(() => gate.promise);
      const consumer = consume(backend, look);
      const inHand = newJob();
      await queue.wake(inHand);
      await vi.waitFor(() => expect(looked).toEqual([inHand]), 10_000);

      let paused = false;
      const pausing = consumer.pause().then(() => {
        paused = true;
      });
      const later = newJob();
      await queue.wake(later);
      expect(paused).toBe(false);
      gate.resolve();
      await pausing;
      await untilMissing(queue, inHand);
      expect(looked).toEqual([inHand]);

      const second = recorder();
      consume(backend, second.look);
      await vi.waitFor(() => expect(second.looked).toEqual([later]), 10_000);
      expect(looked).toEqual([inHand]);
    });

    it('gives a job back that arrives while it pauses', async () => {
      for (let round = 0; round < 15; round += 1) {
        const { backend, queue } = open();
        const { looked, look } = recorder();
        const consumer = backend.consume({ concurrency: 4, look });
        const job = newJob();
        await Promise.all([queue.wake(job), consumer.pause()]);
        const taken = looked.length;
        await consumer.close();
        expect(looked).toHaveLength(taken);
        const second = recorder();
        const next = backend.consume({ concurrency: 1, look: second.look });
        if (taken === 0) await vi.waitFor(() => expect(second.looked).toEqual([job]), 10_000);
        await untilMissing(queue, job);
        await next.close();
      }
    });

    it('keeps a job whose consumer is killed again and again', async () => {
      const url = apart(store.url);
      const { queue } = open({ url });
      const job = newJob();
      await queue.wake(job);
      for (let kill = 0; kill < 5; kill += 1) {
        const child = startChild('hang', url);
        await lineOf(child, `looking ${job.turnId} ${job.wake}`);
        child.kill('SIGKILL');
        await once(child, 'exit');
        expect(await queue.states([job])).not.toEqual(['missing']);
      }
      const child = startChild('finish', url);
      const exited = once(child, 'exit');
      await lineOf(child, `looking ${job.turnId} ${job.wake}`);
      expect(await exited).toEqual([0, null]);
      expect(await queue.states([job])).toEqual(['missing']);
    }, 60_000);

    it('lets its process end by itself once it is closed', async () => {
      const { queue } = open();
      const child = startChild('finish');
      const exited = once(child, 'exit');
      await queue.wake(newJob());
      expect(await exited).toEqual([0, null]);
    });

    it('goes on when the server has ended all connections', async () => {
      const { backend, queue } = open();
      const gate = Promise.withResolvers<void>();
      const { looked, look } = recorder(() => gate.promise);
      consume(backend, look);
      const before = newJob();
      await queue.wake(before);
      await vi.waitFor(() => expect(looked).toEqual([before]), 10_000);
      await store.killConnections();
      gate.resolve();
      const after = newJob();
      await vi.waitFor(() => queue.wake(after), { timeout: 10_000 });
      await vi.waitFor(() => expect(looked).toContainEqual(after), { timeout: 10_000 });
      await untilMissing(queue, before);
    });

    it('refuses a wake while the store is away, and goes on when it is back', async () => {
      const line = await cuttable();
      const { backend, queue } = open({ url: line.url });
      const { looked, look } = recorder();
      consume(backend, look);
      await queue.wake(newJob());
      await vi.waitFor(() => expect(looked).toHaveLength(1), 10_000);
      await line.cut();
      await expect(queue.wake(newJob())).rejects.toThrow();
      await line.mend();
      const after = newJob();
      await vi.waitFor(() => queue.wake(after), { timeout: 10_000 });
      await vi.waitFor(() => expect(looked).toContainEqual(after), { timeout: 10_000 });
    });

    it('waits for a store that is not there yet', async () => {
      const line = await cuttable();
      await line.cut();
      const { backend, queue } = open({ url: line.url });
      const { looked, look } = recorder();
      consume(backend, look);
      await line.mend();
      const job = newJob();
      await vi.waitFor(() => queue.wake(job), { timeout: 10_000 });
      await vi.waitFor(() => expect(looked).toEqual([job]), { timeout: 10_000 });
    });

    it('refuses a wake when the store does not answer, and still closes', async () => {
      const line = await cuttable();
      const { backend, queue } = open({ url: line.url });
      const { looked, look } = recorder();
      consume(backend, look);
      await queue.wake(newJob());
      await vi.waitFor(() => expect(looked).toHaveLength(1), 10_000);
      line.freeze();
      await expect(queue.wake(newJob())).rejects.toThrow(/did not answer|timeout/);
    }, 40_000);

    it('closes while the store is away', async () => {
      const line = await cuttable();
      const { backend } = open({ url: line.url });
      const { look } = recorder();
      consume(backend, look);
      await vi.waitFor(async () => expect(await store.connections()).not.toEqual([]), 10_000);
      await line.cut();
    });

    it('closes when it never reached the store', async () => {
      const line = await cuttable();
      await line.cut();
      const { backend } = open({ url: line.url });
      consume(backend, recorder().look);
    });

    const restart = store?.restart;
    if (restart !== undefined) {
      it('goes on after the server was restarted and has lost everything', async () => {
        const { backend, queue } = open();
        const { looked, look } = recorder();
        consume(backend, look);
        await queue.wake(newJob());
        await vi.waitFor(() => expect(looked).toHaveLength(1), 10_000);
        await restart();
        const after = newJob();
        await vi.waitFor(() => queue.wake(after), { timeout: 10_000 });
        await vi.waitFor(() => expect(looked).toContainEqual(after), { timeout: 10_000 });
      });
    }

    function startChild(mode: 'hang' | 'finish', url = store.url): ChildProcess {
      const args = [CHILD, kind, url, mode, String(SHORT_LOCK_MS)];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      cleanUp.push(() => void child.kill('SIGKILL'));
      return child;
    }
  });
});

/** BullMQ on Redis lets the longest check interval of all consumers of a queue decide: here are no others. */
function apart(url: string): string {
  const parsed = new URL(url);
  const namespace = parsed.searchParams.get('namespace');
  if (namespace !== null) parsed.searchParams.set('namespace', `${namespace}-apart`);
  return parsed.href;
}

function newJob(wake = 0): TurnJob {
  return { turnId: randomUUID(), wake };
}

function recorder(work: () => Promise<void> = async () => {}) {
  const looked: TurnJob[] = [];
  const look = async (job: TurnJob) => {
    looked.push(job);
    await work();
  };
  return { looked, look };
}

function recordingLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  return { log: createLog({ level: 'debug', destination: { write: (line) => lines.push(line) } }), lines };
}

async function untilMissing(queue: TurnQueue, job: TurnJob): Promise<void> {
  await vi.waitFor(async () => expect(await queue.states([job])).toEqual(['missing']), { timeout: 10_000 });
}

async function drain(backend: QueueBackend, queue: TurnQueue, jobs: readonly TurnJob[]): Promise<void> {
  const consumer = backend.consume({ concurrency: 4, look: async () => {} });
  for (const job of jobs) await untilMissing(queue, job);
  await consumer.close();
}

async function lineOf(child: ChildProcess, expected: string): Promise<void> {
  if (child.stdout === null) throw new Error('the child has no stdout');
  for await (const line of createInterface(child.stdout)) if (line === expected) return;
  throw new Error(`the child ended without saying "${expected}"`);
}

/** The server notices a moment later that a client is gone. */
async function settledConnections(store: Backend): Promise<string[]> {
  let names: string[] = [];
  await vi
    .waitFor(async () => {
      names = await store.connections();
      expect(names).toEqual([]);
    }, 5_000)
    .catch(() => {});
  return names;
}
