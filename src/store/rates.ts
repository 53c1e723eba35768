/** What all workers know together of the providers that they ask: shares of a key's limits, and who is not to be asked just now. */
import type { Database } from './database.ts';
import type { Held } from './turns.ts';

/** What may be asked of a provider under one key, by all workers together. */
export interface Bucket {
  /** Tells providers, addresses and keys apart, and says nothing of a key. */
  readonly name: string;
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
}

export type TakeOutcome =
  | { readonly outcome: 'taken' }
  | { readonly outcome: 'fenced' }
  | {
      readonly outcome: 'waits';
      readonly ms: number;
      /** Turns that came before. */
      readonly ahead: number;
      /** The provider has asked everyone to wait. */
      readonly paused: boolean;
    };

/** A share of the bucket for the request that the turn is about to send, or a place in the line for it. */
export function takeRequest(db: Database, held: Held, bucket: Bucket): Promise<TakeOutcome> {
  return db.transition('take_request', held.turnId, held.attemptId, bucket);
}

/** What a request has taught, for everyone who may ask the same provider; it goes with the commit of what became of it. */
export interface RequestNote {
  /** Tokens that it used, of those that it took from its bucket. */
  readonly taken?: number;
  /** What answered again. */
  readonly healed?: readonly string[];
  /** What is not asked for so long, where another model can answer. */
  readonly cooled?: { readonly name: string; readonly ms: number };
  /** The bucket whose provider asked everyone to wait. */
  readonly paused?: { readonly name: string; readonly ms: number };
}

/** Of a model, an account or a bucket. */
export interface NamedTrouble {
  readonly name: string;
  readonly strikes: number;
  readonly coolMs: number;
  readonly pauseMs: number;
}
