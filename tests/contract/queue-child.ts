/** A consumer in a process of its own: `postgres|redis URL hang|finish LOCK_MS`. Says `looking <job>` on stdout. */

import { silentLog } from '../../src/log.ts';
import type { QueueBackendOptions } from '../../src/queue/bullmq.ts';
import { createPostgresQueueBackend } from '../../src/queue/postgres.ts';
import { createRedisQueueBackend } from '../../src/queue/redis.ts';

const [kind, url = '', mode, lockMs] = process.argv.slice(2);
const options: QueueBackendOptions = { url, log: silentLog, lockMs: Number(lockMs) };
const backend = kind === 'postgres' ? createPostgresQueueBackend(options) : createRedisQueueBackend(options);
const queue = backend.queue();
const looked = Promise.withResolvers<void>();
const consumer = backend.consume({
  concurrency: 1,
  async look({ turnId, wake }) {
    process.stdout.write(`looking ${turnId} ${wake}\n`);
    if (mode === 'hang') await new Promise(() => {});
    looked.resolve();
  },
});
await looked.promise;
await consumer.close();
await queue.close();
await backend.close();
// No process.exit: what is left open keeps this process alive, and the test that waits for its end fails.
