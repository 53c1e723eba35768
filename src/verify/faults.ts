/** Does what the plan says, and keeps what was done. After each fault the invariants are looked at. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import type { TurnQueue } from '../queue/queue.ts';
import type { Database } from '../store/database.ts';
import { findBrokenInvariants } from '../store/invariants.ts';
import { loseJobs, unfinishedTurns } from './facts.ts';
import type { Fleet } from './fleet.ts';
import type { Fault, TimedFault } from './plan.ts';
import type { ProofPostgres } from './postgres.ts';
import type { ProofRedis } from './redis.ts';
import type { FaultFact } from './verdict.ts';

export interface FaultsOptions {
  readonly fleet: Fleet;
  readonly postgres: ProofPostgres;
  readonly redis: ProofRedis | undefined;
  readonly db: Database;
  readonly queue: TurnQueue;
  readonly signal: AbortSignal;
  readonly onFault: (what: string) => void;
}

/** For the invariants, where Postgres is away or a connection breaks. */
const LOOK_TRIES = 20;
const LOOK_PAUSE_MS = 250;
const LOSE_AGAIN_MS = 2;
/** Wake numbers that no turn of the proof reaches by itself. */
const FOREIGN_WAKE = 1_000_000;

export class Faults {
  readonly #options: FaultsOptions;
  readonly #stopped = new Set<string>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly done: FaultFact[] = [];
  readonly broken: string[] = [];

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  /** Resolves when all is healed. Rejects when the proof is over before, or the harness itself fails. */
  async run(faults: readonly TimedFault[]): Promise<void> {
    const began = performance.now();
    for (const { at, fault } of faults) {
      await delay(Math.max(0, at - (performance.now() - began)), undefined, { signal: this.#options.signal });
      const at0 = Date.now();
      const healed = this.#begin(fault);
      if (healed === undefined) continue;
      this.#options.onFault(wordsOf(fault));
      const fact = { at: at0, until: at0 + lengthOf(fault), fault, ...this.#pidOf(fault) };
      this.done.push(fact);
      this.#keep(healed);
      this.#keep(this.look(wordsOf(fault)));
    }
    await this.healed();
  }

  async healed(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** Looks at the invariants. */
  async look(after: string): Promise<void> {
    let failure = '';
    for (let attempt = 1; attempt <= LOOK_TRIES && !this.#options.signal.aborted; attempt += 1) {
      try {
        const broken = await findBrokenInvariants(this.#options.db);
        this.broken.push(
          ...broken.map(({ invariant, id, found }) => `after ${after}: ${invariant}: ${id} (${found})`),
        );
        return;
      } catch (error) {
        failure = messageOf(error);
        await delay(LOOK_PAUSE_MS);
      }
    }
    if (!this.#options.signal.aborted) this.broken.push(`after ${after}: nobody could look: ${failure}`);
  }

  #keep(work: Promise<unknown>): void {
    const kept = work.finally(() => this.#underWay.delete(kept));
    this.#underWay.add(kept);
    // Whoever waits for all hears of it.
    kept.catch(() => {});
  }

  /** Resolves when what the fault broke is whole. Undefined: its victim is away already. */
  #begin(fault: Fault): Promise<void> | undefined {
    const { fleet, postgres, redis } = this.#options;
    switch (fault.kind) {
      case 'kill':
        return this.#end(fault.slot, 'SIGKILL', fault.downMs);
      case 'replace':
        return this.#stopped.has(fault.slot) ? undefined : this.#end(fault.slot, 'SIGTERM', 0);
      case 'stop':
        return this.#stop(fault);
      case 'cut':
        return Promise.resolve(fleet.slot(fault.slot).lines[fault.line]?.cut());
      case 'stall':
        return fleet.slot(fault.slot).lines[fault.line]?.stall(fault.ms);
      case 'restart_postgres':
        return postgres.restart?.({ crash: fault.crash });
      case 'restart_redis':
        return redis?.restart?.();
      case 'lose_jobs':
        return this.#lose(fault);
      case 'double_jobs':
        return this.#double(fault);
      case 'delay_jobs':
        return this.#delay(fault);
    }
  }

  #end(slot: FaultSlot, signal: 'SIGKILL' | 'SIGTERM', downMs: number): Promise<void> | undefined {
    const { fleet } = this.#options;
    if (!fleet.slot(slot).isReady) return undefined;
    fleet.end(slot, signal, downMs);
    return Promise.resolve();
  }

  #stop({ slot, ms }: Extract<Fault, { kind: 'stop' }>): Promise<void> | undefined {
    const { child, isReady } = this.#options.fleet.slot(slot);
    if (!isReady || this.#stopped.has(slot)) return undefined;
    this.#stopped.add(slot);
    child.signal('SIGSTOP');
    return this.#pause(ms).then(() => {
      child.signal('SIGCONT');
      this.#stopped.delete(slot);
    });
  }

  async #lose({ ms }: Extract<Fault, { kind: 'lose_jobs' }>): Promise<void> {
    const { redis, db } = this.#options;
    const endAt = performance.now() + ms;
    do {
      await (redis === undefined ? loseJobs(db) : redis.flush());
      await this.#pause(LOSE_AGAIN_MS);
    } while (performance.now() < endAt);
  }

  async #double({ turns, copies }: Extract<Fault, { kind: 'double_jobs' }>): Promise<void> {
    const found = await unfinishedTurns(this.#options.db, turns);
    const jobs = found.flatMap(({ turnId, wake }) =>
      Array.from({ length: copies }, (_, copy) => ({ turnId, wake: FOREIGN_WAKE + wake * 10 + copy })),
    );
    await this.#add(jobs);
  }

  async #delay({ turns, ms }: Extract<Fault, { kind: 'delay_jobs' }>): Promise<void> {
    const jobs = await unfinishedTurns(this.#options.db, turns);
    await this.#pause(ms);
    await this.#add(jobs);
  }

  /** Shorter where the proof is over before. */
  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#options.signal }).catch(() => {});
  }

  /** A queue that is away takes none: then there is that much less to disturb. */
  async #add(jobs: readonly { turnId: string; wake: number }[]): Promise<void> {
    await this.#options.queue.wakeAll(jobs).catch(() => {});
  }

  #pidOf(fault: Fault): { pid?: number } {
    return fault.kind === 'kill' || fault.kind === 'stop'
      ? { pid: this.#options.fleet.slot(fault.slot).child.pid }
      : {};
  }
}

type FaultSlot = Extract<Fault, { kind: 'kill' }>['slot'];

function lengthOf(fault: Fault): number {
  return fault.kind === 'stop' || fault.kind === 'stall' ? fault.ms : 0;
}

export function wordsOf(fault: Fault): string {
  const { kind, ...rest } = fault;
  return [kind.replaceAll('_', ' '), ...Object.values(rest).map(String)].join(' ');
}
