/**
 * The shell around `core/turn.ts`: claims a turn, then performs what `next` says until the turn has ended or is somebody
 * else's. Every step reads the same log that a worker after a crash would read.
 */
import { newId } from '../clock.ts';
import type { Entry } from '../core/entry.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { next, type Step } from '../core/turn.ts';
import type { TurnJob } from '../queue/queue.ts';
import { DatabaseUnavailable } from '../store/database.ts';
import { readCalls } from '../store/session-log.ts';
import { type ClaimedTurn, claimTurn, type Held } from '../store/turns.ts';
import { takeOverTurn } from '../store/workers.ts';
import { RESERVED_OUTPUT } from './accounts.ts';
import { callModel } from './call-model.ts';
import { compact } from './compact.ts';
import { contextLimits } from './context-limits.ts';
import { delegate } from './delegate.ts';
import { finish, handBack, park, settle, tryAgain } from './end-turn.ts';
import type { Told } from './log-cache.ts';
import { bringTools, ownTools } from './mcp-tools.ts';
import { provision } from './provision.ts';
import { retryFor } from './retry-for.ts';
import { Run } from './run.ts';
import { reportCalls, runTools } from './run-tools.ts';
import { afterLoss } from './session-files.ts';
import { announce, idsOf, type Shell } from './shell.ts';
import { turnSpan } from './spans.ts';
import { takeChild } from './take-child.ts';

/** Whether the run goes on, or this attempt is over. */
export type Progress = 'go_on' | 'ended';

const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** Only a worker that stops waits no longer for Postgres (`patient` in worker.ts). It gives up nothing: it cannot. */
const STOPPED_WITHOUT_POSTGRES =
  'stopped while Postgres was away: the turn goes on once the lease has run out';

/**
 * Looks at a turn, and at those after it while commands in the background keep the session at this worker. Never throws: what it
 * decides is in Postgres.
 */
export async function runTurn(shell: Shell, job: TurnJob): Promise<void> {
  let next: TurnJob | undefined = job;
  while (next !== undefined) next = await lookAt(shell, next);
}

async function lookAt(shell: Shell, job: TurnJob): Promise<TurnJob | undefined> {
  const held = { turnId: job.turnId, attemptId: newId() };
  let ids: Partial<ReturnType<typeof idsOf>> = held;
  try {
    const unbroken = shell.unbroken();
    const known = shell.logs.known(job.turnId);
    const claim = await claimTurn(shell.db, {
      ...held,
      workerId: shell.workerId(),
      reserve: RESERVED_OUTPUT,
      nextTurnId: newId(),
      ...{ known, leaseMs: shell.leaseMs },
    });
    if (claim.outcome === 'ended' || claim.outcome === 'parked') await announce(shell, claim.rootId, claim);
    if (claim.outcome === 'pinned') pointTo(shell, claim, job);
    if (claim.outcome !== 'claimed' && claim.outcome !== 'repeated') return undefined;
    ids = idsOf(claim.turn);
    await announce(shell, claim.turn.rootId, { seq: claim.seq });
    return await runClaimed(shell, { turn: claim.turn, told: toldOf(claim.entries, known), unbroken });
  } catch (error) {
    if (error instanceof DatabaseUnavailable) {
      shell.log.warn(ids, STOPPED_WITHOUT_POSTGRES);
      return undefined;
    }
    shell.log.error(
      { ...ids, error: messageOf(error), stack: stackOf(error) },
      'a turn failed in the worker itself',
    );
    await giveUp(shell, held);
    return undefined;
  }
}

/** The turn is another worker's, who runs commands of its session. Should it not hear, the sweeper wakes the turn again. */
function pointTo(
  shell: Shell,
  { workerId, rootId }: { readonly workerId: string; readonly rootId: string },
  { turnId, wake }: TurnJob,
): void {
  shell.bus.publish({ type: 'pinned', rootId, workerId, turnId, wake });
}

function toldOf(entries: readonly Entry[] | null, after: number): Told | undefined {
  return entries === null ? undefined : { after, entries };
}

interface Claimed {
  readonly turn: ClaimedTurn;
  readonly told: Told | undefined;
  readonly unbroken: string;
}

/** The turn that this worker looks at next by itself, if any. */
async function runClaimed(shell: Shell, claimed: Claimed): Promise<TurnJob | undefined> {
  const run = await openRun(shell, claimed);
  run.span = turnSpan(shell, run);
  shell.enter(run);
  const deadline = stopAtDeadline(run);
  try {
    let progress = await provision(shell, run);
    if (progress === 'go_on') await afterLoss(shell, run);
    if (progress === 'go_on') await bringTools(shell, run);
    if (progress === 'go_on') run.context = await contextLimits(shell, run);
    while (progress === 'go_on') progress = await perform(shell, run);
  } catch (error) {
    run.span.fail(error instanceof UserError ? error.code : 'worker_error');
    const retry = run.stopped === undefined ? retryFor(error) : undefined;
    if (retry !== undefined) {
      await tryAgain(shell, run, retry);
      return undefined;
    }
    // What a person can mend (no such directory, no key for the model) ends the task and says so.
    if (!(error instanceof UserError) || error instanceof DatabaseUnavailable) throw error;
    await finish(shell, run, { status: 'failed', code: error.code, message: error.message });
  } finally {
    clearTimeout(deadline);
    if (run.stopped !== undefined) run.span.set({ 'capybara.turn.stopped': run.stopped });
    run.span.end();
    shell.runs.delete(run);
    await shell.background.drop(run.turn);
    await run.close();
  }
  return run.next;
}

async function openRun(shell: Shell, { turn, told, unbroken }: Claimed): Promise<Run> {
  const [profile, entries] = await Promise.all([
    shell.profiles.read(shell.db, turn.profileHash),
    shell.logs.read(shell.db, turn.sessionId, told),
  ]);
  const answer = turn.answerPosition === null ? undefined : entries[turn.answerPosition - 1];
  const calls = answer === undefined ? [] : await readCalls(shell.db, turn.id, answer);
  const background = await shell.background.enter(turn);
  const run = new Run({
    turn,
    unbroken,
    profile,
    entries,
    calls,
    background,
    tools: ownTools(shell, profile),
  });
  if (shell.background.hasFiles(turn)) await run.workspace(shell.openWorkspace);
  if (turn.cancelRequested) run.stop('cancel');
  return run;
}

async function perform(shell: Shell, run: Run): Promise<Progress> {
  const step = next(run.log(), run.limits());
  if (run.stopped === 'lost') return 'ended';
  if (run.isHandedBack && isWork(run, step)) return handBack(shell, run);
  switch (step.do) {
    case 'callModel':
      return callModel(shell, run, step.notice);
    case 'compact':
      return compact(shell, run, step.compaction);
    case 'runTools':
      return runTools(shell, run, step.calls);
    case 'report':
      return reportCalls(run, step.reports);
    case 'delegate':
      return delegate(shell, run, step.calls);
    case 'takeChild':
      return takeChild(shell, run, step.call);
    case 'askApproval':
    case 'waitForChildren':
      return park(shell, run);
    case 'endTurn':
      return settle(shell, run, { kind: 'continue' });
    case 'finish':
      return finish(shell, run, step.end);
  }
}

/**
 * What a worker that stops does not begin any more. What merely closes the turn, it does; and a call whose start is
 * committed it closes as not run, since only this attempt knows that.
 */
function isWork(run: Run, step: Step): boolean {
  if (step.do === 'runTools') return !step.calls.some((call) => run.started.has(call.id));
  return ['callModel', 'compact', 'delegate', 'takeChild'].includes(step.do);
}

function stopAtDeadline(run: Run): NodeJS.Timeout | undefined {
  const { secondsLeft } = run.turn;
  if (secondsLeft === null || secondsLeft * 1000 > LONGEST_TIMER_MS) return undefined;
  return setTimeout(() => run.stop('deadline'), Math.max(0, secondsLeft * 1000));
}

/**
 * Ends the attempt after an error of Capybara's own, as a loss: the turn is tried again with a back-off, and after five
 * tries its task fails instead of taking the fleet with it.
 */
async function giveUp(shell: Shell, held: Held): Promise<void> {
  try {
    const outcome = await takeOverTurn(shell.db, held, {
      backoffMs: shell.takeoverBackoffMs,
      nextTurnId: newId(),
      own: true,
    });
    if (outcome.outcome === 'taken_over') await announce(shell, outcome.rootId, outcome);
    else shell.abandoned.add(held);
  } catch (error) {
    shell.log.warn({ ...held, error: messageOf(error) }, 'could not give up a turn; the sweeper will');
    shell.abandoned.add(held);
  }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}
