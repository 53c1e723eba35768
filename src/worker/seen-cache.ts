import type { Entry } from '../core/entry.ts';
import { createSeenFiles, type SeenFiles } from '../workspace/seen-files.ts';

/** Sessions whose files a worker remembers; of others it knows nothing, and edits there must only fit exactly. */
export const SEEN_SESSIONS = 256;

interface Known {
  readonly seen: SeenFiles;
  /** Position of the answer whose calls ran here last. */
  answer: number;
}

/** A session's log, with the answer whose calls run now. */
export interface SeenLog {
  readonly entries: readonly Entry[];
  readonly answerPosition: number | null;
}

/** What the sessions that this worker had last know of their files. */
export class SeenCache {
  readonly #sessions = new Map<string, Known>();
  readonly #limit: number;

  constructor(limit: number = SEEN_SESSIONS) {
    this.#limit = limit;
  }

  /** Where calls ran elsewhere since, the agent may have read and changed anything there: all that was known is forgotten. */
  of(sessionId: string, { entries, answerPosition }: SeenLog): SeenFiles {
    const answer = answerPosition ?? entries.length;
    const last = this.#sessions.get(sessionId);
    const isUnbroken = last !== undefined && !hasCalls(entries.slice(last.answer, answer - 1));
    const known = isUnbroken ? last : { seen: createSeenFiles(), answer };
    known.answer = answer;
    this.#sessions.delete(sessionId);
    this.#sessions.set(sessionId, known);
    this.#trim();
    return known.seen;
  }

  /** Its files were put back to what they were before calls that the agent will see run again. */
  forget(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }

  #trim(): void {
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= this.#limit) return;
      this.#sessions.delete(oldest);
    }
  }
}

function hasCalls(entries: readonly Entry[]): boolean {
  return entries.some(({ kind, parts }) => kind === 'assistant' && parts.some(({ type }) => type === 'tool'));
}
