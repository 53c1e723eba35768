/** A terminal as far as programs of ours move its cursor: what stands on it, and what has scrolled away. */
import { widthOf } from '../../src/cli/text-width.ts';

// A control sequence, a sequence of two characters, or one character.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal is told
const TOKENS = /\x1b\[([?\d;]*)([A-Za-z])|\x1b([78D])|[\s\S]/gu;

export class ScreenModel {
  columns: number;
  rows: number;
  /** Of the screen, from its top; each cell a character, or '' behind one of two columns. */
  #lines: string[][] = [[]];
  readonly #scrolled: string[] = [];
  #row = 0;
  #column = 0;
  #saved = [0, 0] as [number, number];
  #wraps = true;
  /** A character stands in the last column; the next one begins a line. */
  #isFull = false;

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  /** All that a person sees who scrolls up, without blanks at the ends of lines. */
  get text(): string {
    const lines = [...this.#scrolled, ...this.#lines.map((cells) => cells.join(''))];
    return lines
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd();
  }

  get cursor(): readonly [row: number, column: number] {
    return [this.#scrolled.length + this.#row, this.#isFull ? this.columns : this.#column];
  }

  write(text: string): void {
    for (const [token, parameters = '', command, other] of text.matchAll(TOKENS)) {
      if (command !== undefined) this.#control(command, parameters);
      else if (other !== undefined) this.#short(other);
      else this.#put(token);
    }
  }

  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
    this.#lines = this.#lines.map((cells) => cells.slice(0, columns));
    while (this.#lines.length > rows) {
      this.#scroll();
      this.#row = Math.max(0, this.#row - 1);
    }
    this.#column = Math.min(this.#column, columns - 1);
  }

  #control(command: string, parameters: string): void {
    const count = Number(parameters || 1);
    if (command === 'A') this.#move(Math.max(0, this.#row - count), this.#column);
    else if (command === 'G') this.#move(this.#row, Math.min(count, this.columns) - 1);
    else if (command === 'J' && parameters === '') this.#eraseBelow();
    else if (parameters === '?7') this.#wraps = command === 'h';
    else if (command !== 'm') throw new Error(`a terminal is told ${parameters}${command}`);
  }

  #short(which: string): void {
    if (which === '7') this.#saved = [this.#row, this.#column];
    else if (which === '8') this.#move(...this.#saved);
    else {
      this.#isFull = false;
      this.#down();
    }
  }

  #put(character: string): void {
    if (character === '\r' || character === '\n') {
      this.#move(this.#row, 0);
      if (character === '\n') this.#down();
      return;
    }
    const width = widthOf(character);
    if (width === 0) return;
    if (this.#isFull || this.#column + width > this.columns) {
      if (!this.#wraps) return;
      this.#move(this.#row, 0);
      this.#down();
    }
    const cells = this.#lines[this.#row] as string[];
    while (cells.length < this.#column) cells.push(' ');
    cells.splice(this.#column, width, character, ...Array(width - 1).fill(''));
    this.#column += width;
    this.#isFull = this.#column === this.columns;
    if (this.#isFull) this.#column -= 1;
  }

  #move(row: number, column: number): void {
    this.#row = row;
    this.#column = column;
    this.#isFull = false;
  }

  #down(): void {
    if (this.#row === this.rows - 1) this.#scroll();
    else this.#row += 1;
    while (this.#lines.length <= this.#row) this.#lines.push([]);
  }

  #scroll(): void {
    this.#scrolled.push((this.#lines.shift() ?? []).join(''));
  }

  #eraseBelow(): void {
    this.#lines[this.#row]?.splice(this.#column);
    this.#lines.splice(this.#row + 1);
    this.#isFull = false;
  }
}
