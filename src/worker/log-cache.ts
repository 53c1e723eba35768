import type { Entry } from '../core/entry.ts';
import type { Database } from '../store/database.ts';
import { readEntries } from '../store/session-log.ts';

const SESSIONS = 256;

/**
 * The logs of the sessions this worker had last. A log is append-only and only what was read from Postgres is kept, so what
 * is here is never wrong, only short: each turn reads what came since. That keeps the cost of turn 2,000 at that of turn
 * 10.
 */
export class LogCache {
  readonly #logs = new Map<string, Entry[]>();
  readonly #sessions: number;

  constructor(sessions: number = SESSIONS) {
    this.#sessions = sessions;
  }

  /** The whole log, with what is new since the last time: a copy, the caller's own. */
  async read(db: Database, sessionId: string): Promise<Entry[]> {
    const known = this.#logs.get(sessionId) ?? [];
    this.#remember(sessionId, known);
    // Two attempts of one session may read at once: each entry is taken once, in its place.
    for (const entry of await readEntries(db, sessionId, known.length)) {
      if (known.length === entry.position - 1) known.push(entry);
    }
    return [...known];
  }

  #remember(sessionId: string, log: Entry[]): void {
    this.#logs.delete(sessionId);
    this.#logs.set(sessionId, log);
    for (const oldest of this.#logs.keys()) {
      if (this.#logs.size <= this.#sessions) return;
      this.#logs.delete(oldest);
    }
  }
}
