/** To which model a turn's request goes, and when: as rows say, so that whoever takes the turn over goes on with it. */
import { UserError } from '../core/errors.ts';
import {
  chooseModel,
  modelsInOrder,
  NO_TROUBLE,
  type Outlook,
  strategyOf,
  type Trouble,
  WAITS_FOR_LIMIT,
  waitForPause,
} from '../core/router.ts';
import type { Allowance } from '../model/allowance.ts';
import type { TokenUsage } from '../model/model.ts';
import { type RequestNote, type TakeOutcome, takeRequest } from '../store/rates.ts';
import type { Retry } from '../store/turns.ts';
import { tryAgain } from './end-turn.ts';
import type { Run } from './run.ts';
import type { Progress } from './run-turn.ts';
import type { Shell } from './shell.ts';

/** Chooses the run's model, and takes the share of its provider's key that the request needs. */
export async function chooseWhomToAsk(shell: Shell, run: Run): Promise<Progress> {
  run.model = chooseModel(outlookOf(shell, run));
  const { provider, allowance } = accountOf(shell, run.model);
  if (!isLimited(allowance)) return afterPause(shell, run, provider);
  const outcome = await takeRequest(shell.db, run.held, { ...allowance, name: named(provider, allowance) });
  if (outcome.outcome === 'fenced') return 'ended';
  if (outcome.outcome === 'waits') return wait(shell, run, inLine(provider, allowance, outcome));
  run.hasShare = true;
  return 'go_on';
}

/** No limit is set: nobody is asked, but a provider that said to wait is believed. */
async function afterPause(shell: Shell, run: Run, provider: string): Promise<Progress> {
  const { pauseMs } = troubleOf(shell, run, run.model);
  if (pauseMs === 0) return 'go_on';
  return wait(shell, run, { ms: waitForPause(pauseMs, Math.random()), why: askedToWait(provider) });
}

interface Wait {
  readonly ms: number;
  readonly why: string;
}

function wait(shell: Shell, run: Run, { ms, why }: Wait): Promise<Progress> {
  const failure = { code: WAITS_FOR_LIMIT, message: why };
  const retry: Retry = { delayMs: ms, failure, spent: false, retries: run.turn.retries };
  return tryAgain(shell, run, retry);
}

function inLine(
  provider: string,
  allowance: Allowance,
  waits: Extract<TakeOutcome, { outcome: 'waits' }>,
): Wait {
  const { ms, ahead, paused } = waits;
  if (paused) return { ms, why: askedToWait(provider) };
  const { requestsPerMinute: requests, tokensPerMinute: tokens } = allowance;
  const limits = [
    ...(requests === undefined ? [] : [`${requests} requests`]),
    ...(tokens === undefined ? [] : [`${tokens} tokens`]),
  ].join(' and ');
  const others =
    ahead === 0 ? 'no other turn is' : ahead === 1 ? '1 other turn is' : `${ahead} other turns are`;
  return {
    ms,
    why: `Provider ${provider} is asked for ${limits} a minute at most, and ${others} before this one.`,
  };
}

function askedToWait(provider: string): string {
  return `Provider ${provider} has asked everyone who uses its key to wait.`;
}

export function outlookOf(shell: Shell, run: Run): Outlook {
  return {
    strategy: strategyOf(run.profile),
    order: knownModels(shell, modelsInOrder(run.profile, run.turn.sessionId)),
    route: run.turn.route,
    troubleOf: (model) => troubleOf(shell, run, model),
    patienceMs: shell.retry.longestMs,
  };
}

/** As they are called in full. One that this worker does not know is left out, unless it knows none. */
function knownModels(shell: Shell, names: readonly string[]): readonly string[] {
  const known: string[] = [];
  let unknown: UserError | undefined;
  for (const name of names) {
    try {
      known.push(shell.models.resolve(name).name);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      unknown ??= error;
    }
  }
  if (known.length === 0 && unknown !== undefined) throw unknown;
  return [...new Set(known)];
}

/** What was known of the model when the turn was claimed, and of the account that it belongs to. */
export function troubleOf(shell: Shell, run: Run, model: string): Trouble {
  const { troubles } = run.turn;
  if (troubles === null) return NO_TROUBLE;
  const names = namesOf(shell, model);
  const own = troubles.filter(({ name }) => names.includes(name));
  const worst = (of: keyof Trouble) => Math.max(0, ...own.map((trouble) => trouble[of]));
  return { strikes: worst('strikes'), coolMs: worst('coolMs'), pauseMs: worst('pauseMs') };
}

/** What everyone calls a model, and the account that it belongs to: workers with another key, or address, have another. */
export function namesOf(shell: Shell, model: string): readonly [model: string, account: string] {
  const { provider, allowance } = accountOf(shell, model);
  return [named(model, allowance), named(provider, allowance)];
}

function named(name: string, { key }: Allowance): string {
  return key === '' ? name : `${name}@${key}`;
}

function accountOf(
  shell: Shell,
  model: string,
): { readonly provider: string; readonly allowance: Allowance } {
  const provider = model.slice(0, model.indexOf('/'));
  return { provider, allowance: shell.allowances[provider] ?? { key: '', countsCached: true } };
}

function isLimited({ requestsPerMinute, tokensPerMinute }: Allowance): boolean {
  return requestsPerMinute !== undefined || tokensPerMinute !== undefined;
}

/** What an answer has taught: what it used of its share, and that a model answers again that others had given up. */
export function noteOfAnswer(shell: Shell, run: Run, usage: TokenUsage): { readonly note?: RequestNote } {
  const { countsCached } = accountOf(shell, run.model).allowance;
  const names = namesOf(shell, run.model);
  const healed = (run.turn.troubles ?? []).filter(({ name, strikes }) => strikes > 0 && names.includes(name));
  const note = {
    ...(run.hasShare ? { taken: usage.input + usage.output - (countsCached ? 0 : usage.cached) } : {}),
    ...(healed.length === 0 ? {} : { healed: healed.map(({ name }) => name) }),
  };
  return Object.keys(note).length === 0 ? {} : { note };
}
