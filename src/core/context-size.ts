/** How large a request is: counted once for each entry, and corrected by what the provider counted. */
import { type Entry, type FilePart, isImage, type NewEntry, type Part, type UserPart } from './entry.ts';
import type { ContextPolicy } from './profile.ts';
import type { ModelSettings } from './provider.ts';
import { PRUNED, SUMMARY_FOLLOWS, type View } from './view.ts';

export type CountTokens = (text: string) => number;

export interface ContextLimits {
  readonly policy: ContextPolicy;
  /** What a request may have, in the provider's tokens. */
  readonly tokens: number;
  /** What every request begins with: the system prompt, and the tools. */
  readonly overhead: number;
  readonly count: CountTokens;
}

/** Tokens kept free for an answer whose length nobody says. */
export const USUAL_OUTPUT = 4_096;

/** What a request may have: as configured, where the model's window, less its answer, is not smaller. */
export function contextTokens(
  { maxTokens }: ContextPolicy,
  { contextTokens: window, outputTokens }: ModelSettings,
  asked: number | undefined,
): number {
  if (window === undefined) return maxTokens;
  const output = asked ?? outputTokens ?? USUAL_OUTPUT;
  // Some models may answer with all of their window.
  return Math.min(maxTokens, window - Math.min(output, Math.floor(window / 2)));
}

/** What a message takes beside what it says. */
const MESSAGE_TOKENS = 4;
const PIXELS_PER_TOKEN = 750;
/** Providers make larger images smaller. */
export const MOST_IMAGE_TOKENS = 1_600;

export function imageTokens({ width, height }: FilePart): number {
  return Math.min(Math.ceil((width * height) / PIXELS_PER_TOKEN), MOST_IMAGE_TOKENS);
}

/** Entries never change. */
const COUNTED = new WeakMap<CountTokens, WeakMap<Entry | NewEntry, number>>();

/** Tokens of an entry as it is told where nothing was taken out. */
export function sizeOf(entry: Entry | NewEntry, count: CountTokens): number {
  let sizes = COUNTED.get(count);
  if (sizes === undefined) {
    sizes = new WeakMap();
    COUNTED.set(count, sizes);
  }
  let size = sizes.get(entry);
  if (size === undefined) {
    const parts: readonly (Part | UserPart)[] = entry.parts;
    const preface = entry.kind === 'compaction' ? count(SUMMARY_FOLLOWS) : 0;
    size = parts.reduce((sum, part) => sum + partSize(part, count), MESSAGE_TOKENS + preface);
    sizes.set(entry, size);
  }
  return size;
}

function partSize(part: Part | UserPart, count: CountTokens): number {
  switch (part.type) {
    case 'text':
      return count(part.text);
    // Without its proof it is not sent back.
    case 'reasoning':
      return part.signature === undefined ? 0 : count(part.text);
    case 'tool':
      return MESSAGE_TOKENS + count(part.name) + count(part.arguments);
    case 'file':
      return isImage(part) ? imageTokens(part) : 0;
  }
}

/** Tokens of an entry as a view tells it. */
export function toldSize(entry: Entry, { pruned }: Pick<View, 'pruned'>, count: CountTokens): number {
  return pruned.has(entry.position) ? prunedSize(count) : sizeOf(entry, count);
}

export function prunedSize(count: CountTokens): number {
  return MESSAGE_TOKENS + count(PRUNED);
}

/** What the entries of a view come to, by our own count. */
export function countedSize(view: View, count: CountTokens): number {
  const pruned = view.pruned.size === 0 ? 0 : prunedSize(count);
  return view.entries.reduce(
    (sum, entry) => sum + (view.pruned.has(entry.position) ? pruned : sizeOf(entry, count)),
    0,
  );
}

/** A count of ours is not believed to be off by more. */
const RATIOS = { least: 0.5, most: 4 } as const;

/**
 * The provider's tokens for one of ours: as it counted the request of the newest answer, or of the oldest, of those that were
 * asked for in this view. 1 where there is none.
 */
export function ratioOf(
  view: View,
  { overhead, count }: Pick<ContextLimits, 'overhead' | 'count'>,
  by: 'newest' | 'oldest' = 'newest',
): number {
  const since = view.changed?.position ?? 0;
  let counted = overhead;
  let ratio: number | undefined;
  for (const entry of view.entries) {
    const input = entry.kind === 'assistant' && entry.position > since ? entry.noted?.input : undefined;
    if (input !== undefined && input > 0 && counted > 0) ratio = input / counted;
    if (ratio !== undefined && by === 'oldest') break;
    counted += toldSize(entry, view, count);
  }
  return Math.min(Math.max(ratio ?? 1, RATIOS.least), RATIOS.most);
}
