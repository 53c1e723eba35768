import type { Highlight } from './markdown/highlight.ts';
import type { Style } from './terminal.ts';
import { createTheme, type Theme, type ThemeName } from './themes.ts';

/** What everything that a person watches is drawn with. */
export interface Look {
  readonly theme: Theme;
  readonly style: Style;
  readonly signs: Signs;
  /** Absent until it is loaded. */
  readonly highlight: Highlight | undefined;
}

export interface Signs {
  readonly prompt: string;
  readonly running: string;
  readonly good: string;
  readonly bad: string;
  readonly note: string;
  readonly thought: string;
  readonly again: string;
  readonly mark: string;
  readonly line: string;
  readonly separator: string;
}

export const UNICODE: Signs = {
  ...{ prompt: '❯', running: '▶', good: '✓', bad: '✗', note: '…', thought: '∴' },
  ...{ again: '↻', mark: '…' },
  ...{ line: '─', separator: ' · ' },
};
export const ASCII: Signs = {
  ...{ prompt: '>', running: '>', good: '+', bad: 'x', note: '-', thought: '~' },
  ...{ again: '~', mark: '...' },
  ...{ line: '-', separator: ' - ' },
};

/** `highlight`: loaded by then, or undefined. */
export function createLook(style: Style, themeName: ThemeName, highlight?: Highlight): Look {
  const isColored = style.bold('x') !== 'x';
  return { theme: createTheme(themeName, isColored), style, signs: signsOn(style), highlight };
}

/** What a terminal can show; a pipe takes everything. */
export function signsOn({ isUnicode, isWatched }: Style): Signs {
  return isUnicode || !isWatched ? UNICODE : ASCII;
}
