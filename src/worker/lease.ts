/**
 * This worker's lease (PROTOCOL 1-4): one row, renewed from a thread of its own over a connection of its own, so that
 * neither a busy event loop nor a locked row of some session can let it run out.
 */
import { extname } from 'node:path';
import { Worker as Thread } from 'node:worker_threads';
import { newId } from '../clock.ts';
import type { Log } from '../log.ts';
import { transitionsSchema } from '../store/transitions-schema.ts';
import type { WorkerIdentity } from '../store/workers.ts';
import { thisProcess } from './identity.ts';
import type { FromLeaseThread, LeaseThreadData } from './lease-thread.ts';

export interface LeaseOptions {
  /** Straight to Postgres, not through a pooler: the session lock belongs to the connection. */
  readonly url: string;
  readonly version: string;
  readonly log: Log;
  readonly timing: LeaseTiming;
  /** Each time the lease is renewed. */
  readonly onRenewed: () => void;
  /** The incarnation was ended by somebody else: nothing it holds is its own any more. */
  readonly onEnded: () => void;
}

export interface LeaseTiming {
  readonly leaseMs: number;
  readonly renewMs: number;
  /** Renewal stops when the main loop has not ticked for this long: a wedged process must not keep its turns. */
  readonly wedgedMs: number;
  /** External calls begin only while at least this much of the lease is left. */
  readonly marginMs: number;
}

export const DEFAULT_LEASE: LeaseTiming = {
  leaseMs: 10_000,
  renewMs: 1_000,
  wedgedMs: 30_000,
  marginMs: 3_000,
};

const TICK_MS = 500;
/** How long closing waits for a Postgres that does not take the worker's end; then its lease runs out. */
const CLOSE_MS = 1_000;

export interface Lease {
  readonly worker: WorkerIdentity;
  /**
   * Names a stretch of time in which the lease never ran out. A turn claimed in another one may have been taken over since.
   */
  readonly unbroken: string;
  /** For how long Postgres has been reached without a break, in milliseconds; 0 while it is not. */
  steadyMs(): number;
  /** Resolves when an act that happens at most once may begin; rejects with the signal's reason when that fires first. */
  untilSafe(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/**
 * Resolves when the worker is registered, with its lock held and its lease running, however long Postgres is away. Rejects
 * when `closing` fires first, or its thread cannot run.
 */
export async function takeLease(options: LeaseOptions, closing: AbortSignal): Promise<Lease> {
  checkTiming(options.timing);
  closing.throwIfAborted();
  const worker: WorkerIdentity = { ...newIncarnation(), version: options.version };
  const ticks = new BigInt64Array(new SharedArrayBuffer(8));
  const tick = () => Atomics.store(ticks, 0, process.hrtime.bigint());
  tick();
  const ticking = setInterval(tick, TICK_MS);
  const schema = transitionsSchema();
  const data: LeaseThreadData = { url: options.url, schema, worker, timing: options.timing, ticks };
  const thread = new Thread(new URL(`./lease-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: data,
  });
  const state = new LeaseState(options);
  thread.on('message', (message: FromLeaseThread) => state.hear(message));
  thread.on('error', (error) => state.fail(error));
  const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
  const onClosing = () => void thread.terminate();
  closing.addEventListener('abort', onClosing, { once: true });
  try {
    await Promise.race([
      state.started,
      ended.then(() => Promise.reject(new Error('the lease thread ended'))),
    ]);
  } catch (error) {
    clearInterval(ticking);
    throw error;
  } finally {
    closing.removeEventListener('abort', onClosing);
  }
  return {
    worker,
    get unbroken() {
      return `${worker.id} ${state.lapses}`;
    },
    steadyMs: () => state.steadyMs(),
    untilSafe: (signal) => state.untilSafe(signal),
    close: async () => {
      thread.postMessage('close');
      const late = setTimeout(() => void thread.terminate(), CLOSE_MS);
      await ended;
      clearTimeout(late);
      clearInterval(ticking);
    },
  };
}

/** With less, no act would ever be safe to begin. */
function checkTiming({ leaseMs, renewMs, marginMs }: LeaseTiming): void {
  if (leaseMs > renewMs + marginMs) return;
  throw new Error(
    `A lease of ${leaseMs} ms is renewed every ${renewMs} ms and needs ${marginMs} ms to spare: it must be longer than both together.`,
  );
}

function newIncarnation(): Omit<WorkerIdentity, 'version'> {
  const id = newId();
  // The random end of the id, as a positive bigint of 62 bits.
  const lockKey = BigInt.asUintN(62, BigInt(`0x${id.slice(-12)}${id.slice(19, 23)}`)).toString();
  return { id, ...thisProcess(), lockKey };
}

/** What the main thread knows of the lease: how long it lasts by its own monotonic clock. */
class LeaseState {
  readonly started: Promise<void>;
  readonly #options: LeaseOptions;
  #safeUntil = 0;
  #isStarted = false;
  /** How often the lease ran out, or its lock was lost. */
  lapses = 0;
  /** By the monotonic clock: since when no renewal came late, and when the last one came. */
  #steadySince = Number.POSITIVE_INFINITY;
  #renewedAt = Number.NEGATIVE_INFINITY;
  readonly #waiting = new Set<() => void>();
  readonly #start: { resolve: () => void; reject: (error: Error) => void };

  constructor(options: LeaseOptions) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.started = promise;
    this.#start = { resolve, reject };
  }

  hear(message: FromLeaseThread): void {
    if (message.type === 'renewed') this.#renewed(message.sentAt);
    if (message.type === 'unlocked') {
      this.#safeUntil = 0;
      this.#renewedAt = Number.NEGATIVE_INFINITY;
      this.#options.log.warn({ error: message.error }, 'lost the connection that holds this worker’s lock');
    }
    if (message.type === 'ended') this.#options.onEnded();
  }

  #renewed(sentAt: bigint): void {
    const { leaseMs, marginMs } = this.#options.timing;
    const sentMs = Number(sentAt / 1_000_000n);
    if (this.#isStarted && sentMs >= this.#safeUntil + marginMs) this.lapses += 1;
    // The lease counts from when the statement was sent: its answer may have been on the way for long.
    this.#safeUntil = sentMs + leaseMs - marginMs;
    const now = performance.now();
    if (!this.#isTimely(now)) this.#steadySince = now;
    this.#renewedAt = now;
    this.#isStarted = true;
    this.#start.resolve();
    for (const wake of this.#waiting) wake();
    this.#options.onRenewed();
  }

  steadyMs(): number {
    const now = performance.now();
    return this.#isTimely(now) ? now - this.#steadySince : 0;
  }

  /** Half a lease: whoever was cut off for longer had peers whose leases came near their end too. */
  #isTimely(now: number): boolean {
    return now - this.#renewedAt < this.#options.timing.leaseMs / 2;
  }

  fail(error: Error): void {
    this.#start.reject(error);
    this.#safeUntil = 0;
    this.#options.log.error({ error: error.message }, 'the lease thread ended');
    if (this.#isStarted) this.#options.onEnded();
  }

  async untilSafe(signal: AbortSignal): Promise<void> {
    while (Number(process.hrtime.bigint() / 1_000_000n) >= this.#safeUntil) {
      signal.throwIfAborted();
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      signal.removeEventListener('abort', wake);
      this.#waiting.delete(wake);
    }
    signal.throwIfAborted();
  }
}
