/** How many tokens a request will have, before it is sent: what limits reserve. Estimated; the provider's own counts correct it turn by turn. */
import { type Entry, filesOf, type NewEntry, textOf } from './entry.ts';
import type { Prices } from './provider.ts';

/** Bytes of text and code that make one token, about. */
const BYTES_PER_TOKEN = 4;
/** What an image takes where providers take most. */
const IMAGE_TOKENS = 1_600;

/** What is counted of a request that nothing was sent of before. */
export interface Countable {
  readonly system: string;
  readonly tools: readonly unknown[];
}

/** Of text that somebody else counts, if anybody. */
export function textTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
}

/** What entries of the log take in a request. */
export function entriesTokens(entries: readonly (Entry | NewEntry)[]): number {
  return entries.reduce((sum, entry) => sum + entryTokens(entry), 0);
}

function entryTokens(entry: Entry | NewEntry): number {
  if (entry.kind === 'assistant') return textTokens(JSON.stringify(entry.parts));
  return textTokens(textOf(entry.parts)) + filesOf(entry.parts).length * IMAGE_TOKENS;
}

/**
 * A request's tokens. `resent`: those of the last one, of its answer and of what came of that, which go again; 0: nothing was sent
 * yet, and all is counted. `entries`: the log, with what stands before the answer.
 */
export function requestTokens(
  { system, tools }: Countable,
  { resent, entries }: { readonly resent: number; readonly entries: readonly (Entry | NewEntry)[] },
): number {
  if (resent > 0) return resent + entriesTokens(saidSince(entries));
  return textTokens(system) + textTokens(JSON.stringify(tools)) + entriesTokens(entries);
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
  return {
    input: Math.max(...known.map(dearestInput)),
    output: Math.max(...known.map(({ output }) => output)),
  };
}

/** Whether a request may cost more by these prices than by those that it was reserved by. */
export function isDearer(prices: Prices, than: Prices | null): boolean {
  return than === null || dearestInput(prices) > dearestInput(than) || prices.output > than.output;
}

function dearestInput({ input, cachedInput = 0, cacheWrite = 0 }: Prices): number {
  return Math.max(input, cachedInput, cacheWrite);
}
