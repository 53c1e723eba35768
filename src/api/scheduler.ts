/**
 * What is due of schedules, handed in. It stands where tasks are handed in: an API alone knows the agents, rules and models that
 * `POST /v1/tasks` would give one. Every API looks, there is no leader; a task and the next due time are one commit (`fire_schedule`),
 * so that whoever is second, or comes back to life, does nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../core/errors.ts';
import type { ScheduleDisabled } from '../core/schedule.ts';
import {
  type DueSchedule,
  dueSchedules,
  type FireOutcome,
  fireSchedule,
  passSchedule,
} from '../store/schedules.ts';
import type { ApiDeps } from './deps.ts';
import { type ApiProblem, knownProblem } from './problem.ts';
import { nextDue } from './schedule-times.ts';
import { committed, readyTask } from './submit-task.ts';
import type { ScheduledTask } from './wire-schedules.ts';

export interface SchedulerTiming {
  /** Between two looks, about. */
  readonly everyMs: number;
  /** How long one is left alone that failed for no fault of its own. */
  readonly restMs: number;
  /** Those of one look. */
  readonly batch: number;
}

export const DEFAULT_SCHEDULER: SchedulerTiming = { everyMs: 1_000, restMs: 30_000, batch: 100 };

export class Scheduler {
  readonly #deps: ApiDeps;
  readonly #timing: SchedulerTiming;
  readonly #closing = new AbortController();
  /** Until when, by the monotonic clock. */
  readonly #resting = new Map<string, number>();
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
    for (const [id, until] of this.#resting) if (until <= now) this.#resting.delete(id);
    const due = await dueSchedules(this.#deps.db, this.#timing.batch, [...this.#resting.keys()]);
    for (const each of due) {
      if (this.#closing.signal.aborted) return;
      await fire(this.#deps, each).catch((error: unknown) => this.#rest(each, error));
    }
  }

  #rest({ id }: DueSchedule, error: unknown): void {
    this.#resting.set(id, performance.now() + this.#timing.restMs);
    this.#deps.log.warn({ scheduleId: id, error: messageOf(error) }, 'a schedule made no task; it stays due');
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
