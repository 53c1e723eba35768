/**
 * BullMQ, seen as "look at turn X", and "look at delivery Y". A job carries ids only and holds no truth: lost, late or doubled, it
 * does no harm.
 */
export interface JobQueue<Job> {
  /**
   * Asks some worker to look at what the job names. The job id is its id and wake number: adding the same wake twice while the
   * job is known is a no-op.
   */
  wake(job: Job): Promise<void>;
  wakeAll(jobs: readonly Job[]): Promise<void>;
  /** What the queue knows of each of these wakes, in their order. */
  states(jobs: readonly Job[]): Promise<JobState[]>;
  close(): Promise<void>;
}

export interface TurnJob {
  readonly turnId: string;
  readonly wake: number;
}

export interface DeliveryJob {
  readonly deliveryId: string;
  readonly wake: number;
}

export type TurnQueue = JobQueue<TurnJob>;
export type DeliveryQueue = JobQueue<DeliveryJob>;

/** `missing` covers finished: finished jobs are removed. */
export type JobState = 'waiting' | 'active' | 'missing';

/** Takes jobs and hands them to `look`, at most `concurrency` at a time. */
export interface JobConsumer {
  /** Takes no more jobs; resolves when those in hand have returned. */
  pause(): Promise<void>;
  close(): Promise<void>;
}

/** `look` never throws; what it decides is in Postgres. */
export interface Consuming<Job> {
  readonly concurrency: number;
  readonly look: (job: Job) => Promise<void>;
}

/** One of the queues there are. */
export interface Lane<Job> {
  queue(): JobQueue<Job>;
  consume(consuming: Consuming<Job>): JobConsumer;
}

/** The lane of turns, and that of deliveries beside it. */
export interface QueueBackend extends Lane<TurnJob> {
  readonly kind: 'postgres' | 'redis';
  readonly deliveries: Lane<DeliveryJob>;
  /** Closes what the backend shares (pools, connections); queues and consumers must be closed before. */
  close(): Promise<void>;
}
