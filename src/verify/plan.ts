/**
 * What a seed means: which faults come when and to whom, and what the load is. Pure, so that a seed that failed can be run
 * again; how the processes happen to interleave is all that differs.
 */
import { type Random, seeded, seedOf } from './random.ts';

export type Backend = 'postgres' | 'redis';

export const APIS = ['api-1', 'api-2'] as const;
export const WORKERS = ['worker-1', 'worker-2', 'worker-3'] as const;
export type SlotName = (typeof APIS)[number] | (typeof WORKERS)[number];
export const SLOTS: readonly SlotName[] = [...APIS, ...WORKERS];

/** Where a process's connections lead. */
export type Line = 'postgres' | 'redis';

export type Fault =
  /** SIGKILL. The process is started again `downMs` later. */
  | { readonly kind: 'kill'; readonly slot: SlotName; readonly downMs: number }
  /** SIGTERM, as a deploy does it; started again when it has ended. */
  | { readonly kind: 'replace'; readonly slot: SlotName }
  /** SIGSTOP, and SIGCONT `ms` later. */
  | { readonly kind: 'stop'; readonly slot: SlotName; readonly ms: number }
  /** All connections of the process to there break; new ones are taken. */
  | { readonly kind: 'cut'; readonly slot: SlotName; readonly line: Line }
  /** Nothing passes for `ms`, and then everything that waited. */
  | { readonly kind: 'stall'; readonly slot: SlotName; readonly line: Line; readonly ms: number }
  /** `crash`: an immediate shutdown, so that Postgres has to recover. */
  | { readonly kind: 'restart_postgres'; readonly crash: boolean }
  | { readonly kind: 'restart_redis' }
  /** Every job is gone (FLUSHALL, or as much on Postgres), again and again for `ms`: a queue is mostly empty. */
  | { readonly kind: 'lose_jobs'; readonly ms: number }
  /** `copies` more jobs for each of some unfinished turns. */
  | { readonly kind: 'double_jobs'; readonly turns: number; readonly copies: number }
  /** Jobs for turns of now, added `ms` later, when most of them have ended. */
  | { readonly kind: 'delay_jobs'; readonly turns: number; readonly ms: number };

export interface TimedFault {
  /** Milliseconds from the beginning. */
  readonly at: number;
  readonly fault: Fault;
}

export interface TaskPlan {
  /** Draws what the model answers. */
  readonly seed: number;
  /** The last of them is an answer in words. */
  readonly turns: number;
  readonly mode: 'auto' | 'safe';
  /** From the task's submission. */
  readonly cancelAfterMs?: number;
  /** Whether it waits for the session's task before it, or is put behind it at once. */
  readonly afterPrevious: boolean;
  /** The same request twice at the same time, to both APIs. */
  readonly sentTwice: boolean;
  /** Fewer turns than it needs: it ends `failed`, `limit_turns`. */
  readonly turnLimit?: number;
}

export interface SessionPlan {
  readonly number: number;
  /** Milliseconds from the beginning. */
  readonly at: number;
  readonly tailed: boolean;
  readonly tasks: readonly TaskPlan[];
}

export interface Plan {
  readonly durationMs: number;
  readonly faults: readonly TimedFault[];
  readonly sessions: readonly SessionPlan[];
}

export interface PlanOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly backend: Backend;
  readonly sessions: number;
  /** What belongs to somebody else is not restarted. */
  readonly ownPostgres: boolean;
  readonly ownRedis: boolean;
}

export const SESSIONS_PER_MINUTE = 40;

/** Longer than `DEFAULT_LEASE`: whoever was away for so long has lost its turns. */
const PAST_LEASE_MS = [11_000, 15_000] as const;
/** Before the first fault and after the last. */
const CALM_MS = 2_000;
const FAULT_EVERY_MS = [1_200, 4_500] as const;
/** The share of the time in which sessions begin. */
const BEGIN_SHARE = 0.85;
const LARGEST_OFFSET_MS = 10 * 60_000;

export function makePlan(options: PlanOptions): Plan {
  const durationMs = options.minutes * 60_000;
  return {
    durationMs,
    faults: planFaults(options, durationMs),
    sessions: planSessions(options, durationMs),
  };
}

/** How far the clock of a process is off, another in each incarnation. */
export function clockOffsetMs(seed: number, slot: SlotName, incarnation: number): number {
  const random = seeded(seedOf(seed, `clock ${slot} ${incarnation}`));
  return random.chance(1 / 3) ? 0 : random.between(-LARGEST_OFFSET_MS, LARGEST_OFFSET_MS);
}

type Draw = (random: Random) => Fault;

/** Every kind comes once before any comes twice: a minute sees most of them. */
function planFaults(options: PlanOptions, durationMs: number): TimedFault[] {
  const random = seeded(seedOf(options.seed, 'faults'));
  const kinds = faultKinds(options);
  const faults: TimedFault[] = [];
  let deck: Draw[] = [];
  let at = CALM_MS;
  while (at < durationMs - CALM_MS) {
    if (deck.length === 0) deck = random.shuffled(kinds);
    const draw = deck.pop();
    if (draw !== undefined) faults.push({ at, fault: draw(random) });
    at += random.between(...FAULT_EVERY_MS);
  }
  return faults;
}

function faultKinds({ backend, ownPostgres, ownRedis }: PlanOptions): Draw[] {
  const kill = (slots: readonly SlotName[]): Draw => {
    return (random) => ({ kind: 'kill', slot: random.pick(slots), downMs: random.between(0, 2_000) });
  };
  const stop = (slots: readonly SlotName[], ms: readonly [number, number]): Draw => {
    return (random) => ({ kind: 'stop', slot: random.pick(slots), ms: random.between(...ms) });
  };
  const cut = (line: Line): Draw => {
    return (random) => ({ kind: 'cut', slot: random.pick(SLOTS), line });
  };
  const stall = (line: Line, slots: readonly SlotName[], ms: readonly [number, number]): Draw => {
    return (random) => ({ kind: 'stall', slot: random.pick(slots), line, ms: random.between(...ms) });
  };
  return [
    ...[kill(WORKERS), kill(WORKERS), kill(WORKERS), kill(APIS)],
    ...[stop(WORKERS, PAST_LEASE_MS), stop(WORKERS, [500, 9_000]), stop(APIS, [500, 8_000])],
    ...[cut('postgres'), cut('postgres')],
    ...[stall('postgres', WORKERS, PAST_LEASE_MS), stall('postgres', SLOTS, [200, 9_000])],
    (random) => ({ kind: 'replace', slot: random.pick(SLOTS) }),
    (random) => ({ kind: 'double_jobs', turns: random.between(5, 20), copies: random.between(1, 3) }),
    (random) => ({ kind: 'delay_jobs', turns: random.between(5, 20), ms: random.between(500, 6_000) }),
    (random) => ({ kind: 'lose_jobs', ms: random.between(500, 2_000) }),
    ...(ownPostgres
      ? [(random: Random): Fault => ({ kind: 'restart_postgres', crash: random.chance(0.5) })]
      : []),
    ...(backend === 'redis' ? [cut('redis'), stall('redis', SLOTS, [200, 12_000])] : []),
    ...(backend === 'redis' && ownRedis ? [(): Fault => ({ kind: 'restart_redis' })] : []),
  ];
}

function planSessions({ seed, sessions }: PlanOptions, durationMs: number): SessionPlan[] {
  return Array.from({ length: sessions }, (_, number) => {
    const random = seeded(seedOf(seed, `session ${number}`));
    return {
      number,
      at: Math.round((durationMs * BEGIN_SHARE * (number + random.next())) / sessions),
      tailed: random.chance(0.4),
      tasks: Array.from({ length: random.between(1, 3) }, () => planTask(random)),
    };
  });
}

function planTask(random: Random): TaskPlan {
  const turns = random.between(2, 6);
  return {
    seed: random.between(0, 2 ** 31),
    turns,
    mode: random.chance(0.2) ? 'safe' : 'auto',
    ...(random.chance(0.1) ? { cancelAfterMs: random.between(0, 6_000) } : {}),
    afterPrevious: random.chance(0.5),
    sentTwice: random.chance(0.2),
    ...(random.chance(0.05) ? { turnLimit: turns - 1 } : {}),
  };
}
