/** The provider says that the conversation is too long for its model: the log is made shorter, once (PROTOCOL 21). */
import { newId } from '../clock.ts';
import type { FailedRequest } from '../model/model.ts';
import { overflowTurn } from '../store/compaction.ts';
import { leave, settled } from './end-turn.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import type { Shell } from './shell.ts';

export function isOverflow({ code }: Pick<FailedRequest, 'code'>): boolean {
  return code === 'context_overflow';
}

/** What a person is told of a second one in a row. */
export function stillTooLong(message: string): string {
  return `${message} It was made shorter, and is still too long. Ask for less at once, or use a model with a larger window.`;
}

/** The turn has failed; the next one makes the log shorter. */
export async function afterOverflow(shell: Shell, run: Run, failure: FailedRequest): Promise<Progress> {
  const { code, message, mayHaveCost: spent } = failure;
  await leave(shell, run, false);
  const outcome = await overflowTurn(shell.db, run.held, {
    ...{ code, message, spent, nextTurnId: newId() },
    ...(run.hasShare && !spent ? { note: { taken: 0 } } : {}),
  });
  if (outcome.outcome === 'fenced') return 'ended';
  const taskStatus = outcome.outcome === 'ended' ? 'cancelled' : 'running';
  return settled(shell, run, { ...outcome, taskStatus });
}
