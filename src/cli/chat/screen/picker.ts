/** A list to choose from: ten are shown, and typing filters them. */
import {
  type Component,
  type Focusable,
  fuzzyFilter,
  getKeybindings,
  Input,
  type SelectItem,
  SelectList,
  truncateToWidth,
} from '@earendil-works/pi-tui';
import type { Look } from '../../look.ts';
import { selectTheme } from './editor.ts';

export const SHOWN = 10;

export interface PickerOptions {
  readonly title: string;
  readonly items: readonly SelectItem[];
  readonly look: Look;
  /** Undefined: nothing was chosen. */
  readonly done: (value: string | undefined) => void;
}

export class Picker implements Component, Focusable {
  readonly capturesViewportInput = true;
  readonly #options: PickerOptions;
  readonly #input = new Input();
  #list: SelectList;

  constructor(options: PickerOptions) {
    this.#options = options;
    this.#list = this.#listOf('');
  }

  get focused(): boolean {
    return this.#input.focused;
  }

  set focused(isFocused: boolean) {
    this.#input.focused = isFocused;
  }

  handleInput(data: string): void {
    const keys = getKeybindings();
    const moves = ['up', 'down', 'pageUp', 'pageDown', 'confirm'] as const;
    if (keys.matches(data, 'tui.select.cancel')) this.#options.done(undefined);
    else if (moves.some((move) => keys.matches(data, `tui.select.${move}`))) this.#list.handleInput(data);
    else this.#filter(data);
  }

  #filter(data: string): void {
    const before = this.#input.getValue();
    this.#input.handleInput(data);
    if (this.#input.getValue() !== before) this.#list = this.#listOf(this.#input.getValue());
  }

  render(columns: number): string[] {
    const { title, look, items } = this.#options;
    const { theme } = look;
    const hint = theme.quiet(` (${items.length}; type to filter, Enter takes it, Esc none)`);
    const lines = [theme.bold(title) + hint, ...this.#input.render(columns), ...this.#list.render(columns)];
    const edge = theme.quiet(look.signs.line.repeat(columns));
    return [edge, ...lines.map((line) => truncateToWidth(line, columns, '…', true)), edge];
  }

  invalidate(): void {}

  #listOf(filter: string): SelectList {
    const { items, look, done } = this.#options;
    const { theme } = look;
    const found = filter === '' ? [...items] : fuzzyFilter([...items], filter, ({ label }) => label);
    const list = new SelectList(found, SHOWN, selectTheme(theme), { maxPrimaryColumnWidth: 48 });
    list.onSelect = ({ value }) => done(value);
    return list;
  }
}
