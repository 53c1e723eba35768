/** What follows a model request that failed: the same model again, another one, or the task's end. */
import type { CoolDown } from '../core/router.ts';
import { type AfterFailure, coolDownAfter, afterFailure as decide, pauseAfter } from '../core/router.ts';
import type { FailedRequest } from '../model/model.ts';
import type { RequestNote } from '../store/rates.ts';
import { finish, handBack, tryAgain } from './end-turn.ts';
import { afterOverflow, isOverflow, stillTooLong } from './overflow.ts';
import { namesOf, outlookOf, troubleOf } from './route.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import { idsOf, type Shell } from './shell.ts';

export async function afterFailure(shell: Shell, run: Run, failure: FailedRequest): Promise<Progress> {
  const { code, message, mayHaveCost: spent } = failure;
  if (run.isHandedBack) return handBack(shell, run, spent);
  if (run.stopped !== undefined) return 'go_on';
  if (isOverflow(failure) && run.turn.overflows === 0) return afterOverflow(shell, run, failure);
  const { model } = run;
  const retries = triesOf(run);
  const outlook = outlookOf(shell, run);
  const state = { model, retries, random: Math.random() };
  const decision = decide(failure, state, { outlook, policy: shell.retry });
  const note = { note: noteOf(shell, run, { failure, decision, coolDown: shell.coolDown }) };
  switch (decision.do) {
    case 'again': {
      const route = { model, passed: outlook.route?.passed ?? [] };
      const retry = { delayMs: decision.delayMs, failure: { code, message }, spent };
      return tryAgain(shell, run, { ...retry, ...note, retries: retries + 1, route });
    }
    case 'fallBack': {
      const { to, route } = decision;
      tellOfFallback(shell, run, { failure, to });
      const retry = { delayMs: 0, failure: { code, message, fallback: to }, spent };
      return tryAgain(shell, run, { ...retry, ...note, retries: 0, route });
    }
    case 'fail': {
      const passed = outlook.route?.passed ?? [];
      return finish(shell, run, {
        status: 'failed',
        code,
        message: withPassed(isOverflow(failure) ? stillTooLong(message) : message, passed),
        spent,
        ...note,
      });
    }
  }
}

/** Requests to the run's model that failed before this one: those to another do not count. */
function triesOf({ turn, model }: Run): number {
  return turn.route === null || turn.route.model === model ? turn.retries : 0;
}

function withPassed(message: string, passed: readonly string[]): string {
  return passed.length === 0 ? message : `${message} Before it this turn had given up ${passed.join(', ')}.`;
}

/** One line for the whole of an outage: whoever finds it as it was, on probation, has nothing new to tell. */
function tellOfFallback(
  shell: Shell,
  run: Run,
  { failure, to }: { failure: FailedRequest; to: string },
): void {
  const facts = { ...idsOf(run.turn), model: run.model, fallback: to, code: failure.code };
  const { strikes } = troubleOf(shell, run, run.model);
  if (strikes > 0) shell.log.debug(facts, 'the model does not answer yet');
  else
    shell.log.warn(
      { ...facts, reason: failure.message },
      'a model was given up: the turn goes on with its fallback',
    );
}

interface Failed {
  readonly failure: FailedRequest;
  readonly decision: AfterFailure;
  readonly coolDown: CoolDown;
}

function noteOf(shell: Shell, run: Run, { failure, decision, coolDown }: Failed): RequestNote {
  const [model, account] = namesOf(shell, run.model);
  const strikes = troubleOf(shell, run, run.model).strikes;
  const cool = decision.do === 'again' ? undefined : coolDownAfter(failure, strikes, coolDown);
  const pauseMs = pauseAfter(failure, decision, shell.retry);
  return {
    ...(run.hasShare && !failure.mayHaveCost ? { taken: 0 } : {}),
    ...(cool === undefined ? {} : { cooled: { name: cool.isOfAccount ? account : model, ms: cool.ms } }),
    ...(pauseMs === undefined ? {} : { paused: { name: account, ms: pauseMs } }),
  };
}
