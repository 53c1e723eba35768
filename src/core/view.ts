/**
 * What of a log a request is made of. The log itself never changes: a `compaction` says for what its text stands, a `pruning`
 * which results are only told of, and where a person went back before them, they are no more.
 */
import { type Entry, standing } from './entry.ts';

export interface View {
  /** In the order in which they are told. */
  readonly entries: readonly Entry[];
  /** Positions of results of which is only told that they were there. */
  readonly pruned: ReadonlySet<number>;
  /** The newest entry that changed what is told of those before it. */
  readonly changed: Entry | undefined;
  /** Where a window begins; undefined: nothing fell out of one. */
  readonly first: Entry | undefined;
}

type CompactionEntry = Extract<Entry, { kind: 'compaction' }>;

/** What is told of a result whose text was taken out. */
export const PRUNED =
  '(This output was taken out to save room. Where you need it again, make the call again, or read what it was about.)';

/** Before a summary. */
export const SUMMARY_FOLLOWS =
  'What came before was taken out to save room. This summary stands for it; what the user said last, and what came after, follows word ' +
  'for word.';

export function viewOf(log: readonly Entry[]): View {
  const entries = standing(log);
  const changed = entries.findLast(({ kind }) => kind === 'compaction' || kind === 'pruning');
  if (changed === undefined) return { entries, pruned: NONE, changed, first: undefined };
  const compaction = entries.findLast((entry) => entry.kind === 'compaction');
  const told = compaction === undefined ? entries : compacted(entries, compaction);
  return {
    entries: told.filter(({ kind }) => kind !== 'pruning'),
    pruned: prunedIn(entries),
    changed,
    first: undefined,
  };
}

const NONE: ReadonlySet<number> = new Set();

function prunedIn(entries: readonly Entry[]): ReadonlySet<number> {
  return new Set(entries.flatMap((entry) => (entry.kind === 'pruning' ? entry.replaces.results : [])));
}

/** A message of the user that the summary stands for is told as well, word for word, if it is the last one. */
function compacted(entries: readonly Entry[], compaction: CompactionEntry): Entry[] {
  const { after, to } = compaction.replaces;
  const head = entries.filter(({ position }) => position <= after);
  const rest = entries.filter(({ kind, position }) => position > to && kind !== 'compaction');
  const said = entries.findLast(({ kind }) => kind === 'user');
  const isTold = said === undefined || said.position <= after || said.position > to;
  return [...head, compaction, ...(isTold ? [] : [said]), ...rest];
}

/** What belongs together: an answer with its results, or what a person said, with what Capybara said after it. */
export function groupsOf(entries: readonly Entry[]): readonly (readonly Entry[])[] {
  const groups: Entry[][] = [];
  for (const entry of entries) {
    const begins = entry.kind === 'assistant' || entry.kind === 'user' || entry.kind === 'compaction';
    const last = groups.at(-1);
    if (begins || last === undefined) groups.push([entry]);
    else last.push(entry);
  }
  return groups;
}

export interface WindowLimits {
  /** Messages at most; null: as many as there is room for. */
  readonly messages: number | null;
  readonly tokens: number;
  readonly sizeOf: (entry: Entry) => number;
  /** What is kept of them where they become too many: more than is needed goes at once, so that requests keep their beginning for a while. */
  readonly keeps: number;
}

const LEFT_OUT = '(Earlier messages are left out here to save room.)';
/** By where the window begins: the very same entry each time. */
const NOTES = new WeakMap<Entry, Entry>();

/**
 * The newest groups of a view, the last message of the user in any case: first in, first out. What is told is a function of the
 * log's beginning and grows with it, but where the oldest go.
 */
export function windowed(view: View, limits: WindowLimits): View {
  const groups = groupsOf(view.entries);
  const kept = groups.slice(firstKept(groups, limits)).flat();
  const [first] = kept;
  if (first === undefined || first === view.entries[0]) return view;
  const said = view.entries.findLast(({ kind }) => kind === 'user');
  const isTold = said === undefined || kept.includes(said);
  return { ...view, entries: [noteBefore(first), ...(isTold ? [] : [said]), ...kept], first };
}

function firstKept(groups: readonly (readonly Entry[])[], { messages, tokens, sizeOf, keeps }: WindowLimits) {
  const most = messages ?? Number.POSITIVE_INFINITY;
  const sizes = groups.map((group) => group.reduce((sum, entry) => sum + sizeOf(entry), 0));
  let first = 0;
  let count = 0;
  let size = 0;
  for (let index = 0; index < groups.length; index++) {
    count += groups[index]?.length ?? 0;
    size += sizes[index] ?? 0;
    if (count <= most && size <= tokens) continue;
    // The newest group stays whatever it takes.
    while (first < index && (count > most * keeps || size > tokens * keeps)) {
      count -= groups[first]?.length ?? 0;
      size -= sizes[first] ?? 0;
      first += 1;
    }
  }
  return first;
}

/** A conversation begins with the user. */
function noteBefore(first: Entry): Entry {
  const known = NOTES.get(first);
  if (known !== undefined) return known;
  const note: Entry = { kind: 'notice', position: 0, parts: [{ type: 'text', text: LEFT_OUT }] };
  NOTES.set(first, note);
  return note;
}
