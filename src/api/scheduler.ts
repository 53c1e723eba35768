/**
 * What is due of schedules, handed in. It stands where tasks are handed in: an API alone knows the agents, rules and models that
 * `POST /v1/tasks` would give one. Every API looks, there is no leader; a task and the next due time are one commit (`fire_schedule`),
 * so that whoever is second, or comes back to life, does nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import type { ScheduleDisabled } from '../core/schedule.ts';
import {
  type Due,
  type DueSchedule,
  dueSchedules,
  type FireOutcome,
  fireSchedule,
  passSchedule,
} from '../store/schedules.ts';
import type { ApiDeps } from './deps.ts';
import { type ApiProblem, internal, knownProblem } from './problem.ts';
import { nextDue } from './schedule-times.ts';
import { committed, readyTask } from './submit-task.ts';
import type { ScheduledTask } from './wire-schedules.ts';

export interface SchedulerTiming {
  /** Between two looks, about. */
  readonly everyMs: number;
  /** How long one is left alone that failed for no fault of its own. */
  readonly restMs: number;
  /** How often one is tried that fails for a fault of this program. */
  readonly tries: number;
  /** Those of one look. */
  readonly batch: number;
}

export const DEFAULT_SCHEDULER: SchedulerTiming = { everyMs: 1_000, restMs: 30_000, tries: 5, batch: 100 };

/** A due time of a schedule that made nothing. */
interface Failed extends Due {
  /** Until when it is left alone, by the monotonic clock. */
  readonly until: number;
  /** Those that failed for a fault of this program. */
  readonly tries: number;
}

export class Scheduler {
  readonly #deps: ApiDeps;
  readonly #timing: SchedulerTiming;
  readonly #closing = new AbortController();
  readonly #failed = new Map<string, Failed>();
  #running: Promise<void> | undefined;

  constructor(deps: ApiDeps, timing: Partial<SchedulerTiming> = {}) {
    this.#deps = deps;
    this.#timing = { ...DEFAULT_SCHEDULER, ...timing };
  }

  start(): void {
    this.#running ??= this.#loop();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #loop(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.sweep().catch((error: unknown) =>
        this.#deps.log.warn(
          { error: messageOf(error) },
          'could not look for schedules; the next look tries again',
        ),
      );
      // Spread over time, so that many APIs do not ask at the same moment.
      await delay(this.#timing.everyMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {});
    }
  }

  /** One look: each that is due is due again afterwards, but for those that failed for no fault of their own. */
  async sweep(): Promise<void> {
    const now = performance.now();
    const resting = [...this.#failed.values()].filter(({ until }) => until > now).map(({ id }) => id);
    const due = await dueSchedules(this.#deps.db, this.#timing.batch, resting);
    const known = new Set([...resting, ...due.map(({ id }) => id)]);
    for (const id of this.#failed.keys()) if (!known.has(id)) this.#failed.delete(id);
    for (const each of due) {
      if (this.#closing.signal.aborted) return;
      await fire(this.#deps, each).catch((error: unknown) => this.#fail(each, error));
    }
  }

  /** It stays due, and is tried again. What fails by a bug would for ever: it is passed over in the end, so that its owner sees why. */
  async #fail(due: DueSchedule, error: unknown): Promise<void> {
    const { id, dueAt, revision } = due;
    const before = this.#failed.get(id);
    const isSame = before?.revision === revision && before.dueAt.getTime() === dueAt.getTime();
    const tries = (isSame ? before.tries : 0) + (knownProblem(error) === undefined ? 1 : 0);
    const until = performance.now() + this.#timing.restMs;
    this.#failed.set(id, { id, dueAt, revision, until, tries });
    if (tries < this.#timing.tries) {
      const fields = { scheduleId: id, tries, error: messageOf(error) };
      return this.#deps.log.warn(fields, 'a schedule made no task; it stays due');
    }
    this.#deps.log.error({ scheduleId: id, tries, error }, 'a schedule made no task, and is passed over');
    await passBroken(this.#deps, due).catch((failure: unknown) =>
      this.#deps.log.warn(
        { scheduleId: id, error: messageOf(failure) },
        'a schedule could not be passed over',
      ),
    );
  }
}

/** Where the bug is in when it is due next, it is disabled. */
async function passBroken({ db }: ApiDeps, due: DueSchedule): Promise<void> {
  const next = nextOrNever(due);
  const { code, message } = internal(due.id);
  await passSchedule(db, due, next, { code, message, ...(next === null && { disables: 'never_due' }) });
}

function nextOrNever(due: DueSchedule): Date | null {
  try {
    return nextDue(due, due.now, due.dueAt);
  } catch {
    return null;
  }
}

/** Throws what is no fault of the schedule: then it stays due. */
async function fire(deps: ApiDeps, due: DueSchedule): Promise<void> {
  const next = nextDue(due, due.now, due.dueAt);
  if (next === null) throw new Error('it is never due again');
  const body = due.task as ScheduledTask;
  try {
    told(deps, due, await fireSchedule(deps.db, due, next, await readyTask(deps, due.teamId, { body })));
  } catch (error) {
    const problem = knownProblem(error);
    if (problem === undefined || problem.status >= 500) throw error;
    const { code, message } = problem;
    const disables = disabledBy(problem);
    await passSchedule(deps.db, due, next, { code, message, ...(disables && { disables }) });
    deps.log.warn({ scheduleId: due.id, code, disables }, 'a schedule made no task');
  }
}

/** Throws `ApiProblem` where its session takes no task. */
function told(deps: ApiDeps, { id: scheduleId, task }: DueSchedule, fired: FireOutcome): void {
  switch (fired.outcome) {
    case 'moved_on':
      break;
    case 'skipped':
      deps.log.info({ scheduleId }, 'a schedule made no task: others of it have not ended');
      break;
    case 'revoked':
      deps.log.warn({ scheduleId }, 'a schedule was disabled: its key is not good any more');
      break;
    default:
      committed(deps, fired, task as ScheduledTask);
  }
}

function disabledBy({ code, field }: ApiProblem): ScheduleDisabled | undefined {
  const isOfSession = field === 'sessionId' || code === 'session_shared';
  return isOfSession ? 'session' : undefined;
}
