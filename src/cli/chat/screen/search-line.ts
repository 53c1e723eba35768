/** Ctrl-R: the history, searched while one types. */
import {
  type Component,
  CURSOR_MARKER,
  decodeKittyPrintable,
  type Focusable,
  matchesKey,
  renderFakeCursor,
  truncateToWidth,
} from '@earendil-works/pi-tui';
import type { Look } from '../../look.ts';
import { neutralised } from '../../untrusted-text.ts';
import { find, findOlder, NO_SEARCH, type Search } from '../history.ts';

export interface SearchOptions {
  readonly entries: readonly string[];
  readonly look: Look;
  /** With what was found, or undefined where it was broken off. */
  readonly done: (text: string | undefined) => void;
}

export class SearchLine implements Component, Focusable {
  focused = false;
  readonly #options: SearchOptions;
  #search: Search = NO_SEARCH;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  handleInput(data: string): void {
    const { entries, done } = this.#options;
    const { query } = this.#search;
    if (matchesKey(data, 'ctrl+r')) this.#search = findOlder(entries, this.#search);
    else if (matchesKey(data, 'escape') || matchesKey(data, 'ctrl+c') || matchesKey(data, 'ctrl+g'))
      done(undefined);
    else if (matchesKey(data, 'enter') || matchesKey(data, 'tab') || matchesKey(data, 'right'))
      done(this.#found);
    else if (matchesKey(data, 'backspace')) this.#search = find(entries, [...query].slice(0, -1).join(''));
    else {
      const typed = decodeKittyPrintable(data) ?? data;
      if (/^[^\p{Cc}]+$/u.test(typed)) this.#search = find(entries, query + typed);
    }
  }

  render(columns: number): string[] {
    const { look } = this.#options;
    const { theme } = look;
    const { query } = this.#search;
    const found = this.#found;
    const cursor = (this.focused ? CURSOR_MARKER : '') + renderFakeCursor(' ');
    const asked = `${theme.quiet('Search what was typed:')} ${neutralised(query)}${cursor}`;
    const shown = found === undefined ? [theme.quiet(query === '' ? '' : 'nothing')] : shownLines(found);
    const hint = theme.quiet('Ctrl-R older, Enter takes it, Esc none');
    const edge = theme.quiet(look.signs.line.repeat(columns));
    return [edge, asked, ...shown, hint].map((line) => truncateToWidth(line, columns, '…', true));
  }

  invalidate(): void {}

  get #found(): string | undefined {
    const { at } = this.#search;
    return at === undefined ? undefined : this.#options.entries[at];
  }
}

/** Lines of what was found that are shown. */
const LINES = 3;

function shownLines(text: string): string[] {
  return neutralised(text)
    .split('\n')
    .slice(0, LINES)
    .map((line) => `  ${line}`);
}
