/**
 * What no event announces, found by asking Postgres: workers that died, turns and deliveries that came due, jobs that were lost,
 * tasks past their deadline. Every worker sweeps; there is no leader. Each repair is a guarded transition, so that two sweepers at the
 * same row do no harm.
 */
import { newId } from '../clock.ts';
import { messageOf } from '../core/errors.ts';
import type { Held, Wake } from '../store/turns.ts';
import {
  admitTurns,
  attemptStates,
  endWorker,
  expireApproval,
  expiredTasks,
  expireTask,
  liveWorkers,
  lostAttempts,
  queuedTurns,
  readTurnIds,
  rewakeTurn,
  sessionsPinnedTo,
  suspectWorker,
  takeOverTurn,
} from '../store/workers.ts';
import { isGone } from './identity.ts';
import type { LeaseTiming } from './lease.ts';
import { announce, type Shell } from './shell.ts';

export interface SweepTiming {
  readonly everyMs: number;
  /** A job that nobody claimed for this long is looked for. */
  readonly unclaimedMs: number;
  /** What is left of the lease of a worker whose lock is free. */
  readonly suspectMs: number;
  /** Rows per kind and sweep. */
  readonly batch: number;
}

export const DEFAULT_SWEEP: SweepTiming = { everyMs: 500, unclaimedMs: 1_000, suspectMs: 1_000, batch: 200 };

export class Sweeper {
  readonly #shell: Shell;
  readonly #timing: SweepTiming & Pick<LeaseTiming, 'leaseMs'>;
  readonly #wakers = new Set<() => void>();
  #closed = false;
  /** When a turn is due that this worker knows of, by its monotonic clock: the next one only, the others are swept. */
  #dueAt = Number.POSITIVE_INFINITY;
  #running: Promise<unknown> | undefined;

  constructor(shell: Shell, timing: SweepTiming & Pick<LeaseTiming, 'leaseMs'>) {
    this.#shell = shell;
    this.#timing = timing;
  }

  /** Its own runs are looked at apart from the rest: a cancel must not wait for a queue that does not answer. */
  start(): void {
    this.#running ??= Promise.all([
      this.#loop(
        async () => {
          await this.#step('own attempts', () => this.#checkOwn());
          await this.#step('background commands', () => this.#checkWaiting());
        },
        (time) => time,
      ),
      this.#loop(
        () => this.#sweep(),
        (time) => Math.min(time, this.#dueAt),
      ),
    ]);
  }

  /** Sweeps when `ms` have passed, if that is sooner than the next time. */
  hint(ms: number): void {
    this.#dueAt = Math.min(this.#dueAt, performance.now() + ms);
    for (const wake of this.#wakers) wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const wake of this.#wakers) wake();
    await this.#running;
  }

  /** `sooner`: when to look again, given when it would be. */
  async #loop(look: () => Promise<void>, sooner: (time: number) => number): Promise<void> {
    while (!this.#closed) {
      await look();
      // Spread over time, so that many workers do not ask at the same moment.
      const time = performance.now() + this.#timing.everyMs * (0.75 + Math.random() / 2);
      await this.#pauseUntil(() => sooner(time));
    }
  }

  async #pauseUntil(time: () => number): Promise<void> {
    for (;;) {
      const left = time() - performance.now();
      if (this.#closed || left <= 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakers.add(resolve);
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
      this.#wakers.delete(resolve);
    }
  }

  /** One look at everything. A step that fails is logged and does not keep the others from their work. */
  async #sweep(): Promise<void> {
    if (this.#dueAt <= performance.now()) this.#dueAt = Number.POSITIVE_INFINITY;
    await this.#step('dead workers', () => this.#findDeadWorkers());
    await this.#step('lost attempts', () => this.#takeOver());
    await this.#step('due turns', async () =>
      this.#wakeAll(await admitTurns(this.#shell.db, this.#timing.batch)),
    );
    await this.#step('lost jobs', () => this.#findLostJobs());
    await this.#step('deliveries', () => this.#queueDeliveries());
    await this.#step('deadlines', () => this.#expire());
    await this.#step('unanswered questions', () => this.#expireApprovals());
  }

  async #step(what: string, act: () => Promise<void>): Promise<void> {
    if (this.#closed) return;
    try {
      await act();
    } catch (error) {
      this.#shell.log.warn({ what, error: messageOf(error) }, 'a sweep failed; the next one tries again');
    }
  }

  /** Cancel marks and lost turns, where the bus did not say so. */
  async #checkOwn(): Promise<void> {
    const { db, runs } = this.#shell;
    if (runs.size === 0) return;
    const byAttempt = new Map([...runs].map((run) => [run.held.attemptId, run]));
    for (const { attemptId, cancelRequested, isPaused, held } of await attemptStates(db, [
      ...byAttempt.keys(),
    ])) {
      if (!held) byAttempt.get(attemptId)?.stop('lost');
      else if (cancelRequested) byAttempt.get(attemptId)?.stop('cancel');
      else if (isPaused) byAttempt.get(attemptId)?.stop('pause');
    }
  }

  /** Sessions that wait here with their background commands, and whose task has ended meanwhile, or that a peer has taken. */
  async #checkWaiting(): Promise<void> {
    const { background, db } = this.#shell;
    const { waiting } = background;
    if (waiting.size === 0) return;
    const pinned = new Set(await sessionsPinnedTo(db, this.#shell.workerId()));
    for (const [sessionId, session] of waiting)
      if (!pinned.has(sessionId)) await background.forget(sessionId, session);
  }

  async #findDeadWorkers(): Promise<void> {
    const { db, log } = this.#shell;
    const { leaseMs, suspectMs: graceMs } = this.#timing;
    for (const worker of await liveWorkers(db, this.#shell.workerId())) {
      if (isGone(worker)) {
        log.warn({ workerId: worker.id, pid: worker.pid }, 'a worker of this host is gone');
        await endWorker(db, worker.id);
      } else if (this.#isWitness()) {
        await suspectWorker(db, worker.id, { leaseMs, graceMs });
      }
    }
  }

  async #takeOver(): Promise<void> {
    const { db, abandoned } = this.#shell;
    for (const held of abandoned) if (await this.#takeOverOne(held, true)) abandoned.delete(held);
    const { leaseMs, batch } = this.#timing;
    const lost = await lostAttempts(db, { leaseMs, expired: this.#isWitness() }, batch);
    for (const held of lost) await this.#takeOverOne(held, false);
  }

  /**
   * Whether it can tell a worker that is lost from one that was cut off from Postgres together with this one: those have one
   * lease's time to come back.
   */
  #isWitness(): boolean {
    return this.#shell.steadyMs() >= this.#timing.leaseMs;
  }

  /** False: somebody is at this turn right now. */
  async #takeOverOne(held: Held, own: boolean): Promise<boolean> {
    const take = { backoffMs: this.#shell.takeoverBackoffMs, nextTurnId: newId(), own };
    const outcome = await takeOverTurn(this.#shell.db, held, take);
    if (outcome.outcome === 'skipped') return own && !(await this.#isHeld(held));
    await announce(this.#shell, outcome.rootId, outcome);
    const whose = await readTurnIds(this.#shell.db, held.turnId);
    this.#shell.log.warn(
      { ...whose, ...held },
      own ? 'gave up a turn' : 'took over a turn whose worker was lost',
    );
    return true;
  }

  async #isHeld(held: Held): Promise<boolean> {
    return (await attemptStates(this.#shell.db, [held.attemptId])).some((state) => state.held);
  }

  async #wakeAll(wakes: readonly Wake[]): Promise<void> {
    if (wakes.length > 0) await this.#shell.queue.wakeAll(wakes);
  }

  /**
   * A queued turn's job waits in the queue, or is about to be claimed. One that is missing, or was taken by a worker that
   * did not claim the turn, is replaced under the next wake number.
   */
  async #findLostJobs(): Promise<void> {
    const { db, queue } = this.#shell;
    const turns = await queuedTurns(db, this.#timing.unclaimedMs, this.#timing.batch);
    if (turns.length === 0) return;
    const states = await queue.states(turns);
    const stuck = turns.filter((_, index) => states[index] !== 'waiting');
    const wakes = await Promise.all(
      stuck.map(async (turn) => ({ ...turn, wake: await rewakeTurn(db, turn) })),
    );
    await this.#wakeAll(wakes.filter((turn): turn is Wake => turn.wake !== null));
  }

  async #queueDeliveries(): Promise<void> {
    const { unclaimedMs: ageMs, batch: limit } = this.#timing;
    await this.#shell.deliverer.sweep(this.#shell.db, { ageMs, limit });
  }

  async #expireApprovals(): Promise<void> {
    for (let left = this.#timing.batch; left > 0; left -= 1) {
      const expired = await expireApproval(this.#shell.db);
      if (expired === undefined) return;
      await announce(this.#shell, expired.rootId, expired);
    }
  }

  async #expire(): Promise<void> {
    for (const taskId of await expiredTasks(this.#shell.db, this.#timing.batch)) {
      const outcome = await expireTask(this.#shell.db, taskId, newId());
      if (outcome.outcome === 'ended') await announce(this.#shell, outcome.rootId, outcome);
    }
  }
}
