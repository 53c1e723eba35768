/** What a provider's key allows, as the settings say it: all workers together keep to it. */
import { createHash } from 'node:crypto';
import type { ProviderKind } from '../core/provider.ts';
import { kindOf } from './kinds.ts';

export interface Allowance {
  /** A hash of address and key: two workers that have the same share a limit. '': nothing is known of them. */
  readonly key: string;
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
  /** Whether input that is read from a cache counts. */
  readonly countsCached: boolean;
}

/** By the provider's name. */
export type Allowances = Readonly<Record<string, Allowance>>;

interface Configured {
  readonly kind?: ProviderKind | undefined;
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerMinute?: number | undefined;
}

/** What the store's integer columns hold: no provider allows more. */
export const MOST_PER_MINUTE = 2_147_483_647;

export function allowancesOf(providers: Readonly<Record<string, Configured>>): Allowances {
  const entries = Object.entries(providers).map(([name, config]) => [name, allowanceOf(name, config)]);
  return Object.fromEntries(entries);
}

function allowanceOf(name: string, config: Configured): Allowance {
  const { baseUrl = '', apiKey = '', requestsPerMinute, tokensPerMinute } = config;
  return {
    key: createHash('sha256').update(`${baseUrl.trim()}\n${apiKey.trim()}`).digest('hex').slice(0, 16),
    ...(requestsPerMinute === undefined ? {} : { requestsPerMinute: atMost(requestsPerMinute) }),
    ...(tokensPerMinute === undefined ? {} : { tokensPerMinute: atMost(tokensPerMinute) }),
    // Anthropic counts only what it does not have in its cache.
    countsCached: kindOf(name, config) !== 'anthropic',
  };
}

function atMost(count: number): number {
  return Math.min(count, MOST_PER_MINUTE);
}
