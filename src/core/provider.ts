/** Providers of models, in the words that settings, requests and accounts share. */

/** How a provider is spoken to. `chat`: Chat Completions, at any server that has it. */
export const PROVIDER_KINDS = ['anthropic', 'openai', 'chat', 'ollama', 'oci', 'replay'] as const;
export type ProviderKind = (typeof PROVIDER_KINDS)[number];

/** US dollars for a million tokens. Of input that is read from a cache or written to it: as `input` where left out. */
export interface Prices {
  readonly input: number;
  readonly output: number;
  readonly cachedInput?: number | undefined;
  readonly cacheWrite?: number | undefined;
  /** Instead of these, of all of a request whose input has more than `above` tokens. */
  readonly long?: LongPrices | undefined;
}

export interface LongPrices {
  readonly above: number;
  readonly input: number;
  readonly output: number;
  readonly cachedInput?: number | undefined;
  readonly cacheWrite?: number | undefined;
}

/** What a request with so many tokens of input, cached ones among them, is paid for with. */
export function pricesFor({ long, ...prices }: Prices, inputTokens: number): Omit<Prices, 'long'> {
  if (long === undefined || inputTokens <= long.above) return prices;
  const { above: _, ...ofLong } = long;
  return ofLong;
}

/** What is known of a model. */
export interface ModelSettings {
  /** Tokens of a request and its answer together. */
  readonly contextTokens?: number | undefined;
  /** Tokens of the longest answer. */
  readonly outputTokens?: number | undefined;
  readonly images?: boolean | undefined;
  /** Whether it takes one. */
  readonly temperature?: boolean | undefined;
  /** Whether it may be told how much to think; it may where left out. */
  readonly effort?: boolean | undefined;
  readonly prices?: Prices | undefined;
}
