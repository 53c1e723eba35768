/** How many tokens a request will have, before it is sent: what limits reserve. The provider's own counts correct it turn by turn. */
import { type CountTokens, sizeOf } from './context-size.ts';
import type { Entry, NewEntry } from './entry.ts';
import { type Prices, pricesFor } from './provider.ts';

/** Bytes of text and code that make one token, about. */
const BYTES_PER_TOKEN = 4;

/** For what nobody is held to: to count takes long. */
export const estimateTokens: CountTokens = (text) => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);

/** What is counted of a request that nothing was sent of before. */
export interface Countable {
  readonly system: string;
  readonly tools: readonly unknown[];
}

/** What entries of the log take in a request. */
export function entriesTokens(entries: readonly (Entry | NewEntry)[], count: CountTokens): number {
  return entries.reduce((sum, entry) => sum + sizeOf(entry, count), 0);
}

interface Told {
  /** Tokens of the last request, of its answer and of what came of that, which go again; 0: nothing was sent yet, and all is counted. */
  readonly resent: number;
  /** The log, with what stands before the answer. */
  readonly entries: readonly (Entry | NewEntry)[];
  readonly count: CountTokens;
}

/** A request's tokens. */
export function requestTokens({ system, tools }: Countable, { resent, entries, count }: Told): number {
  if (resent > 0) return resent + entriesTokens(saidSince(entries), count);
  return count(system) + count(JSON.stringify(tools)) + entriesTokens(entries, count);
}

/** What stands behind the last answer and its results: nobody has counted it. */
function saidSince(entries: readonly (Entry | NewEntry)[]): readonly (Entry | NewEntry)[] {
  const last = entries.findLastIndex(({ kind }) => kind === 'assistant' || kind === 'tool_result');
  return entries.slice(last + 1);
}

/** What is reserved by where several models may answer: nothing is dearer than it. Null: of one of them nothing is known. */
export function dearestOf(prices: readonly (Prices | undefined)[]): Prices | null {
  const known = prices.filter((each) => each !== undefined);
  if (known.length < prices.length || known.length === 0) return null;
  const [only] = known;
  if (known.length === 1 && only !== undefined) return only;
  const longs = known.flatMap(({ long }) => (long === undefined ? [] : [long]));
  const dearest = dearestFlat(known);
  if (longs.length === 0) return dearest;
  const above = Math.min(...longs.map((long) => long.above));
  return { ...dearest, long: { above, ...dearestFlat([dearest, ...longs]) } };
}

function dearestFlat(prices: readonly Omit<Prices, 'long'>[]): Omit<Prices, 'long'> {
  return {
    input: Math.max(...prices.map(dearestInput)),
    output: Math.max(...prices.map(({ output }) => output)),
  };
}

/** Whether a request of so many tokens may cost more by these prices than by those that it was reserved by. */
export function isDearer(prices: Prices, than: Prices | null, input: number): boolean {
  if (than === null) return true;
  const [now, before] = [pricesFor(prices, input), pricesFor(than, input)];
  return dearestInput(now) > dearestInput(before) || now.output > before.output;
}

function dearestInput({ input, cachedInput = 0, cacheWrite = 0 }: Omit<Prices, 'long'>): number {
  return Math.max(input, cachedInput, cacheWrite);
}
