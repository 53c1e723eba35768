import type { Highlight } from '../markdown/highlight.ts';
import type { Style } from '../terminal.ts';
import type { Theme } from '../themes.ts';

/** What everything on a chat's screen is drawn with. */
export interface Look {
  readonly theme: Theme;
  readonly style: Style;
  readonly signs: ChatSigns;
  /** Absent until it is loaded. */
  readonly highlight: Highlight | undefined;
}

export interface ChatSigns {
  readonly prompt: string;
  readonly running: string;
  readonly good: string;
  readonly bad: string;
  readonly note: string;
  readonly thought: string;
  readonly line: string;
  readonly separator: string;
}

export const UNICODE: ChatSigns = {
  ...{ prompt: '❯', running: '▶', good: '✓', bad: '✗', note: '…', thought: '∴' },
  ...{ line: '─', separator: ' · ' },
};
export const ASCII: ChatSigns = {
  ...{ prompt: '>', running: '>', good: '+', bad: 'x', note: '-', thought: '~' },
  ...{ line: '-', separator: ' - ' },
};
