/**
 * Lines that stand below everything that is printed, drawn again in place. The cursor stays where the text ends, so that whatever
 * the terminal did with them (scrolled, wrapped, resized), all that is below the cursor is theirs.
 */
import { stripVTControlCharacters } from 'node:util';
import type { Screen, Terminal } from '../terminal.ts';
import { columnBehind } from '../text-width.ts';

/** Shortest time between two drawings; text that comes meanwhile waits for the next. */
export const DRAW_MS = 100;
/** Shortest time between two looks at what is to be drawn; and the longest, where nothing was told: times go on. */
export const LOOK_MS = 250;
export const TICK_MS = 1_000;
/** How long a size has to stay before anything is drawn in it: some terminals leave pieces of what stood there at each change. */
export const RESIZE_MS = 150;
/** How many lines there are at most, with their edges, and at least: on a terminal that has not so many, none. */
export const MAX_FLOW_ROWS = 18;
export const MIN_FLOW_ROWS = 4;
/** Lines of the terminal that are left to the text. */
export const TEXT_ROWS = 4;
/** On a lower terminal there is nothing below the text. */
export const MIN_ROWS = 4;
/** From this height on a blank line stands above the last one, where no edge does. */
const ROOMY_ROWS = 16;

const ERASE_BELOW = '\x1b[J';
const [SAVE, RESTORE] = ['\x1b7', '\x1b8'];
const [WRAP_OFF, WRAP_ON] = ['\x1b[?7l', '\x1b[?7h'];
/** At the beginning of a text, behind what only colours it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are made of them
const LINE_END = /^((?:\x1b\[[\d;]*m)*)\n/;
/** One line down in the same column; the screen scrolls where there is none. */
const DOWN = '\x1bD';

export interface FlowScreenOptions {
  readonly terminal: Terminal;
  readonly screen: Screen;
  /** What is to be seen now, in at most so many lines; none: nothing. Its last state is left standing. */
  readonly lines: (rows: number) => readonly string[];
  /** What stands above them, in at most so many lines: text that may still change. */
  readonly above?: (rows: number) => readonly string[];
  /** The line that stands below all of it. */
  readonly below?: () => string;
  /** Told where drawing throws while nobody prints; nothing is drawn from then on. */
  readonly onFailed?: (error: unknown) => void;
}

/** A terminal for everybody who prints while the lines stand. */
export class FlowScreen implements Terminal {
  readonly style: Terminal['style'];
  readonly gone: AbortSignal;
  readonly ask?: NonNullable<Terminal['ask']>;
  readonly #options: FlowScreenOptions;
  readonly #stopResize: () => void;
  /** Text that is not printed yet. */
  #waiting = '';
  /** The lines that stand. */
  #drawn = '';
  #drawnAt = Number.NEGATIVE_INFINITY;
  /** What was to be seen at the last look, and whether that may be something else now. */
  #seen: readonly string[] = [];
  #lookedAt = Number.NEGATIVE_INFINITY;
  #isStale = false;
  #restsUntil = Number.NEGATIVE_INFINITY;
  /** What stands above may be something else now. */
  #isGrown = false;
  #timer: NodeJS.Timeout | undefined;
  /** Where the printed text ends. */
  #column = 0;
  /** It fills its line, and the cursor has gone on to the next. */
  #isAhead = false;
  #isHidden = false;

  constructor(options: FlowScreenOptions) {
    const { terminal, screen } = options;
    const { ask } = terminal;
    this.#options = options;
    this.style = terminal.style;
    this.gone = terminal.gone;
    if (ask) this.ask = (question, signal) => this.#without(() => ask(question, signal));
    this.#stopResize = screen.onResize(() => this.#resized());
    screen.clear = () => this.#interrupted();
  }

  out(text: string): void {
    this.#waiting += text;
    if (this.#drawn === '') this.#print();
    else this.#schedule();
  }

  err(text: string): void {
    this.#interrupted();
    this.#options.terminal.err(text);
  }

  get errColumns(): number | undefined {
    return this.#options.terminal.errColumns;
  }

  /** The lines may be others now. */
  changed(): void {
    this.#isStale = true;
    this.#schedule();
  }

  /** What stands above may be something else now. */
  grown(): void {
    this.#isGrown = true;
    this.#schedule();
  }

  /** Leaves what is to be seen now standing, as text. */
  end(): void {
    const { terminal, screen } = this.#options;
    this.#clear();
    this.#isHidden = true;
    this.#stopResize();
    screen.clear = undefined;
    const lines = this.#lasting();
    if (lines.length > 0) terminal.out(`${this.#column > 0 ? '\n' : ''}${lines.join('\n')}\n`);
  }

  /** Somebody else prints whole lines. */
  #interrupted(): void {
    this.#clear();
    this.#begun();
    if (!this.#isHidden) this.#drawIn(DRAW_MS);
  }

  async #without<Result>(act: () => Promise<Result>): Promise<Result> {
    this.#clear();
    this.#isHidden = true;
    try {
      return await act();
    } finally {
      this.#isHidden = false;
      this.#begun();
      this.changed();
    }
  }

  /** The cursor stands where a line begins. */
  #begun(): void {
    this.#column = 0;
    this.#isAhead = false;
  }

  #resized(): void {
    // However the terminal has broken them anew.
    if (this.#drawn !== '') this.#options.screen.draw(ERASE_BELOW);
    this.#drawn = '';
    this.#column %= this.style.columns;
    this.#lookedAt = Number.NEGATIVE_INFINITY;
    this.#restsUntil = performance.now() + RESIZE_MS;
    if (!this.#isHidden) this.#drawIn(RESIZE_MS);
  }

  /** In milliseconds. */
  #untilLook(): number {
    return this.#lookedAt + (this.#isStale ? LOOK_MS : TICK_MS) - performance.now();
  }

  #look(): readonly string[] {
    const { screen, below } = this.#options;
    this.#lookedAt = performance.now();
    this.#isStale = false;
    const lines = this.#lasting();
    const last = below === undefined || screen.rows < MIN_ROWS ? [] : [below()];
    const isApart = lines.length === 0 && screen.rows >= ROOMY_ROWS;
    this.#seen = [...lines, ...(isApart && last.length > 0 ? [''] : []), ...last];
    return this.#seen;
  }

  #lasting(): readonly string[] {
    const { screen, lines, below } = this.#options;
    const rows = Math.min(MAX_FLOW_ROWS, screen.rows - TEXT_ROWS - (below === undefined ? 0 : 1));
    return rows < MIN_FLOW_ROWS ? [] : lines(rows);
  }

  /** One line is left to the text that stands for good. */
  #withAbove(lines: readonly string[]): readonly string[] {
    const { screen, above } = this.#options;
    const rows = screen.rows - lines.length - 1;
    this.#isGrown = false;
    return above === undefined || rows < 1 ? lines : [...above(rows), ...lines];
  }

  #schedule(): void {
    if (this.#isHidden) return;
    const isText = this.#waiting !== '' || this.#isGrown;
    const due = isText ? this.#drawnAt + DRAW_MS : this.#lookedAt + LOOK_MS;
    const wait = Math.max(due, this.#restsUntil) - performance.now();
    if (wait <= 0) this.#draw();
    else this.#drawIn(wait);
  }

  #drawIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#drawAlone(), Math.max(0, ms));
  }

  #drawAlone(): void {
    try {
      this.#draw();
    } catch (error) {
      this.#isHidden = true;
      if (this.#options.onFailed === undefined) throw error;
      this.#options.onFailed(error);
    }
  }

  #draw(): void {
    const lines = this.#withAbove(this.#untilLook() <= 0 ? this.#look() : this.#seen);
    clearTimeout(this.#timer);
    if (this.#isStale || lines.length > 0) this.#drawIn(this.#untilLook());
    const wanted = lines.join('\r\n');
    this.#drawnAt = performance.now();
    if (this.#waiting === '' && wanted === this.#drawn) return;
    const isTextNew = this.#waiting !== '';
    const erase = this.#drawn === '' ? '' : ERASE_BELOW;
    this.#print(erase);
    this.#drawn = wanted;
    if (wanted !== '') this.#options.screen.draw((isTextNew ? '' : erase) + this.#placed(lines));
    else if (!isTextNew) this.#options.screen.draw(erase);
  }

  /** Below the text, whose end the cursor comes back to. */
  #placed(lines: readonly string[]): string {
    const ahead = this.#goAhead();
    const isOpen = this.#column > 0;
    const below = lines.length - (isOpen ? 0 : 1);
    const room = below === 0 ? '' : `${DOWN.repeat(below)}\x1b[${below}A`;
    const start = isOpen ? '\r\n' : '\r';
    return `${ahead}${room}${SAVE}${WRAP_OFF}${start}${lines.join('\r\n')}${WRAP_ON}${RESTORE}`;
  }

  /** At the end of a full line the cursor stands on its last character, which would be erased with the lines. */
  #goAhead(): string {
    if (this.#column < this.style.columns) return '';
    this.#column = 0;
    this.#isAhead = true;
    return '\r\n';
  }

  #clear(): void {
    clearTimeout(this.#timer);
    const erase = this.#drawn === '' ? '' : ERASE_BELOW;
    this.#drawn = '';
    if (this.#waiting !== '') this.#print(erase);
    else if (erase !== '') this.#options.screen.draw(erase);
  }

  #print(before = ''): void {
    if (this.#waiting === '') return;
    const text = this.#isAhead ? this.#waiting.replace(LINE_END, '$1') : this.#waiting;
    this.#isAhead = false;
    this.#waiting = '';
    this.#options.terminal.out(before + text);
    const { columns } = this.style;
    this.#column = columnBehind(stripVTControlCharacters(text), { column: this.#column, columns });
  }
}
