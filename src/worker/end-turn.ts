/** The ways an attempt ends: each one transition, then the announcement of what it committed. */
import { newId } from '../clock.ts';
import type { Failure } from '../core/errors.ts';
import { type RetryPolicy, retryDelay } from '../core/retry.ts';
import type { FailedRequest } from '../model/model.ts';
import { readCalls, readStanding } from '../store/session-log.ts';
import {
  type FinishedTask,
  handBackTurn,
  parkTurn,
  type Retry,
  recordResults,
  retryTurn,
  settleTurn,
  type TurnEnd,
} from '../store/turns.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import { announce, type Shell } from './shell.ts';

export async function settle(shell: Shell, run: Run, end: TurnEnd): Promise<Progress> {
  await run.leaveWorkspace();
  const results = run.takePending();
  const outcome = await settleTurn(shell.db, run.held, {
    ...run.takeUncommitted(),
    ...{ results, end, nextTurnId: newId() },
  });
  if (outcome.outcome !== 'fenced' && outcome.wake !== null)
    shell.logs.expect(outcome.wake.turnId, run.turn.sessionId);
  if (outcome.outcome !== 'fenced') await announce(shell, run.turn.rootId, outcome);
  return 'ended';
}

export function finish(shell: Shell, run: Run, end: FinishedTask): Promise<Progress> {
  for (const call of run.notBegun()) {
    const parts = [{ type: 'text' as const, text: 'Not run: the task was ended before this call.' }];
    run.closed(call, { id: call.id, status: 'interrupted', parts }, performance.now());
  }
  return settle(shell, run, { kind: 'finish', ...end });
}

/** Gives the turn to whoever is free, with everything that was finished. `spent`: a model request was broken off. */
export async function handBack(shell: Shell, run: Run, spent = false): Promise<Progress> {
  await run.leaveWorkspace();
  const results = run.takePending();
  const outcome = await handBackTurn(shell.db, run.held, { results, spent, nextTurnId: newId() });
  if (outcome.outcome !== 'fenced') await announce(shell, run.turn.rootId, outcome);
  return 'ended';
}

/** Lets go of the slot while a person is asked. Goes on where the answer came in the meantime. */
export async function park(shell: Shell, run: Run): Promise<Progress> {
  await run.leaveWorkspace();
  const outcome = await parkTurn(shell.db, run.held, run.takePending());
  if (outcome.outcome === 'parked' || outcome.outcome === 'open')
    await announce(shell, run.turn.rootId, outcome);
  if (outcome.outcome !== 'open') return 'ended';
  const answer = run.entries[(run.answerPosition ?? 0) - 1];
  const standing = await readStanding(shell.db, run.turn.id);
  if (answer !== undefined) run.reread(await readCalls(shell.db, run.turn.id, answer));
  if (standing?.cancelRequested) run.stop('cancel');
  return 'go_on';
}

export function afterFailure(shell: Shell, run: Run, failure: FailedRequest): Promise<Progress> {
  return retryOrFail(shell, run, { failure, spent: failure.mayHaveCost, policy: shell.retry });
}

/** What failed may pass: the turn waits as a row and is tried again, or the task fails with the reason. */
export async function retryOrFail(
  shell: Shell,
  run: Run,
  { failure, spent, policy }: { failure: Failure; spent: boolean; policy: RetryPolicy },
): Promise<Progress> {
  const { code, message } = failure;
  if (run.stopped === 'drain') return handBack(shell, run, spent);
  if (run.stopped !== undefined) return 'go_on';
  const delayMs = retryDelay(failure, { retries: run.turn.retries, random: Math.random() }, policy);
  if (delayMs === undefined) return finish(shell, run, { status: 'failed', code, message, spent });
  return tryAgain(shell, run, { delayMs, failure: { code, message }, spent });
}

/** The turn waits as a row until it is due, with what was finished committed. */
export async function tryAgain(shell: Shell, run: Run, retry: Retry): Promise<Progress> {
  await run.leaveWorkspace();
  if (run.pending.length > 0)
    await recordResults(shell.db, run.held, { results: run.takePending(), start: [] });
  const outcome = await retryTurn(shell.db, run.held, { ...retry, nextTurnId: newId() });
  if (outcome.outcome === 'retrying' || outcome.outcome === 'ended')
    await announce(shell, run.turn.rootId, outcome);
  if (outcome.outcome === 'retrying') shell.dueIn(retry.delayMs);
  return 'ended';
}
