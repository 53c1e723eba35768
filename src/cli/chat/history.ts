/** What was typed, in a file of its person's own: one line of JSON each, the newest last. */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Messages that are kept. */
export const MAX_HISTORY = 1_000;
/** Characters of one; a longer one is not kept. */
export const MAX_REMEMBERED = 20_000;

/** Never fails: without a file it remembers as long as it lives. */
export class History {
  readonly #file: string;
  #entries: string[];

  constructor(file: string) {
    this.#file = file;
    this.#entries = readLines(file);
    if (this.#entries.length > MAX_HISTORY) this.#shorten();
  }

  /** The oldest first, none twice in a row. */
  get entries(): readonly string[] {
    return this.#entries;
  }

  add(text: string): void {
    if (text.trim() === '' || text.length > MAX_REMEMBERED || text === this.#entries.at(-1)) return;
    this.#entries = [...this.#entries, text].slice(-MAX_HISTORY);
    this.#quietly(() => {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      // Several chats may be open: each adds a line, and none writes over another's.
      appendFileSync(this.#file, `${JSON.stringify(text)}\n`, { mode: 0o600 });
      chmodSync(this.#file, 0o600);
    });
  }

  #shorten(): void {
    this.#entries = this.#entries.slice(-MAX_HISTORY);
    const text = this.#entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    this.#quietly(() => {
      writeFileSync(`${this.#file}.${process.pid}`, text, { mode: 0o600 });
      renameSync(`${this.#file}.${process.pid}`, this.#file);
    });
  }

  #quietly(act: () => void): void {
    try {
      act();
    } catch {
      // A disk that is full, or a home that cannot be written: nobody is kept from talking by that.
    }
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').flatMap(entryOf);
  } catch {
    return [];
  }
}

function entryOf(line: string): string[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'string' ? [value] : [];
  } catch {
    return [];
  }
}

/** A search that goes back through what was typed. */
export interface Search {
  readonly query: string;
  /** Of the entry that is found; undefined: nothing is. */
  readonly at: number | undefined;
}

export const NO_SEARCH: Search = { query: '', at: undefined };

/** The newest entry up to `from` that has the query in it, in any case. */
export function find(entries: readonly string[], query: string, from = entries.length - 1): Search {
  const wanted = query.toLowerCase();
  const at = entries.findLastIndex((entry, index) => index <= from && entry.toLowerCase().includes(wanted));
  return { query, at: query === '' || at < 0 ? undefined : at };
}

/** The next older one that says something else; where there is none, this one stays. */
export function findOlder(entries: readonly string[], search: Search): Search {
  const { query, at } = search;
  if (at === undefined) return search;
  const shown = entries[at];
  for (let older = find(entries, query, at - 1); older.at !== undefined; ) {
    if (entries[older.at] !== shown) return older;
    older = find(entries, query, older.at - 1);
  }
  return search;
}
