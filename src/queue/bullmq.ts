import { setTimeout as delay } from 'node:timers/promises';
import {
  type Job as BullJob,
  type IQueueBackend,
  Queue,
  type QueueBaseOptions,
  WaitingError,
  Worker,
} from 'bullmq';
import { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import { atMostEvery, type Log } from '../log.ts';
import type { Consuming, DeliveryJob, JobConsumer, JobQueue, JobState, TurnJob } from './queue.ts';

export interface QueueBackendOptions {
  /** Postgres itself (not a pooler: LISTEN belongs to the connection), or Redis. */
  readonly url: string;
  readonly log: Log;
  /**
   * How long a job of a dead worker stays active in BullMQ, about twice over. Nothing waits for it: the sweeper wakes the
   * turn under its next number. 60 s.
   */
  readonly lockMs?: number;
}

/** What differs between the stores. Each queue and each consumer has one. */
export interface StoreAccess {
  backend(opts: QueueBaseOptions): IQueueBackend;
  /** One round trip. */
  states(jobIds: readonly string[]): Promise<JobState[]>;
  /** Runs BullMQ's own `close`, and sees to it that it ends even where the store is down. */
  closeWith(close: () => Promise<void>): Promise<void>;
}

/** What the jobs of a queue name. */
export interface JobKind<Job> {
  /** Of the queue. */
  readonly name: string;
  /** For the log. */
  readonly what: string;
  readonly schema: z.ZodType<Job>;
  /** What is handed over of a job: its ids, and nothing that whoever added it may have beside them. */
  dataOf(job: Job): Job;
  /** No `:`, which BullMQ keeps for itself. */
  idOf(job: Job): string;
}

const wake = z.int().nonnegative();

export const TURNS: JobKind<TurnJob> = {
  name: 'turns',
  what: 'turn',
  schema: z.object({ turnId: z.string().min(1), wake }),
  dataOf: (job) => ({ turnId: job.turnId, wake: job.wake }),
  idOf: (job) => `${job.turnId}-${job.wake}`,
};

export const DELIVERIES: JobKind<DeliveryJob> = {
  name: 'deliveries',
  what: 'delivery',
  schema: z.object({ deliveryId: z.string().min(1), wake }),
  dataOf: (job) => ({ deliveryId: job.deliveryId, wake: job.wake }),
  idOf: (job) => `${job.deliveryId}-${job.wake}`,
};

const JOB_NAME = 'look';
const JOB_OPTIONS = { removeOnComplete: true, removeOnFail: true } as const;

/** A producer does not wait longer than this for a store that is down; the sweeper asks again. */
const ANSWER_MS = 5_000;
/**
 * An idle consumer asks anyway, should a notification be lost: a consumer that is killed can take one with it, and its
 * turns must go on elsewhere within two seconds.
 */
export const IDLE_POLL_SECONDS = 1;
const LOCK_MS = 60_000;
/** BullMQ's default of 15 s would leave a worker idle that long after its store came back. */
const RETRY_MS = 250;
/** Stalls never fail a job. The largest that Postgres' integer holds. */
const ANY_NUMBER_OF_STALLS = 2 ** 31 - 1;
/** Nobody reads BullMQ's event stream: keep as little of it as BullMQ can (0 would keep all, on Postgres). */
const KEPT_EVENTS = 1;
const REPEAT_LOG_MS = 10_000;

type AnyQueue<Job> = Queue<Job, void, string, Job, void, string, IQueueBackend>;

export class BullQueue<Job> implements JobQueue<Job> {
  readonly #queue: AnyQueue<Job>;
  readonly #store: StoreAccess;
  readonly #kind: JobKind<Job>;

  constructor(store: StoreAccess, kind: JobKind<Job>, log: Log) {
    this.#store = store;
    this.#kind = kind;
    const options = {
      connection: {},
      defaultJobOptions: JOB_OPTIONS,
      streams: { events: { maxLen: KEPT_EVENTS } },
    };
    this.#queue = new Queue(kind.name, options, (_name, opts) => store.backend(opts));
    logErrors(this.#queue, log);
  }

  async wake(job: Job): Promise<void> {
    const { dataOf, idOf } = this.#kind;
    await answered(this.#queue.add(JOB_NAME, dataOf(job), { jobId: idOf(job) }));
  }

  async wakeAll(jobs: readonly Job[]): Promise<void> {
    const [first] = jobs;
    if (first === undefined) return;
    // BullMQ on Postgres creates temporary tables for a bulk: too much for one job.
    if (jobs.length === 1) return this.wake(first);
    const { dataOf, idOf } = this.#kind;
    const bulk = jobs.map((job) => ({ name: JOB_NAME, data: dataOf(job), opts: { jobId: idOf(job) } }));
    await answered(this.#queue.addBulk(bulk));
  }

  async states(jobs: readonly Job[]): Promise<JobState[]> {
    if (jobs.length === 0) return [];
    return answered(this.#store.states(jobs.map(this.#kind.idOf)));
  }

  close(): Promise<void> {
    return this.#store.closeWith(() => this.#queue.close());
  }
}

/**
 * Modes: taking, then paused (for good). In the second a job that BullMQ still hands over, because the fetch was under
 * way, goes back to waiting.
 */
export class BullConsumer<Job> implements JobConsumer {
  readonly #worker: PausingWorker;
  readonly #store: StoreAccess;
  readonly #log: Log;
  readonly #kind: JobKind<Job>;
  readonly #look: (job: Job) => Promise<void>;
  readonly #inHand = new Set<Promise<void>>();
  #paused = false;

  constructor(store: StoreAccess, options: ConsumerOptions<Job>, consume: Consuming<Job>) {
    this.#store = store;
    this.#log = options.log;
    this.#kind = options.kind;
    this.#look = consume.look;
    const lockDuration = options.lockMs ?? LOCK_MS;
    this.#worker = new PausingWorker(
      options.kind.name,
      (job, token) => this.#process(job, token),
      {
        connection: {},
        concurrency: consume.concurrency,
        lockDuration,
        stalledInterval: lockDuration,
        maxStalledCount: ANY_NUMBER_OF_STALLS,
        drainDelay: IDLE_POLL_SECONDS,
        runRetryDelay: RETRY_MS,
      },
      (_name, opts) => store.backend(opts),
    );
    logErrors(this.#worker, options.log);
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#worker.pause(true);
    while (this.#inHand.size > 0) await Promise.all(this.#inHand);
  }

  async close(): Promise<void> {
    await this.pause();
    await this.#store.closeWith(() => this.#worker.close());
  }

  async #process(job: BullJob, token: string | undefined): Promise<void> {
    if (this.#paused) {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    const parsed = this.#kind.schema.safeParse(job.data);
    if (!parsed.success) {
      this.#log.warn(
        { jobId: job.id, error: z.prettifyError(parsed.error) },
        `dropped a job that names no ${this.#kind.what}`,
      );
      return;
    }
    await this.#lookAt(parsed.data);
  }

  async #lookAt(job: Job): Promise<void> {
    const looking = this.#look(job);
    const settled = looking.catch((error: unknown) =>
      this.#log.error({ ...job, error }, `looking at a ${this.#kind.what} threw, which it must not`),
    );
    this.#inHand.add(settled);
    await settled;
    this.#inHand.delete(settled);
  }
}

/** A fetch that fails is tried again by BullMQ without a pause, thousands of times a second: here is the pause. */
class PausingWorker extends Worker<unknown, void, string, IQueueBackend> {
  protected override async moveToActive(
    token: string,
    name?: string,
  ): Promise<BullJob<unknown, void, string>> {
    try {
      return await super.moveToActive(token, name);
    } catch (error) {
      await delay(RETRY_MS);
      throw error;
    }
  }
}

interface ConsumerOptions<Job> extends QueueBackendOptions {
  readonly kind: JobKind<Job>;
}

/** The result, or an error when the store does not answer in time (what was asked may still happen: it does no harm). */
async function answered<T>(asked: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the queue did not answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

function logErrors(
  emitter: { on(event: 'error', listener: (error: Error) => void): unknown },
  log: Log,
): void {
  const warn = atMostEvery(REPEAT_LOG_MS, log);
  emitter.on('error', (error) => warn({ error: messageOf(error) }, 'queue trouble'));
}
