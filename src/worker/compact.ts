/** Makes a session's log shorter: a turn of its own, committed once, with what the summary cost. */
import { newId } from '../clock.ts';
import { type Compaction, SUMMARY_REQUEST, summaryRequest, summaryWithin } from '../core/compaction.ts';
import type { ContextLimits } from '../core/context-size.ts';
import { textOf } from '../core/entry.ts';
import type { ModelRequest } from '../model/model.ts';
import { type CompactedLog, compactTurn } from '../store/compaction.ts';
import { usageOf, withinLimits } from './accounts.ts';
import { afterFailure } from './after-failure.ts';
import { type Broken, requestWith, type Streamed, streamAnswer } from './call-model.ts';
import { leave, settled } from './end-turn.ts';
import { isOverflow } from './overflow.ts';
import { chooseWhomToAsk, noteOfAnswer } from './route.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import { isSafe, type Shell } from './shell.ts';

/** What the conversation ends with for once: counted with it, and in no log. */
const ASKED = [{ kind: 'notice', parts: [{ type: 'text', text: SUMMARY_REQUEST }] }] as const;
/** How often a request for a summary is made half as long where the provider says that even that is too long. */
const HALVINGS = 3;

export async function compact(shell: Shell, run: Run, compaction: Compaction): Promise<Progress> {
  const { prunes, summary, before, after } = compaction;
  if (summary === undefined)
    return commit(shell, run, {
      ...{ before, after },
      entry: { kind: 'pruning', parts: [], replaces: { results: prunes } },
    });
  const limits = run.context;
  if (limits === undefined) throw new Error('a log is made shorter without limits');
  if ((await chooseWhomToAsk(shell, run)) === 'ended') return 'ended';
  // A worker that was stopped and comes back must not pay for a summary of a log that went on without it.
  if (!(await isSafe(shell, run))) return 'go_on';
  const streamed = await askForSummary(shell, run, { limits, compaction });
  if (streamed === undefined) return 'ended';
  if ('kind' in streamed) return afterFailure(shell, run, streamed);
  const written = textOf(streamed.answer.parts);
  if (written.trim() === '' || streamed.answer.stopReason === 'refusal')
    return afterFailure(shell, run, noSummary(run));
  const cut = summaryWithin(written, summary.tokens, limits.count);
  const text = summary.todos === undefined ? cut : `${cut}\n\n${summary.todos}`;
  const replaces = { after: summary.after, to: summary.to };
  const usage = await usageOf(shell, run, { ...streamed, before: ASKED });
  return commit(shell, run, {
    ...{ before, after, usage },
    ...noteOfAnswer(shell, run, usage),
    entry: { kind: 'compaction', parts: [{ type: 'text', text }], replaces },
  });
}

/** It was paid for: what it cost is booked as unknown. */
function noSummary({ model }: Run): Broken {
  return {
    ...{ kind: 'retryable', code: 'no_summary', mayHaveCost: true, begun: true },
    message: `The conversation had become too long, and ${model} wrote no summary of it.`,
  };
}

interface Asked {
  readonly limits: ContextLimits;
  readonly compaction: Compaction;
}

type Summarised = Streamed & { readonly request: ModelRequest };

/**
 * Undefined: it is over a limit, or the turn is another's. After an overflow nobody knows how much is not too long: half of
 * what it was, then half of that.
 */
async function askForSummary(
  shell: Shell,
  run: Run,
  { limits, compaction }: Asked,
): Promise<Summarised | Broken | undefined> {
  const { takesImages: images } = shell.models.resolve(run.model);
  const overflowed = run.turn.kind === 'compaction';
  const most = Math.min(limits.tokens, compaction.before);
  for (let halvings = overflowed ? 1 : 0; ; halvings++) {
    const tokens = most / 2 ** halvings;
    const messages = summaryRequest(run.entries, limits, { tokens, images });
    const wanted = await requestWith(shell, run, messages);
    const request = await withinLimits(shell, run, { request: wanted, before: ASKED });
    if (request === undefined) return undefined;
    const streamed = await streamAnswer(shell, run, { ...request, isShown: false });
    if (!('kind' in streamed)) return { ...streamed, request };
    if (!isOverflow(streamed) || !overflowed || halvings >= HALVINGS) return streamed;
  }
}

async function commit(shell: Shell, run: Run, compacted: CompactedLog): Promise<Progress> {
  await leave(shell, run, false);
  const outcome = await compactTurn(shell.db, run.held, { ...compacted, nextTurnId: newId() });
  return outcome.outcome === 'fenced' ? 'ended' : settled(shell, run, outcome);
}
