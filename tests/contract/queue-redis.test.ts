import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { createRedisQueueBackend } from '../../src/queue/redis.ts';
import { redisTarget } from '../../src/redis.ts';
import { startRedis } from '../support/redis.ts';

const redis = await startRedis('lost keys of the queue on Redis');
afterAll(() => redis?.stop());

describe.skipIf(redis === undefined)('the queue on a Redis that lost single keys', () => {
  test('calls a job missing whose list is gone, and takes it again under the next wake number', async () => {
    const backend = createRedisQueueBackend({ url: redis?.url ?? '', log: silentLog });
    const queue = backend.queue();
    const { url, namespace } = redisTarget(redis?.url ?? '');
    const client = new Redis(url);
    try {
      const job = { turnId: randomUUID(), wake: 1 };
      await queue.wake(job);
      expect(await queue.states([job])).toEqual(['waiting']);
      expect(await client.del(`{${namespace}}:turns:wait`)).toBe(1);
      expect(await queue.states([job])).toEqual(['missing']);
      const again = { ...job, wake: 2 };
      await queue.wake(again);
      expect(await queue.states([job, again])).toEqual(['missing', 'waiting']);
    } finally {
      client.disconnect();
      await queue.close();
      await backend.close();
    }
  });
});
