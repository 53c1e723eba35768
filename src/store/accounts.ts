/** Limits that are raised, and reservations that turned out too small: the transitions of `transitions/accounts.sql` and `raise_limits.sql`. */
import type { Prices } from '../core/provider.ts';
import type { Database } from './database.ts';
import type { Also, Held, Wake } from './turns.ts';

/** What a claim has reserved for the turn's request, and by what. */
export interface Reserved {
  /** Its task has a limit of tokens or money: nothing is sent that was not reserved. */
  readonly isLimited: boolean;
  /** For the request and its answer together. */
  readonly tokens: number;
  /** Of what the request before this one sent and got, and what came of it: all of that is sent again. */
  readonly resent: number;
  /** Tokens that the answer may have; null: the task does not say. */
  readonly answer: number | null;
  readonly prices: Prices | null;
}

/** What a request and its answer may use; null: nobody knows what they cost. */
export interface Need {
  readonly input: number;
  readonly output: number;
  readonly prices: Prices | null;
}

export type ReserveOutcome =
  | { readonly outcome: 'reserved'; readonly seq: number }
  | {
      readonly outcome: 'ended' | 'parked';
      readonly rootId: string;
      readonly seq: number;
      readonly wake: Wake | null;
      readonly also?: Also;
    }
  | { readonly outcome: 'fenced' };

/** `nextTurnId`: of the session's next task, where a limit ends this one. */
export function reserveMore(
  db: Database,
  held: Held,
  { nextTurnId, ...need }: Need & { readonly nextTurnId: string },
): Promise<ReserveOutcome> {
  return db.transition('reserve_more', held.turnId, held.attemptId, need, nextTurnId);
}

/** Null: no such limit any more. `usd`: a decimal number. */
export interface RaisedLimits {
  readonly turns?: number | undefined;
  readonly treeTurns?: number | undefined;
  readonly tokens?: number | null | undefined;
  readonly usd?: string | null | undefined;
  readonly seconds?: number | null | undefined;
  readonly children?: number | undefined;
  readonly concurrentChildren?: number | undefined;
  readonly depth?: number | undefined;
}

export type RaiseOutcome =
  | {
      readonly outcome: 'raised';
      readonly rootId: string;
      readonly seq: number;
      readonly wake: Wake | null;
      readonly also?: Also;
    }
  /** `allowed`: what that limit is; null: there is none. */
  | { readonly outcome: 'not_higher'; readonly limit: string; readonly allowed: string | null }
  | { readonly outcome: 'ended'; readonly status: string }
  | { readonly outcome: 'not_found' };

export function raiseLimits(
  db: Database,
  raise: { readonly teamId: string; readonly taskId: string; readonly limits: RaisedLimits },
): Promise<RaiseOutcome> {
  return db.transition('raise_limits', raise.teamId, raise.taskId, raise.limits);
}
