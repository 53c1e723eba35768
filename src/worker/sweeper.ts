/**
 * What no event announces, found by asking Postgres: workers that died, turns that came due, jobs that were lost, tasks past
 * their deadline. Every worker sweeps; there is no leader. Each repair is a guarded transition, so that two sweepers at the
 * same row do no harm.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { newId } from '../clock.ts';
import { messageOf } from '../core/errors.ts';
import { TAKEOVER_BACKOFF_MS } from '../core/retry.ts';
import type { Held, Wake } from '../store/turns.ts';
import {
  admitTurns,
  attemptStates,
  endWorker,
  expiredTasks,
  expireTask,
  liveWorkers,
  lostAttempts,
  queuedTurns,
  rewakeTurn,
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
  readonly #closing = new AbortController();
  #hint = new AbortController();
  #running: Promise<void> | undefined;

  constructor(shell: Shell, timing: SweepTiming & Pick<LeaseTiming, 'leaseMs'>) {
    this.#shell = shell;
    this.#timing = timing;
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  /** Sweeps when `ms` have passed, if that is sooner than the next time. */
  hint(ms: number): void {
    setTimeout(() => this.#hint.abort(), ms).unref();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.sweep();
      const signal = AbortSignal.any([this.#closing.signal, this.#hint.signal]);
      // Spread over time, so that many workers do not ask at the same moment.
      const pause = this.#timing.everyMs * (0.75 + Math.random() / 2);
      await delay(pause, undefined, { signal }).catch(() => {});
      if (this.#hint.signal.aborted) this.#hint = new AbortController();
    }
  }

  /** One look at everything. A step that fails is logged and does not keep the others from their work. */
  async sweep(): Promise<void> {
    await this.#step('own attempts', () => this.#checkOwn());
    await this.#step('dead workers', () => this.#findDeadWorkers());
    await this.#step('lost attempts', () => this.#takeOver());
    await this.#step('due turns', async () =>
      this.#wakeAll(await admitTurns(this.#shell.db, this.#timing.batch)),
    );
    await this.#step('lost jobs', () => this.#findLostJobs());
    await this.#step('deadlines', () => this.#expire());
  }

  async #step(what: string, act: () => Promise<void>): Promise<void> {
    if (this.#closing.signal.aborted) return;
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
    for (const { attemptId, cancelRequested, held } of await attemptStates(db, [...byAttempt.keys()])) {
      if (!held) byAttempt.get(attemptId)?.stop('lost');
      else if (cancelRequested) byAttempt.get(attemptId)?.stop('cancel');
    }
  }

  async #findDeadWorkers(): Promise<void> {
    const { db, log } = this.#shell;
    const { leaseMs, suspectMs: graceMs } = this.#timing;
    for (const worker of await liveWorkers(db, this.#shell.workerId())) {
      if (isGone(worker)) {
        log.warn({ workerId: worker.id, pid: worker.pid }, 'a worker of this host is gone');
        await endWorker(db, worker.id);
      } else {
        await suspectWorker(db, worker.id, { leaseMs, graceMs });
      }
    }
  }

  async #takeOver(): Promise<void> {
    const { db, abandoned } = this.#shell;
    for (const held of abandoned) if (await this.#takeOverOne(held, true)) abandoned.delete(held);
    const lost = await lostAttempts(db, this.#timing.leaseMs, this.#timing.batch);
    for (const held of lost) await this.#takeOverOne(held, false);
  }

  /** False: somebody is at this turn right now. */
  async #takeOverOne(held: Held, own: boolean): Promise<boolean> {
    const take = { backoffMs: TAKEOVER_BACKOFF_MS, nextTurnId: newId(), own };
    const outcome = await takeOverTurn(this.#shell.db, held, take);
    if (outcome.outcome === 'skipped') return own && !(await this.#isHeld(held));
    this.#shell.log.warn({ ...held }, own ? 'gave up a turn' : 'took over a turn whose worker was lost');
    await announce(this.#shell, outcome.rootId, outcome);
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

  async #expire(): Promise<void> {
    for (const taskId of await expiredTasks(this.#shell.db, this.#timing.batch)) {
      const outcome = await expireTask(this.#shell.db, taskId, newId());
      if (outcome.outcome === 'ended') await announce(this.#shell, outcome.rootId, outcome);
    }
  }
}
