/** The ways an attempt ends: each one transition, then the announcement of what it committed. */
import { newId } from '../clock.ts';
import type { Failure } from '../core/errors.ts';
import { entriesTokens } from '../core/request-size.ts';
import { type RetryPolicy, retryDelay } from '../core/retry.ts';
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
  type Wake,
} from '../store/turns.ts';
import { counterOf } from './accounts.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import { noteMotion } from './session-files.ts';
import { announce, type Shell } from './shell.ts';

/**
 * Before the commit that ends an attempt. Commands in the background go on, unless the session's next turn is not to be this
 * worker's; what they did to the files until now is recorded.
 */
export async function leave(shell: Shell, run: Run, isOver: boolean): Promise<void> {
  const { stopped } = run;
  if (stopped !== undefined || isOver)
    await run.background.stop(run.isHandedBack ? 'drain' : stopped === 'lost' ? stopped : 'task');
  if (stopped !== 'lost') await noteMotion(shell, run);
  await run.leaveWorkspace((checkout) => shell.background.keepFiles(run.turn, checkout));
  run.isLeaving = true;
}

export async function settle(shell: Shell, run: Run, end: TurnEnd): Promise<Progress> {
  await leave(shell, run, end.kind === 'finish');
  const results = run.takePending();
  const outcome = await settleTurn(shell.db, run.held, {
    ...run.takeUncommitted(),
    ...{ results, end: await withAdded(run, end), nextTurnId: newId() },
  });
  return outcome.outcome === 'fenced' ? 'ended' : settled(shell, run, outcome);
}

interface Settled {
  readonly taskStatus: string;
  readonly wake: Wake | null;
  readonly seq?: number;
}

/** After the commit that ended the turn and began the next, if there is one. */
export async function settled(shell: Shell, run: Run, outcome: Settled): Promise<Progress> {
  const { wake, taskStatus } = outcome;
  if (wake !== null) shell.logs.expect(wake.turnId, run.turn.sessionId);
  const goesOn = run.background.open.length > 0 && run.stopped === undefined && taskStatus === 'running';
  if (goesOn) run.next = wake ?? undefined;
  await shell.background.left(run.turn, !goesOn);
  await announce(shell, run.turn.rootId, goesOn ? { ...outcome, wake: null } : outcome);
  return 'ended';
}

/** What came of the answer goes with it into the next request, for which that much is reserved. */
async function withAdded(run: Run, end: TurnEnd): Promise<TurnEnd> {
  const { entries, answerPosition } = run;
  if (end.kind !== 'continue' || answerPosition === null) return end;
  return { ...end, added: entriesTokens(entries.slice(answerPosition), await counterOf(run)) };
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
  await leave(shell, run, true);
  const results = run.takePending();
  const outcome = await handBackTurn(shell.db, run.held, { results, spent, nextTurnId: newId() });
  if (outcome.outcome === 'fenced') return 'ended';
  await shell.background.left(run.turn, true);
  await announce(shell, run.turn.rootId, outcome);
  return 'ended';
}

/** Lets go of the slot while a person is asked, or children work. Goes on where what it waits for came in the meantime. */
export async function park(shell: Shell, run: Run): Promise<Progress> {
  await leave(shell, run, false);
  const outcome = await parkTurn(shell.db, run.held, run.takePending());
  if (outcome.outcome === 'parked' || outcome.outcome === 'repeated')
    await shell.background.left(run.turn, false);
  if (outcome.outcome === 'parked' || outcome.outcome === 'open')
    await announce(shell, run.turn.rootId, outcome);
  if (outcome.outcome !== 'open') return 'ended';
  run.isLeaving = false;
  const answer = run.entries[(run.answerPosition ?? 0) - 1];
  const standing = await readStanding(shell.db, run.turn.id);
  if (answer !== undefined) run.reread(await readCalls(shell.db, run.turn.id, answer));
  if (standing?.cancelRequested) run.stop('cancel');
  return 'go_on';
}

/** What failed may pass: the turn waits as a row and is tried again, or the task fails with the reason. */
export async function retryOrFail(
  shell: Shell,
  run: Run,
  { failure, spent, policy }: { failure: Failure; spent: boolean; policy: RetryPolicy },
): Promise<Progress> {
  const { code, message } = failure;
  if (run.isHandedBack) return handBack(shell, run, spent);
  if (run.stopped !== undefined) return 'go_on';
  const delayMs = retryDelay(failure, { retries: run.turn.retries, random: Math.random() }, policy);
  if (delayMs === undefined) return finish(shell, run, { status: 'failed', code, message, spent });
  return tryAgain(shell, run, { delayMs, failure: { code, message }, spent });
}

/** The turn waits as a row until it is due, with what was finished committed. */
export async function tryAgain(shell: Shell, run: Run, retry: Retry): Promise<Progress> {
  await leave(shell, run, false);
  if (run.pending.length > 0)
    await recordResults(shell.db, run.held, { results: run.takePending(), start: [] });
  const outcome = await retryTurn(shell.db, run.held, { ...retry, nextTurnId: newId() });
  if (outcome.outcome !== 'fenced') await shell.background.left(run.turn, outcome.outcome === 'ended');
  if (outcome.outcome === 'retrying' || outcome.outcome === 'ended')
    await announce(shell, run.turn.rootId, outcome);
  if (outcome.outcome === 'retrying') shell.dueIn(retry.delayMs);
  return 'ended';
}
