import { createSeenFiles, type SeenFiles } from '../workspace/seen-files.ts';

/** Sessions whose files a worker remembers; of others it knows nothing, and edits there must only fit exactly. */
export const SEEN_SESSIONS = 256;

/** What the sessions that this worker had last know of their files. */
export class SeenCache {
  readonly #sessions = new Map<string, SeenFiles>();
  readonly #limit: number;

  constructor(limit: number = SEEN_SESSIONS) {
    this.#limit = limit;
  }

  of(sessionId: string): SeenFiles {
    const seen = this.#sessions.get(sessionId) ?? createSeenFiles();
    this.#sessions.delete(sessionId);
    this.#sessions.set(sessionId, seen);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= this.#limit) break;
      this.#sessions.delete(oldest);
    }
    return seen;
  }
}
