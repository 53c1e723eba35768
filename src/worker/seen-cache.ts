import { type Entry, type Noted, standing } from '../core/entry.ts';
import { createSeenFiles, type SeenFiles } from '../workspace/seen-files.ts';

/** Sessions of which a worker remembers what their logs say of files. */
export const SEEN_SESSIONS = 256;

/** What a log says of its workspace's files. Paths are from the root. */
export interface KnownFiles {
  versionOf: SeenFiles['versionOf'];
  /** Ignored ones that are there, but for what was done to them meanwhile by nobody who tells. */
  readonly ignored: readonly string[];
  /** Whether the instructions with this path were told. */
  readonly isTold: (path: string) => boolean;
}

/** What a part of a log, up to its entry `last`, comes to. */
interface Known {
  readonly seen: SeenFiles;
  readonly told: Set<string>;
  ignored: readonly string[];
  length: number;
  last: Entry | undefined;
}

/** A session's log. */
export interface SeenLog {
  readonly entries: readonly Entry[];
  /** How many of them Postgres told. What this worker has added since may yet come to nothing. */
  readonly told: number;
}

/**
 * What agents know of the files they work on. All of it stands in their logs, so that any worker knows the same; what is remembered
 * here only saves reading a log from its beginning for each turn.
 */
export class SeenCache {
  readonly #sessions = new Map<string, Known>();
  readonly #limit: number;

  constructor(limit: number = SEEN_SESSIONS) {
    this.#limit = limit;
  }

  of(sessionId: string, { entries, told }: SeenLog): KnownFiles {
    const before = this.#upTo(sessionId, entries, told);
    const since = new Map<string, string | undefined>();
    const toldSince = new Set<string>();
    let { ignored } = before;
    for (const { seen, ignored: others, instructions } of entries.slice(told).map(notedIn)) {
      for (const [path, version] of seen ?? []) since.set(path, version);
      for (const path of instructions ?? []) toldSince.add(path);
      ignored = others ?? ignored;
    }
    const versionOf = (path: string) => (since.has(path) ? since.get(path) : before.seen.versionOf(path));
    const isTold = (path: string) => toldSince.has(path) || before.told.has(path);
    return { versionOf, ignored, isTold };
  }

  #upTo(sessionId: string, entries: readonly Entry[], length: number): Known {
    const last = this.#sessions.get(sessionId);
    const known = last !== undefined && goesOn(last, entries, length) ? last : fresh();
    const more = entries.slice(known.length, length);
    for (const { seen, ignored, instructions } of (known.length === 0 ? standing(more) : more).map(notedIn)) {
      for (const [path, version] of seen ?? []) known.seen.note(path, version);
      for (const path of instructions ?? []) known.told.add(path);
      known.ignored = ignored ?? known.ignored;
    }
    known.length = length;
    known.last = entries[length - 1];
    this.#sessions.delete(sessionId);
    this.#sessions.set(sessionId, known);
    this.#trim();
    return known;
  }

  #trim(): void {
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= this.#limit) return;
      this.#sessions.delete(oldest);
    }
  }
}

function fresh(): Known {
  return { seen: createSeenFiles(), told: new Set(), ignored: [], length: 0, last: undefined };
}

/** Whether the log begins with what is known, and nothing of that was taken back since. */
function goesOn({ length, last }: Known, entries: readonly Entry[], end: number): boolean {
  if (length > end || entries[length - 1] !== last) return false;
  return entries.slice(length, end).every(({ kind }) => kind !== 'revert');
}

const NOTHING: Noted = {};

function notedIn(entry: Entry): Noted {
  return ('noted' in entry && entry.noted) || NOTHING;
}
