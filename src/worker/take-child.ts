/** The end of a delegated task as its parent's call sees it: the report, from the execution log, and the files. */
import { failureReport } from '../core/child-failure.ts';
import { executedCall } from '../core/executed-call.ts';
import { type Execution, executionSummary } from '../core/execution.ts';
import { toPublicId } from '../core/id.ts';
import { checkResult, readResultSchema } from '../core/result-schema.ts';
import { MERGE_CHILD } from '../core/tool-names.ts';
import type { Call } from '../core/turn.ts';
import { type EndedChild, readEndedChild } from '../store/delegations.ts';
import { SnapshotError } from '../workspace/snapshots/snapshot-error.ts';
import { changesOf, type MergedChild, mergeFiles, sayMerged } from './merge-child.ts';
import type { Run } from './run.ts';
import { commit, shown } from './run-tools.ts';
import type { Progress } from './run-turn.ts';
import { notedOf, noteFiles, noteMotion } from './session-files.ts';
import { isSafe, type Shell } from './shell.ts';

export async function takeChild(shell: Shell, run: Run, call: Call): Promise<Progress> {
  const began = performance.now();
  const child = await readEndedChild(shell.db, call.id);
  const merges = child.status === 'succeeded' && child.base !== child.head;
  const flush = async () => run.pending.length === 0 || (await commit(shell, run, []));
  if (merges && !(await noteFiles(shell, run, { calls: [call], flush }))) return 'ended';
  if (merges) await noteMotion(shell, run);
  // What goes into files goes there only while nobody else can have the turn.
  if (merges && !(await isSafe(shell, run))) return run.stopped === 'lost' ? 'ended' : 'go_on';
  const taken = await take(shell, run, { child, merges });
  const whole = reportOf(child, taken);
  const { moved } = taken;
  run.closed(
    call,
    {
      ...{
        id: call.id,
        status: child.status === 'succeeded' && taken.trouble === undefined ? 'succeeded' : 'failed',
      },
      ...(await shown(shell, run, { call, whole })),
      durationMs: Math.round(performance.now() - began),
      ...(moved === undefined ? {} : notedOf(shell, run, moved)),
      ...(moved?.changed ? { snapshot: moved.snapshot } : {}),
      ...(merges && taken.trouble === undefined ? { merged: [call.id] } : {}),
    },
    performance.now(),
  );
  return run.stopped === 'lost' ? 'ended' : 'go_on';
}

interface Taken extends MergedChild {
  /** Why its changes could not be merged. */
  readonly trouble?: string;
}

async function take(
  shell: Shell,
  run: Run,
  { child, merges }: { readonly child: EndedChild; readonly merges: boolean },
): Promise<Taken> {
  if (!merges) return { modified: await changesOf(shell, run, child), conflicts: [] };
  try {
    return await mergeFiles(shell, run, child);
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    return { modified: await changesOf(shell, run, child), conflicts: [], trouble: error.message };
  }
}

function reportOf(child: EndedChild, taken: Taken): string {
  const execution = executionOf(child, taken.modified);
  const summary = executionSummary(execution);
  if (child.status === 'succeeded') {
    const files =
      taken.trouble === undefined
        ? sayMerged(taken)
        : `${notMerged(child, taken.modified)} (${taken.trouble})`;
    return [saidBy(answerOf(child)), summary, child.isolation === 'shared' ? '' : saidBy(files)]
      .filter((part) => part !== '')
      .join('\n\n');
  }
  const failure = saidBy(
    failureReport({
      code: child.errorCode ?? 'cancelled',
      message: child.errorMessage ?? 'the delegated task was cancelled.',
      execution,
    }),
  );
  const last =
    child.answer === null || child.answer === '' ? [] : [`Its last words:\n${saidBy(child.answer)}`];
  return [failure, ...notMergedAtAll(child, taken.modified), summary, ...last].join('\n\n');
}

/** A child does not speak for Capybara: nothing that it says, calls a file or runs passes for a summary. */
function saidBy(answer: string): string {
  return answer.replaceAll(/<(?=\/?execution_summary)/gi, '&lt;');
}

/** JSON as a program would write it, where that is what was asked for. */
function answerOf({ answer, resultSchema }: EndedChild): string {
  const read = resultSchema === null ? undefined : readResultSchema(resultSchema);
  if (answer === null || read === undefined || 'refused' in read) return answer ?? '';
  const checked = checkResult(read.checker, answer);
  return 'json' in checked ? checked.json : answer;
}

function notMergedAtAll(child: EndedChild, modified: readonly string[]): string[] {
  return modified.length === 0 ? [] : [notMerged(child, modified)];
}

function notMerged({ sessionId }: EndedChild, modified: readonly string[]): string {
  const id = toPublicId('session', sessionId);
  return `What it changed (${modified.length === 1 ? 'one file' : `${modified.length} files`}) is kept and not merged: call ${MERGE_CHILD} with ${id} to take it over, or delegate again with continue: ${id}, which goes on from there.`;
}

const STATUS = { succeeded: 'completed', failed: 'failed', cancelled: 'cancelled' } as const;

function executionOf(child: EndedChild, modified: readonly string[]): Execution {
  const { input, output, usd } = child;
  return {
    sessionId: toPublicId('session', child.sessionId),
    status: STATUS[child.status],
    ms: child.ms,
    calls: child.calls.map(executedCall),
    modified,
    usage: { input, output, usd },
  };
}
