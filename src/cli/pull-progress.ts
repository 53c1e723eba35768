import { sizeOf } from './image-line.ts';
import type { Style } from './terminal.ts';
import { oneLine } from './untrusted-text.ts';

/** One thing that is told of a pull; bytes are of the part that is being fetched. */
export interface PullNews {
  readonly status: string;
  readonly total?: number;
  readonly completed?: number;
}

const MAX_STATUS = 60;
const CLEAR_LINE = '\r\u001b[2K';

/** How a pull goes on: one line that changes where a person watches, else a line for each new thing. */
export class PullProgress {
  readonly #style: Style;
  #last = '';
  #isOpen = false;

  constructor(style: Style) {
    this.#style = style;
  }

  /** What is to be written. */
  take(news: PullNews): string {
    const { isWatched } = this.#style;
    const line = isWatched
      ? lineOf(news).slice(0, this.#style.columns - 1)
      : oneLine(news.status, MAX_STATUS);
    if (line === this.#last) return '';
    this.#last = line;
    this.#isOpen = isWatched;
    return isWatched ? `${CLEAR_LINE}${line}` : `${line}\n`;
  }

  /** What ends it. */
  end(): string {
    const end = this.#isOpen ? CLEAR_LINE : '';
    this.#isOpen = false;
    return end;
  }
}

function lineOf({ status, total = 0, completed = 0 }: PullNews): string {
  const what = oneLine(status, MAX_STATUS);
  if (total <= 0) return what;
  const share = Math.floor((Math.min(completed, total) / total) * 100);
  return `${what}  ${share} %  ${sizeOf(completed)} of ${sizeOf(total)}`;
}
