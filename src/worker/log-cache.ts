import type { Entry } from '../core/entry.ts';
import type { Database } from '../store/database.ts';
import { readLog } from '../store/session-log.ts';

/** Sessions, and what their logs take together, that a worker remembers. */
export interface CacheLimits {
  readonly sessions: number;
  readonly bytes: number;
}

export const CACHE_LIMITS: CacheLimits = { sessions: 256, bytes: 64 * 1024 * 1024 };

/** What a claim tells of the session's log: all that stands after a position. */
export interface Told {
  readonly after: number;
  readonly entries: readonly Entry[];
}

interface KnownLog {
  readonly entries: Entry[];
  bytes: number;
  /** Where the newest summary stands that was read, without what it stands for; 0: all is known. */
  summary: number;
}

/**
 * The logs of the sessions this worker had last. A log is append-only and only what Postgres told is kept, so what is here
 * is never wrong, only short: each turn learns what came since. That keeps the cost of turn 2,000 at that of turn 10. Of a log that
 * is read, what a summary stands for comes without its parts, until a person goes back to before that summary.
 */
export class LogCache {
  readonly #logs = new Map<string, KnownLog>();
  /** The session of a turn that has not been claimed yet: a wake-up names the turn alone. */
  readonly #sessionOf = new Map<string, string>();
  readonly #limits: CacheLimits;
  #bytes = 0;

  constructor(limits: Partial<CacheLimits> = {}) {
    this.#limits = { ...CACHE_LIMITS, ...limits };
  }

  /** Says which session a turn belongs to that may come here next. */
  expect(turnId: string, sessionId: string): void {
    this.#sessionOf.set(turnId, sessionId);
    for (const oldest of this.#sessionOf.keys()) {
      if (this.#sessionOf.size <= this.#limits.sessions) return;
      this.#sessionOf.delete(oldest);
    }
  }

  /** Up to where the log is known that this turn goes on with: 0 where nothing is. */
  known(turnId: string): number {
    const sessionId = this.#sessionOf.get(turnId);
    return (sessionId === undefined ? undefined : this.#logs.get(sessionId)?.entries.length) ?? 0;
  }

  /** The session's whole log: a copy, the caller's own. Where `told` goes on from what is known, nothing is read. */
  async read(db: Database, sessionId: string, told?: Told): Promise<Entry[]> {
    const log = this.#newest(sessionId);
    const { entries } = log;
    const joins = told !== undefined && told.after <= entries.length;
    // Two attempts of one session may learn at once: each entry is taken once, in its place.
    const added = joins ? told.entries : await readLog(db, sessionId, entries.length);
    for (const entry of added) if (entries.length === entry.position - 1) this.#add(sessionId, log, entry);
    if (added.some((entry) => entry.kind === 'revert' && entry.to < log.summary)) {
      this.#forget(sessionId);
      return this.read(db, sessionId);
    }
    const summary = joins ? undefined : added.findLast(({ kind }) => kind === 'compaction');
    log.summary = Math.max(log.summary, summary?.position ?? 0);
    this.#trim();
    return [...entries];
  }

  #forget(sessionId: string): void {
    this.#bytes -= this.#logs.get(sessionId)?.bytes ?? 0;
    this.#logs.delete(sessionId);
  }

  #newest(sessionId: string): KnownLog {
    const log = this.#logs.get(sessionId) ?? { entries: [], bytes: 0, summary: 0 };
    this.#logs.delete(sessionId);
    this.#logs.set(sessionId, log);
    return log;
  }

  /** The log may have been forgotten while it was read. */
  #add(sessionId: string, log: KnownLog, entry: Entry): void {
    const bytes = bytesOf(entry);
    log.entries.push(entry);
    log.bytes += bytes;
    if (this.#logs.get(sessionId) === log) this.#bytes += bytes;
  }

  /** Forgets what is too much, the oldest first: all of a session, also where it alone is too much. */
  #trim(): void {
    for (const [oldest, log] of this.#logs) {
      if (this.#logs.size <= this.#limits.sessions && this.#bytes <= this.#limits.bytes) return;
      this.#logs.delete(oldest);
      this.#bytes -= log.bytes;
    }
  }
}

/** About what an entry's objects take beside its texts. */
const ENTRY_BYTES = 512;
/** A character takes up to two bytes. */
const CHARACTER_BYTES = 2;

/** About what an entry takes in memory. */
export function bytesOf(entry: Entry): number {
  let characters = 0;
  for (const part of entry.parts) {
    for (const text of Object.values(part)) characters += String(text).length;
  }
  if ('noted' in entry) characters += JSON.stringify(entry.noted ?? '').length;
  return ENTRY_BYTES + characters * CHARACTER_BYTES;
}
