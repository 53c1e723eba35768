/** The backends that a suite runs on. */
import { afterAll } from 'vitest';
import { startRedis, type TestRedis } from './redis.ts';

export interface QueueKind {
  readonly kind: 'postgres' | 'redis';
  readonly redis?: TestRedis;
}

/** The backends to run a suite on: Redis is left out, and says so, where there is none. To be awaited in a test file. */
export async function queueKinds(suite: string): Promise<QueueKind[]> {
  const redis = await startRedis(suite);
  if (redis === undefined) return [{ kind: 'postgres' }];
  afterAll(() => redis.stop());
  return [{ kind: 'postgres' }, { kind: 'redis', redis }];
}
