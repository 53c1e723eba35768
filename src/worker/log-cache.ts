import type { Entry } from '../core/entry.ts';
import type { Database } from '../store/database.ts';
import { readEntries } from '../store/session-log.ts';

const SESSIONS = 256;

/** What a claim tells of the session's log: all that stands after a position. */
export interface Told {
  readonly after: number;
  readonly entries: readonly Entry[];
}

/**
 * The logs of the sessions this worker had last. A log is append-only and only what Postgres told is kept, so what is here
 * is never wrong, only short: each turn learns what came since. That keeps the cost of turn 2,000 at that of turn 10.
 */
export class LogCache {
  readonly #logs = new Map<string, Entry[]>();
  /** The session of a turn that has not been claimed yet: a wake-up names the turn alone. */
  readonly #sessionOf = new Map<string, string>();
  readonly #sessions: number;

  constructor(sessions: number = SESSIONS) {
    this.#sessions = sessions;
  }

  /** Says which session a turn belongs to that may come here next. */
  expect(turnId: string, sessionId: string): void {
    this.#sessionOf.set(turnId, sessionId);
    keepNewest(this.#sessionOf, this.#sessions);
  }

  /** Up to where the log is known that this turn goes on with: 0 where nothing is. */
  known(turnId: string): number {
    const sessionId = this.#sessionOf.get(turnId);
    return (sessionId === undefined ? undefined : this.#logs.get(sessionId)?.length) ?? 0;
  }

  /** The session's whole log: a copy, the caller's own. Where `told` goes on from what is known, nothing is read. */
  async read(db: Database, sessionId: string, told?: Told): Promise<Entry[]> {
    const known = this.#logs.get(sessionId) ?? [];
    this.#logs.delete(sessionId);
    this.#logs.set(sessionId, known);
    keepNewest(this.#logs, this.#sessions);
    const joins = told !== undefined && told.after <= known.length;
    // Two attempts of one session may learn at once: each entry is taken once, in its place.
    for (const entry of joins ? told.entries : await readEntries(db, sessionId, known.length)) {
      if (known.length === entry.position - 1) known.push(entry);
    }
    return [...known];
  }
}

function keepNewest(map: Map<string, unknown>, most: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}
