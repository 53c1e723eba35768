/** A chat's screen: the conversation, the tree beside or below it, what is asked of the person, the input, and how things stand. */
import {
  type AutocompleteProvider,
  type Component,
  HStack,
  matchesKey,
  ScrollView,
  type SelectItem,
  type Terminal,
  TuiAltScreen,
  truncateToWidth,
  VStack,
} from '@earendil-works/pi-tui';
import type { TreeNode } from '../../../api/wire.ts';
import type { Look } from '../../look.ts';
import { neutralised } from '../../untrusted-text.ts';
import type { History } from '../history.ts';
import type { ChatState } from '../state.ts';
import { MessageEditor } from './editor.ts';
import { Picker } from './picker.ts';
import { SearchLine } from './search-line.ts';
import { Transcript } from './transcript.ts';
import { TreePane } from './tree-pane.ts';

/** Lines of the conversation that are left on the terminal behind it. */
export const LEFT_LINES = 200;
/** As long as a signal may take to stop this process, in milliseconds. */
const SUSPEND_MS = 50;
/** Times go on. */
const TICK_MS = 1_000;

export interface ScreenOptions {
  readonly terminal: Terminal;
  readonly look: () => Look;
  readonly state: () => ChatState;
  readonly tree: () => TreeNode | undefined;
  readonly me: () => string | undefined;
  /** Painted lines above the input: what the person is asked, or may do. */
  readonly hints: (columns: number) => readonly string[];
  readonly status: (columns: number) => string;
  readonly history: History;
  readonly completion: AutocompleteProvider;
  /** `begunAt`: when its first character was typed, by `performance.now`. */
  readonly send: (line: string, begunAt: number) => void;
  /** Ctrl-C. `isUsed`: it has cleared the line. */
  readonly interrupt: (isUsed: boolean) => void;
  readonly leave: () => void;
  /** Ctrl-V: an image, where the clipboard has one. */
  readonly paste: () => void;
  /** All calls, or one. */
  readonly open: (callId?: string) => void;
}

export class ChatScreen {
  readonly #options: ScreenOptions;
  readonly #tui: TuiAltScreen;
  readonly #editor: MessageEditor;
  readonly #transcript: Transcript;
  /** Another program has the terminal. */
  #isAway = false;
  #isEmpty = true;
  /** When the first character of what is written, or was sent, was typed. */
  #begunAt = 0;
  #tick: NodeJS.Timeout | undefined;

  constructor(options: ScreenOptions) {
    const { terminal, state, look, me } = options;
    this.#options = options;
    this.#tui = new TuiAltScreen(terminal, false, undefined, {
      scrollToEndIndicator: () => look().theme.inverse(' more below '),
    });
    this.#transcript = new Transcript({ state, look, me, open: options.open });
    this.#editor = new MessageEditor(this.#tui, look);
    this.#editor.setAutocompleteProvider(options.completion);
    for (const entry of options.history.entries) this.#editor.addToHistory(entry);
    this.#editor.onSubmit = (line) => this.#sent(line);
    this.#editor.onChange = (text) => {
      const isEmpty = text.trim() === '';
      if (this.#isEmpty && !isEmpty) this.#begunAt = performance.now();
      this.#isEmpty = isEmpty;
    };
    this.#tui.addInputListener((data) => (this.#takes(data) ? { consume: true } : undefined));
  }

  get text(): string {
    return this.#editor.getExpandedText();
  }

  get columns(): number {
    return this.#options.terminal.columns;
  }

  start(): void {
    this.#tui.setLayoutRoot(this.#layout());
    this.#tui.setFocus(this.#editor);
    this.#tui.start();
    process.on('SIGCONT', this.#resume);
    this.#tick = setInterval(() => this.changed(), TICK_MS);
  }

  /** Leaves the end of the conversation standing on the terminal. */
  stop(): void {
    clearInterval(this.#tick);
    this.#tick = undefined;
    process.off('SIGCONT', this.#resume);
    const lines = this.#transcript.render(this.columns).slice(-LEFT_LINES);
    this.#tui.setLayoutRoot({ render: () => lines, invalidate: () => {} });
    this.#tui.stop();
  }

  /** Draws anew, shortly. */
  changed(): void {
    this.#tui.requestRender();
  }

  /** Everything is painted otherwise from now on. */
  repaint(): void {
    this.#tui.invalidate();
    this.#tui.requestRender(true);
  }

  write(text: string): void {
    this.#editor.setText(neutralised(text));
    this.changed();
  }

  /** At the cursor. */
  insert(text: string): void {
    this.#editor.insertTextAtCursor(text);
    this.changed();
  }

  /** While somebody else has the terminal. */
  async without<Result>(act: () => Promise<Result>): Promise<Result> {
    this.#isAway = true;
    this.#tui.stop({ preserveScreen: true });
    try {
      return await act();
    } finally {
      this.#isAway = false;
      this.#tui.start();
      this.repaint();
    }
  }

  /** Gives the terminal back to the shell, until `fg`. Where no shell can do that, this process goes on at once. */
  #suspend(): void {
    this.#tui.stop({ preserveScreen: true });
    process.kill(0, 'SIGTSTP');
    // No time passes for a process that is stopped.
    setTimeout(this.#resume, SUSPEND_MS);
  }

  /** Whoever had the terminal meanwhile may have set it otherwise. */
  readonly #resume = (): void => {
    if (this.#isAway || this.#tick === undefined) return;
    this.#tui.stop({ preserveScreen: true });
    this.#tui.start();
    this.repaint();
  };

  /** Undefined: the person chose nothing. */
  choose(title: string, items: readonly SelectItem[]): Promise<string | undefined> {
    const look = this.#options.look();
    return this.#over<string>((done) => new Picker({ title, items, look, done }));
  }

  async #searchHistory(): Promise<void> {
    const { history, look } = this.#options;
    const found = await this.#over<string>(
      (done) => new SearchLine({ entries: history.entries, look: look(), done }),
    );
    if (found !== undefined) this.write(found);
  }

  /** Puts something in front of the input until it is done. */
  #over<Result>(
    create: (done: (result: Result | undefined) => void) => Component,
  ): Promise<Result | undefined> {
    return new Promise((resolve) => {
      const handle = this.#tui.showOverlay(
        create((result) => {
          handle.hide();
          this.changed();
          resolve(result);
        }),
        { anchor: 'bottom-left', width: '100%', maxHeight: '80%' },
      );
    });
  }

  #sent(line: string): void {
    if (line.trim() !== '') {
      this.#options.history.add(line);
      this.#editor.addToHistory(line);
    }
    this.#options.send(line, this.#begunAt);
  }

  /** Keys of the chat itself; what lies above the input gets its own. */
  #takes(data: string): boolean {
    if (this.#tui.hasOverlay()) return false;
    if (matchesKey(data, 'ctrl+c')) {
      // What is marked is copied when it is marked.
      const hasText = this.text !== '';
      if (hasText) this.write('');
      this.#options.interrupt(hasText);
      return true;
    }
    if (matchesKey(data, 'ctrl+d') && this.text === '') this.#options.leave();
    else if (matchesKey(data, 'ctrl+r')) void this.#searchHistory();
    else if (matchesKey(data, 'ctrl+o')) this.#options.open();
    else if (matchesKey(data, 'ctrl+l')) this.repaint();
    else if (matchesKey(data, 'ctrl+v')) this.#options.paste();
    else if (matchesKey(data, 'ctrl+z')) this.#suspend();
    else return false;
    return true;
  }

  #layout(): Component {
    const { tree, look, terminal, status, hints } = this.#options;
    const pane = { tree, look, screen: () => ({ columns: terminal.columns, rows: terminal.rows }) };
    const [beside, below] = [new TreePane('beside', pane), new TreePane('below', pane)];
    const conversation = new ScrollView(this.#transcript, {
      ...{ follow: 'end', primary: true, scrollbar: 'auto', overscroll: 'contain' },
    });
    const upper = new HStack([
      { component: conversation, basis: 0, grow: 1, minSize: 1 },
      { component: beside, shrink: 0, visible: () => beside.isShown },
    ]);
    const fixed = { basis: 'auto', shrink: 0 } as const;
    return new VStack([
      { component: upper, basis: 0, grow: 1, minSize: 1 },
      { component: below, ...fixed, visible: () => below.isShown },
      { component: lines((columns) => hints(columns)), ...fixed },
      { component: this.#editor, ...fixed },
      { component: lines((columns) => [status(columns)]), ...fixed },
    ]);
  }
}

function lines(of: (columns: number) => readonly string[]): Component {
  return {
    render: (columns) => of(columns).map((line) => truncateToWidth(line, columns, '…')),
    invalidate: () => {},
  };
}
