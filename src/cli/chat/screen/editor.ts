import { Editor, type EditorTheme, type SelectListTheme, type TUI } from '@earendil-works/pi-tui';
import type { Look } from '../../look.ts';
import type { Theme } from '../../themes.ts';

export function selectTheme(theme: Theme): SelectListTheme {
  return {
    selectedPrefix: theme.accent,
    selectedText: (text) => theme.bold(theme.accent(text)),
    description: theme.quiet,
    scrollInfo: theme.quiet,
    noMatch: theme.quiet,
  };
}

function editorTheme({ theme }: Look): EditorTheme {
  return { borderColor: theme.quiet, selectList: selectTheme(theme) };
}

/** Commands that are offered at once. */
const OFFERED = 8;

/** Where messages are written. */
export class MessageEditor extends Editor {
  readonly #look: () => Look;

  constructor(tui: TUI, look: () => Look) {
    super(tui, editorTheme(look()), { autocompleteMaxVisible: OFFERED });
    this.#look = look;
  }

  protected override renderTopBorder(width: number, hidden: number): string {
    return this.#edge(width, hidden, 'more above');
  }

  protected override renderBottomBorder(width: number, hidden: number): string {
    return this.#edge(width, hidden, 'more below');
  }

  #edge(width: number, hidden: number, what: string): string {
    const { theme, signs } = this.#look();
    const told = hidden > 0 ? ` ${hidden} ${what} ` : '';
    const before = signs.line.repeat(Math.min(3, width));
    return theme.quiet(
      `${before}${told}`.slice(0, width).concat(signs.line.repeat(Math.max(0, width - 3 - told.length))),
    );
  }
}
