import type { Paint } from './terminal.ts';
import { neutralised } from './untrusted-text.ts';

/** What a model writes, as it comes, turned into what is printed of it. Everything is neutralised. */
export interface Prose {
  /** The next piece. Returns what is to be printed now. */
  add(text: string): string;
  /** Lines of somebody else are to be printed in the middle of it. Returns what is to be printed before them. */
  interrupt(): string;
  /** Nothing more comes. Returns what is still to be printed, up to the end of a line; the next piece begins another text. */
  end(): string;
  /** What is not printed yet, since it may still change. */
  lines(): readonly string[];
}

/** Printed as it comes, for a pipe, and for terminals on which nothing can be drawn again. */
export class PlainProse implements Prose {
  readonly #paint: Paint;
  #isLineOpen = false;

  constructor(paint: Paint = (text) => text) {
    this.#paint = paint;
  }

  add(text: string): string {
    if (text === '') return '';
    const safe = neutralised(text);
    this.#isLineOpen = !safe.endsWith('\n');
    return this.#paint(safe);
  }

  interrupt(): string {
    return this.end();
  }

  end(): string {
    const end = this.#isLineOpen ? '\n' : '';
    this.#isLineOpen = false;
    return end;
  }

  lines(): readonly string[] {
    return [];
  }
}
