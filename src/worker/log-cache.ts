import type { Entry } from '../core/entry.ts';
import type { Database } from '../store/database.ts';
import { readEntries } from '../store/session-log.ts';

const SESSIONS = 256;

/**
 * The logs of the sessions this worker had last. A log is append-only, so what is here is never wrong, only short: each
 * turn reads what came since. That keeps the cost of turn 2,000 at that of turn 10.
 */
export class LogCache {
  readonly #logs = new Map<string, Entry[]>();
  readonly #sessions: number;

  constructor(sessions: number = SESSIONS) {
    this.#sessions = sessions;
  }

  /** The whole log, with what is new since the last time. The array is the cache's own; only `append` changes it. */
  async read(db: Database, sessionId: string): Promise<readonly Entry[]> {
    const known = this.#logs.get(sessionId) ?? [];
    this.#remember(sessionId, known);
    this.append(sessionId, await readEntries(db, sessionId, known.length));
    return known;
  }

  /** Adds entries that were just committed or read; those that are here already are passed over. */
  append(sessionId: string, entries: readonly Entry[]): void {
    const log = this.#logs.get(sessionId);
    for (const entry of entries) if (log?.length === entry.position - 1) log.push(entry);
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
