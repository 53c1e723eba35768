/** Which model a turn's request goes to, and what follows when it fails: decided from what rows say, and nothing else. */
import type { Failure } from './errors.ts';
import type { Profile } from './profile.ts';
import { type RetryPolicy, retryDelay } from './retry.ts';

/** What a turn's row keeps of the requests that failed since its last answer. */
export interface Route {
  /** Whom they went to: the turn's `retries` count these. */
  readonly model: string;
  /** Models that this turn has given up. */
  readonly passed: readonly string[];
}

/** What is known of a model beyond this turn. */
export interface Trouble {
  /** How often in a row it was given up. Until it answers again it gets one try, where another model can answer. */
  readonly strikes: number;
  /** Until it is asked again, where another model can answer; 0: now. */
  readonly coolMs: number;
  /** Until anyone may use its key, whose provider asked to wait; 0: now. */
  readonly pauseMs: number;
}

export const NO_TROUBLE: Trouble = { strikes: 0, coolMs: 0, pauseMs: 0 };

/** What decides between models. */
export interface Outlook {
  readonly strategy: 'single' | 'fallback' | 'balance';
  /** Those that may answer, the one that should first. */
  readonly order: readonly string[];
  readonly route: Route | null;
  readonly troubleOf: (model: string) => Trouble;
  /** A longer wait is not waited for where another model can answer. */
  readonly patienceMs: number;
}

export function strategyOf({ router }: Profile): Outlook['strategy'] {
  return router?.strategy ?? 'single';
}

/**
 * The models of a profile, in the order in which they are to be tried. Where they are balanced, that is the session's own and
 * always the same, so that what a provider has cached of it is found again; over many sessions each comes first as often as
 * its weight says, and where one drops out its sessions are spread over the others.
 */
export function modelsInOrder({ model, router }: Profile, sessionId: string): readonly string[] {
  if (router === undefined || router.strategy === 'single') return [model];
  const all = [{ model, weight: router.weight ?? 1 }, ...router.fallbacks];
  const ordered = router.strategy === 'fallback' ? all : all.toSorted((a, b) => lot(b) - lot(a));
  return [...new Set(ordered.map((each) => each.model))];

  /** The greatest of `share ^ (1 / weight)` is each one's with a chance of its weight (Efraimidis and Spirakis, 2006). */
  function lot(each: { readonly model: string; readonly weight: number }): number {
    return Math.log(shareOf(`${sessionId} ${each.model}`)) / each.weight;
  }
}

/** The same text gives the same number in (0, 1), and similar ones unlike numbers: FNV-1a, then the end of MurmurHash3. */
function shareOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}

/** Whom this request goes to: the first that is well, else the first that the turn has not given up. */
export function chooseModel(outlook: Outlook): string {
  const [first = '', ...others] = leftOf(outlook);
  return [first, ...others].find((model) => isWell(model, outlook)) ?? first;
}

function leftOf({ order, route }: Outlook): readonly string[] {
  const left = order.filter((model) => !route?.passed.includes(model));
  return left.length === 0 ? order.slice(-1) : left;
}

function isWell(model: string, { strategy, troubleOf, patienceMs }: Outlook): boolean {
  const { coolMs, pauseMs } = troubleOf(model);
  return coolMs === 0 && pauseMs <= (strategy === 'balance' ? 0 : patienceMs);
}

export type AfterFailure =
  /** The same model again, when the wait is over. */
  | { readonly do: 'again'; readonly delayMs: number }
  /** Another one at once. */
  | { readonly do: 'fallBack'; readonly to: string; readonly route: Route }
  | { readonly do: 'fail' };

/**
 * After a request to `model` has failed.
 *
 * @param state.retries requests to it that failed before this one, since the turn's last answer
 * @param state.random in [0, 1)
 */
export function afterFailure(
  failure: Failure,
  state: { readonly model: string; readonly retries: number; readonly random: number },
  { outlook, policy }: { readonly outlook: Outlook; readonly policy: RetryPolicy },
): AfterFailure {
  const { model } = state;
  const passed = [...(outlook.route?.passed ?? []), model];
  const others = outlook.order.filter((each) => !passed.includes(each));
  const tries = others.length > 0 && outlook.troubleOf(model).strikes > 0 ? 1 : policy.tries;
  const delayMs = retryDelay(failure, state, { ...policy, tries });
  const isHopeless = delayMs === undefined || !isWorthTheWait(failure, outlook);
  if (others.length > 0 && isHopeless && mayBeAnsweredElsewhere(failure)) {
    const to = chooseModel({ ...outlook, order: others, route: null });
    return { do: 'fallBack', to, route: { model: to, passed } };
  }
  return delayMs === undefined ? { do: 'fail' } : { do: 'again', delayMs };
}

/** A session that is balanced goes where there is room now. */
function isWorthTheWait(failure: Failure, { strategy, patienceMs }: Outlook): boolean {
  if (strategy === 'balance' && failure.code === 'rate_limited') return false;
  return (failure.retryAfterMs ?? 0) <= patienceMs;
}

/** Failures that say something of an account or an endpoint, which no wait mends. */
const OF_ACCOUNT = ['provider_auth', 'provider_quota', 'bad_endpoint'];
const OF_MODEL = ['model_not_found'];

/** Not what is wrong with the conversation: each model would say so, and be paid for saying it. */
function mayBeAnsweredElsewhere({ kind, code }: Failure): boolean {
  return kind === 'retryable' || OF_ACCOUNT.includes(code) || OF_MODEL.includes(code);
}

export interface CoolDown {
  readonly firstMs: number;
  readonly longestMs: number;
}

export const DEFAULT_COOL_DOWN: CoolDown = { firstMs: 30_000, longestMs: 600_000 };

/**
 * For how long a model that was given up is not asked where another can answer, and whether that goes for all models of its
 * account: twice as long each time in a row. Undefined: the failure says nothing of it.
 */
export function coolDownAfter(
  failure: Failure,
  strikes: number,
  { firstMs, longestMs }: CoolDown = DEFAULT_COOL_DOWN,
): { readonly ms: number; readonly isOfAccount: boolean } | undefined {
  if (!mayBeAnsweredElsewhere(failure)) return undefined;
  const ms = Math.max(failure.retryAfterMs ?? 0, Math.min(firstMs * 2 ** strikes, longestMs));
  const isOfAccount = OF_ACCOUNT.includes(failure.code) || failure.code === 'provider_unreachable';
  return { ms, isOfAccount };
}

/**
 * A provider that says it is asked too often says so to everyone who uses the key: as long as it asks for, else as long as this
 * request waits. "At once" is no answer to being asked too often.
 */
export function pauseAfter(
  { code, retryAfterMs = 0 }: Failure,
  decision: AfterFailure,
  { firstMs }: RetryPolicy,
): number | undefined {
  if (code !== 'rate_limited') return undefined;
  return retryAfterMs > 0 ? retryAfterMs : decision.do === 'again' ? decision.delayMs : firstMs;
}

/** Shares of a pause, and its least, over which those who waited come back: not all in the same moment. */
const SPREAD = 0.25;
const LEAST_SPREAD_MS = 1_000;

/** How long to wait for the end of a pause that binds everyone. */
export function waitForPause(pauseMs: number, random: number): number {
  return Math.ceil(pauseMs + random * Math.max(LEAST_SPREAD_MS, pauseMs * SPREAD));
}

/** How a failure is called that is none: the turn waits until its provider's key has room for its request. */
export const WAITS_FOR_LIMIT = 'provider_limit';
