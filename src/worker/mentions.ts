/**
 * Files and directories that a person mentions in a prompt are read before the model's first answer to it, in the workspace, so that it
 * is the same wherever the files came from. They are read as the agent would, with its tools: the rules that hold for those hold here.
 */
import { stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { type Entry, type FilePart, type NewEntry, standing, textOf } from '../core/entry.ts';
import { type Mention, mentionsIn } from '../core/mentions.ts';
import { truncateForModel } from '../core/truncate.ts';
import { untrusted } from '../core/untrusted.ts';
import { readOutputPage } from '../store/outputs.ts';
import type { ToolOutcome } from '../tools/tool.ts';
import type { Checkout } from '../workspace/checkouts.ts';
import { visible } from '../workspace/file-tree.ts';
import { CallSeen } from '../workspace/seen-files.ts';
import { judgeCall } from './judge-call.ts';
import type { Run } from './run.ts';
import { stored } from './run-tools.ts';
import { isSafe, type Shell } from './shell.ts';

type Notice = Extract<NewEntry, { kind: 'notice' }>;
type UserEntry = Extract<Entry, { kind: 'user' }>;

export const MENTION_LIMITS = {
  /** Files and directories that are read at once. */
  files: 20,
  /** What is shown of them together, in UTF-16 code units; of one no more than of a tool's result. */
  chars: 100_000,
} as const;

export interface Mentioned {
  readonly notices: readonly Notice[];
  /** From the workspace's root. */
  readonly paths: readonly string[];
}

const NOTHING: Mentioned = { notices: [], paths: [] };

/** What was said since the last answer: each is looked at before the next. */
export function newlySaid(log: readonly Entry[]): readonly UserEntry[] {
  const entries = standing(log);
  const answer = entries.findLastIndex(({ kind }) => kind === 'assistant');
  return entries.slice(answer + 1).filter((entry) => entry.kind === 'user');
}

export async function mentioned(shell: Shell, run: Run): Promise<Mentioned> {
  const asked = newlySaid(run.entries).flatMap(({ parts }) => mentionsIn(textOf(parts)));
  if (asked.length === 0) return NOTHING;
  // Of a turn that went on without this worker the files are another's.
  if (!(await isSafe(shell, run))) return NOTHING;
  const workspace = await run.workspace(shell.openWorkspace);
  const found = await Promise.all(asked.map((readings) => firstThere(readings, workspace)));
  const each = new Map(found.flatMap((place) => (place === undefined ? [] : [[keyOf(place), place]])));
  const places = [...each.values()].slice(0, MENTION_LIMITS.files);
  if (places.length === 0) return NOTHING;
  const left = each.size - places.length;
  return { notices: [await noticeOf(shell, run, { places, left })], paths: places.map(({ path }) => path) };
}

interface Place {
  readonly mention: Mention;
  /** From the workspace's root; `.`: the root itself. */
  readonly path: string;
  readonly isDirectory: boolean;
}

function keyOf({ path, mention: { first, last } }: Place): string {
  return JSON.stringify([path, first, last]);
}

async function firstThere(readings: readonly Mention[], workspace: Checkout): Promise<Place | undefined> {
  for (const mention of readings) {
    const place = await placeOf(mention, workspace);
    if (place !== undefined) return place;
  }
  return undefined;
}

/** What is not there, or not in the workspace, stays text. */
async function placeOf(mention: Mention, workspace: Checkout): Promise<Place | undefined> {
  try {
    const real = await workspace.resolve(mention.path);
    const there = await stat(real);
    if (!there.isFile() && !there.isDirectory()) return undefined;
    return { mention, path: relative(workspace.root, real) || '.', isDirectory: there.isDirectory() };
  } catch {
    return undefined;
  }
}

async function noticeOf(
  shell: Shell,
  run: Run,
  { places, left }: { readonly places: readonly Place[]; readonly left: number },
): Promise<Notice> {
  const workspace = await run.workspace(shell.openWorkspace);
  const seen = new CallSeen(workspace.root, shell.seen.of(run.turn.sessionId, run));
  const texts: string[] = [];
  const images: FilePart[] = [];
  let chars: number = MENTION_LIMITS.chars;
  for (const place of places) {
    const outcome = await readPlace(shell, run, { place, seen, chars });
    const { text } = truncateForModel(outcome.text);
    chars -= text.length;
    texts.push('', untrusted(`@${visible(place.mention.path)}${linesOf(place.mention)}`, text));
    images.push(...(await Promise.all((outcome.images ?? []).map((image) => stored(shell, run, image)))));
  }
  const more =
    left === 0
      ? []
      : ['', `(${left} more that were mentioned are not shown: read_file and list_dir show them.)`];
  const text = ['What the message mentions with @, as it is now:', ...texts, ...more].join('\n');
  const known = seen.noted.length === 0 ? {} : { seen: seen.noted };
  const names = places.map(({ mention: { path } }) => path);
  return {
    kind: 'notice',
    parts: [{ type: 'text', text }, ...images],
    noted: { ...known, mentioned: names },
  };
}

function linesOf({ first, last }: Mention): string {
  return first === undefined ? '' : `:${first}-${last}`;
}

interface Reading {
  readonly place: Place;
  readonly seen: CallSeen;
  /** That are left of all. */
  readonly chars: number;
}

async function readPlace(shell: Shell, run: Run, { place, seen, chars }: Reading): Promise<ToolOutcome> {
  const { mention, isDirectory } = place;
  const { path, first, last } = mention;
  const name = isDirectory ? 'list_dir' : 'read_file';
  if (chars <= 0) return { text: `(not shown: there is too much before it; ${name} shows it)` };
  if (!run.profile.tools.includes(name)) return { text: `(not shown: this agent has no ${name})` };
  const lines =
    isDirectory || first === undefined ? {} : { offset: first, limit: (last ?? first) - first + 1 };
  const args = JSON.stringify({ path, ...lines });
  const judged = await judgeCall(shell, run, { name, effect: 'read', argumentsText: args });
  // To be asked about what oneself has named would be for nothing.
  if (judged.decision === 'deny') return { text: `(not shown: ${judged.reason})` };
  return shell.tools.execute(name, args, {
    workspace: await run.workspace(shell.openWorkspace),
    sandbox: shell.sandbox,
    background: run.background,
    seen,
    signal: run.signal,
    onOutput: () => {},
    readOutput: (callId, range) => readOutputPage(shell.db, { rootId: run.turn.rootId, callId }, range),
  });
}
