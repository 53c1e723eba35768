import {
  type AutocompleteProvider,
  Editor,
  type EditorTheme,
  getKeybindings,
  type SelectListTheme,
  type TUI,
} from '@earendil-works/pi-tui';
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

const ESCAPE = '\x1b';
/** Commands that are offered at once. */
const OFFERED = 8;

/** Where messages are written. */
export class MessageEditor extends Editor {
  readonly #look: () => Look;
  /** What stood before the cursor when that was looked for which is offered. */
  #offeredFor: string | undefined;

  constructor(tui: TUI, look: () => Look) {
    super(tui, editorTheme(look()), { autocompleteMaxVisible: OFFERED });
    this.#look = look;
  }

  override setAutocompleteProvider(provider: AutocompleteProvider): void {
    super.setAutocompleteProvider({
      ...provider,
      getSuggestions: async (lines, row, column, options) => {
        const offered = await provider.getSuggestions(lines, row, column, options);
        if (!options.signal.aborted) this.#offeredFor = (lines[row] ?? '').slice(0, column);
        return offered;
      },
    });
  }

  /** What is offered for other text than stands there now is not taken: who types fast would get something else than they see. */
  override handleInput(data: string): void {
    const keys = getKeybindings();
    const takes = keys.matches(data, 'tui.select.confirm') || keys.matches(data, 'tui.input.tab');
    if (takes && this.isShowingAutocomplete() && this.#offeredFor !== this.#textBefore()) this.#close();
    super.handleInput(data);
    if (this.isShowingAutocomplete() && this.getText() === '') this.#close();
  }

  #textBefore(): string {
    const { line, col } = this.getCursor();
    return (this.getLines()[line] ?? '').slice(0, col);
  }

  #close(): void {
    super.handleInput(ESCAPE);
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
