import { type Entry, type SeenFile, standing } from '../core/entry.ts';
import { createSeenFiles, type SeenFiles } from '../workspace/seen-files.ts';

/** Sessions of which a worker remembers what their logs say of files. */
export const SEEN_SESSIONS = 256;

/** What a part of a log, up to its entry `last`, comes to. */
interface Known {
  readonly seen: SeenFiles;
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

  /** By paths from the workspace's root. */
  of(sessionId: string, { entries, told }: SeenLog): Pick<SeenFiles, 'versionOf'> {
    const before = this.#upTo(sessionId, entries, told).seen;
    const since = new Map<string, string | undefined>();
    for (const [path, version] of entries.slice(told).flatMap(seenIn)) since.set(path, version);
    return { versionOf: (path) => (since.has(path) ? since.get(path) : before.versionOf(path)) };
  }

  #upTo(sessionId: string, entries: readonly Entry[], length: number): Known {
    const last = this.#sessions.get(sessionId);
    const known = last !== undefined && goesOn(last, entries, length) ? last : fresh();
    const more = entries.slice(known.length, length);
    for (const entry of known.length === 0 ? standing(more) : more) {
      for (const [path, version] of seenIn(entry)) known.seen.note(path, version);
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
  return { seen: createSeenFiles(), length: 0, last: undefined };
}

/** Whether the log begins with what is known, and nothing of that was taken back since. */
function goesOn({ length, last }: Known, entries: readonly Entry[], end: number): boolean {
  if (length > end || entries[length - 1] !== last) return false;
  return entries.slice(length, end).every(({ kind }) => kind !== 'revert');
}

function seenIn(entry: Entry): readonly SeenFile[] {
  return (entry.kind === 'tool_result' && entry.noted?.seen) || [];
}
