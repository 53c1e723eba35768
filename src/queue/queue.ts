/**
 * BullMQ, seen as "look at turn X". A job carries ids only and holds no truth: lost, late or doubled, it does no harm.
 */
export interface TurnQueue {
  /**
   * Asks some worker to look at a turn. The job id is turn id and wake number: adding the same wake twice while the job
   * is known is a no-op.
   */
  wake(job: TurnJob): Promise<void>;
  wakeAll(jobs: readonly TurnJob[]): Promise<void>;
  /** What the queue knows of each of these wakes, in their order. */
  states(jobs: readonly TurnJob[]): Promise<JobState[]>;
  close(): Promise<void>;
}

export interface TurnJob {
  readonly turnId: string;
  readonly wake: number;
}

/** `missing` covers finished: finished jobs are removed. */
export type JobState = 'waiting' | 'active' | 'missing';

/** Takes jobs and hands them to `look`, at most `concurrency` at a time. */
export interface TurnConsumer {
  /** Takes no more jobs; resolves when those in hand have returned. */
  pause(): Promise<void>;
  close(): Promise<void>;
}

export interface QueueBackend {
  readonly kind: 'postgres' | 'redis';
  queue(): TurnQueue;
  /** `look` never throws; what it decides is in Postgres. */
  consume(options: { concurrency: number; look: (job: TurnJob) => Promise<void> }): TurnConsumer;
  /** Closes what the backend shares (pools, connections); queues and consumers must be closed before. */
  close(): Promise<void>;
}
