import type { Entry } from '../api/wire.ts';
import type { Page, Query } from '../client/client.ts';

/** Entries that are kept behind the last one that was asked for: results are read shortly after their answers. */
const KEPT = 500;
const PAGE_SIZE = 200;

/** Reads a session's entries forward, page by page, as their positions are asked for. */
export class EntryReader {
  readonly #load: (query: Query) => Promise<Page<Entry>>;
  readonly #entries = new Map<number, Entry>();
  #cursor: string | undefined;

  constructor(load: (query: Query) => Promise<Page<Entry>>) {
    this.#load = load;
  }

  /** The entry at `position` (from 1); `undefined` where the session has none there. */
  async at(position: number): Promise<Entry | undefined> {
    for (let isLast = false; ; ) {
      const entry = this.#entries.get(position);
      if (entry) this.#forgetBefore(position - KEPT);
      if (entry || isLast) return entry;
      const { data, nextCursor } = await this.#load({ limit: PAGE_SIZE, cursor: this.#cursor });
      for (const each of data) this.#entries.set(each.position, each);
      // The last page may grow: it is asked for again.
      isLast = nextCursor === null;
      this.#cursor = nextCursor ?? this.#cursor;
    }
  }

  #forgetBefore(oldest: number): void {
    for (const position of this.#entries.keys()) {
      if (position >= oldest) break;
      this.#entries.delete(position);
    }
  }
}
