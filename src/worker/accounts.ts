/** What a request may use, reserved before it is sent, and what it used, committed with its answer. */
import { newId } from '../clock.ts';
import type { CountTokens } from '../core/context-size.ts';
import { standing } from '../core/entry.ts';
import { estimateTokens, isDearer, requestTokens } from '../core/request-size.ts';
import type { ModelAnswer, ModelRequest } from '../model/model.ts';
import { tokenCounter } from '../model/tokens.ts';
import { reserveMore } from '../store/accounts.ts';
import type { RecordedAnswer } from '../store/turns.ts';
import type { Run } from './run.ts';
import { announce, type Shell } from './shell.ts';

/** Tokens that are reserved for an answer whose length nobody limited; under a limit of tokens or money no answer gets more. */
export const RESERVED_OUTPUT = 4_096;

type Notices = RecordedAnswer['before'];

/** Where a limit of tokens or money holds, they are counted. */
export async function counterOf({ turn }: Run): Promise<CountTokens> {
  return turn.reserved.isLimited ? tokenCounter() : estimateTokens;
}

/**
 * The request as it may be sent: under a limit of tokens or money everything that it may use is reserved first, which takes a commit
 * only where the claim foresaw less. Undefined: it is over a limit, or the turn is another's.
 */
export async function withinLimits(
  shell: Shell,
  run: Run,
  { request, before }: { readonly request: ModelRequest; readonly before: Notices },
): Promise<ModelRequest | undefined> {
  const { reserved } = run.turn;
  if (!reserved.isLimited) return request;
  const output = request.maxTokens ?? reserved.answer ?? RESERVED_OUTPUT;
  const capped = { ...request, maxTokens: output };
  const input = tokensOf(run, { request, before }, await counterOf(run));
  const prices = pricesOf(shell, run);
  const isForeseen = input + output <= reserved.tokens;
  if (isForeseen && (prices === null || !isDearer(prices, reserved.prices, input))) return capped;
  const need = { input, output, prices, nextTurnId: newId() };
  const outcome = await reserveMore(shell.db, run.held, need);
  if (outcome.outcome === 'reserved') return capped;
  if (outcome.outcome !== 'fenced') {
    await shell.background.left(run.turn, true);
    await announce(shell, outcome.rootId, outcome);
  }
  return undefined;
}

interface Answered {
  readonly request: ModelRequest;
  readonly before: Notices;
  readonly answer: ModelAnswer;
  readonly latencyMs: number;
  readonly firstTokenMs: number | null;
}

/**
 * What an answer is booked as. A provider that leaves out a count must not make that share free: then our own stands for its. No
 * request is empty; an answer may be.
 */
export async function usageOf(shell: Shell, run: Run, answered: Answered): Promise<RecordedAnswer['usage']> {
  const { answer, latencyMs, firstTokenMs } = answered;
  const { input, output } = answer.usage;
  const said = { model: run.model, prices: pricesOf(shell, run), latencyMs, firstTokenMs, ...answer.usage };
  if (input > 0 && (output > 0 || answer.parts.length === 0)) return said;
  const count = await tokenCounter();
  return {
    ...said,
    input: input || tokensOf(run, answered, count),
    output: output || (answer.parts.length === 0 ? 0 : count(JSON.stringify(answer.parts))),
    estimated: true,
  };
}

/** The model's of now; those of the task's submission where it has none any more. */
function pricesOf(shell: Shell, { model, turn }: Run) {
  return shell.models.resolve(model).info.prices ?? turn.reserved.prices;
}

function tokensOf(
  run: Run,
  { request, before }: Pick<Answered, 'request' | 'before'>,
  count: CountTokens,
): number {
  const entries = [...standing(run.entries), ...before];
  return requestTokens(request, { resent: run.turn.reserved.resent, entries, count });
}
