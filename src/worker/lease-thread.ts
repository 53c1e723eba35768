/**
 * The thread that keeps a worker's lease. It alone holds the session-level advisory lock whose absence lets peers suspect
 * this worker within a second.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Client } from 'pg';
import { messageOf } from '../core/errors.ts';
import type { WorkerIdentity } from '../store/workers.ts';
import type { LeaseTiming } from './lease.ts';

export interface LeaseThreadData {
  readonly url: string;
  /** Of the transitions. Told, because to find it out takes longer than all else at the thread's start. */
  readonly schema: string;
  readonly worker: WorkerIdentity;
  readonly timing: LeaseTiming;
  /** When the main loop last ticked: `process.hrtime` nanoseconds. */
  readonly ticks: BigInt64Array;
}

export type FromLeaseThread =
  /** `sentAt`: `process.hrtime` nanoseconds, before the statement left. */
  | { readonly type: 'renewed'; readonly sentAt: bigint }
  | { readonly type: 'unlocked'; readonly error: string }
  | { readonly type: 'ended' };

const { url, schema, worker, timing, ticks } = workerData as LeaseThreadData;
const closing = new AbortController();
parentPort?.on('message', () => closing.abort());

const tell = (message: FromLeaseThread) => parentPort?.postMessage(message);

async function keepLease(): Promise<void> {
  let first = true;
  while (!closing.signal.aborted) {
    const client = new Client({
      connectionString: url,
      connectionTimeoutMillis: timing.leaseMs,
      query_timeout: timing.leaseMs,
      keepAlive: true,
      application_name: 'capybara lease',
    });
    client.on('error', () => {}); // The query in hand fails with it.
    try {
      await client.connect();
      await client.query('SELECT pg_advisory_lock($1)', [worker.lockKey]);
      if (first) await client.query(`SELECT ${schema}.register_worker($1, $2)`, [worker, timing.leaseMs]);
      first = false;
      await renewUntilClosed(client);
      await client.query(`SELECT ${schema}.end_worker($1)`, [worker.id]);
    } catch (error) {
      if (!closing.signal.aborted) tell({ type: 'unlocked', error: messageOf(error) });
      await delay(timing.renewMs, undefined, { signal: closing.signal }).catch(() => {});
    } finally {
      await client.end().catch(() => {});
    }
  }
}

async function renewUntilClosed(client: Client): Promise<void> {
  while (!closing.signal.aborted) {
    const sentAt = process.hrtime.bigint();
    if (sentAt - Atomics.load(ticks, 0) < BigInt(timing.wedgedMs) * 1_000_000n) {
      const { rows } = await client.query(`SELECT ${schema}.renew_lease($1, $2) AS alive`, [
        worker.id,
        timing.leaseMs,
      ]);
      if (!rows[0].alive) {
        tell({ type: 'ended' });
        return closing.abort();
      }
      tell({ type: 'renewed', sentAt });
    }
    await delay(timing.renewMs, undefined, { signal: closing.signal }).catch(() => {});
  }
}

await keepLease();
parentPort?.close();
