/** What a run's request may have. Counting takes its time, so that it is left out while a log is far from being too long. */
import { setImmediate as pause } from 'node:timers/promises';
import { askedAt } from '../core/compaction.ts';
import {
  type ContextLimits,
  type CountTokens,
  contextTokens,
  MOST_IMAGE_TOKENS,
  sizeOf,
} from '../core/context-size.ts';
import type { Entry } from '../core/entry.ts';
import { DEFAULT_CONTEXT } from '../core/profile.ts';
import { chooseModel } from '../core/router.ts';
import { viewOf } from '../core/view.ts';
import { tokenCounter } from '../model/tokens.ts';
import type { Registry } from '../tools/registry.ts';
import { shownTools } from './mcp-tools.ts';
import { outlookOf } from './route.ts';
import type { Run } from './run.ts';
import type { Shell } from './shell.ts';

/** More than providers count for what a message takes beside what it says. */
const MESSAGE_BYTES = 32;
/** As long as counting may keep everything else waiting. */
const LONGEST_COUNT_MS = 10;
/** What every request begins with, by the profile's hash. */
const OVERHEADS = new WeakMap<Registry, Map<string, number>>();
const PROFILES = 1_000;

/** Undefined where the turn has its answer, or its log is too short for them to matter. */
export async function contextLimits(shell: Shell, run: Run): Promise<ContextLimits | undefined> {
  if (run.answerPosition !== null || run.stopped !== undefined) return undefined;
  const { profile, turn } = run;
  const policy = profile.context ?? DEFAULT_CONTEXT;
  const { info } = shell.models.resolve(chooseModel(outlookOf(shell, run)));
  const tokens = contextTokens(policy, info, profile.maxTokens);
  const opening = openingOf(run);
  const entries = viewOf(run.entries).entries;
  const bytes = Buffer.byteLength(opening) + entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
  const isShort = bytes < policy.compactAt * tokens;
  const isFew = policy.strategy === 'compact' || entries.length <= (policy.maxMessages ?? entries.length);
  const isAsked = askedAt(run.entries) !== undefined;
  if (isShort && isFew && turn.kind === 'answer' && !isAsked) return undefined;
  const count = await tokenCounter();
  await countAll(entries, count);
  return { policy, tokens, count, overhead: overheadOf(shell, run, { opening, count }) };
}

function openingOf(run: Run): string {
  return `${run.profile.prompt}\n${JSON.stringify(shownTools(run))}`;
}

/** Tools of the same length count alike. */
function overheadOf(
  { tools }: Shell,
  { turn }: Run,
  { opening, count }: { readonly opening: string; readonly count: CountTokens },
): number {
  const known = OVERHEADS.get(tools) ?? new Map<string, number>();
  OVERHEADS.set(tools, known);
  if (known.size >= PROFILES) known.clear();
  const key = `${turn.profileHash} ${opening.length}`;
  const overhead = known.get(key) ?? count(opening);
  known.set(key, overhead);
  return overhead;
}

/** A long log that is new here is not counted in one go: the worker has a lease to renew, and other runs. */
async function countAll(entries: readonly Entry[], count: CountTokens): Promise<void> {
  let since = performance.now();
  for (const entry of entries) {
    sizeOf(entry, count);
    if (performance.now() - since < LONGEST_COUNT_MS) continue;
    await pause();
    since = performance.now();
  }
}

/** No provider's tokenizer makes more tokens of a text than it has bytes. */
function bytesOf({ parts }: Entry): number {
  let bytes = MESSAGE_BYTES;
  for (const part of parts) {
    if (part.type === 'tool') bytes += Buffer.byteLength(part.name) + Buffer.byteLength(part.arguments);
    else if (part.type !== 'file') bytes += Buffer.byteLength(part.text);
    // An image counts as its tokens do, whatever its name.
    else bytes += MOST_IMAGE_TOKENS;
  }
  return bytes;
}
