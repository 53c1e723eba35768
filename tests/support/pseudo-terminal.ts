/** A program in a terminal of its own: what is typed reaches it, and what it draws is seen as a person would. */
import { type IPty, spawn } from '@lydell/node-pty';
import xterm from '@xterm/headless';

/** How long something may take to be seen on a busy machine. */
const PATIENCE_MS = 60_000;

export interface PseudoTerminalOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly columns: number;
  readonly rows: number;
}

export class PseudoTerminal {
  readonly ended: Promise<number>;
  readonly #program: IPty;
  readonly #screen: InstanceType<typeof xterm.Terminal>;
  /** All that it was told. */
  drawn = '';
  readonly #changed = new Set<() => void>();
  #code: number | undefined;

  constructor({ command, args, cwd, env, columns, rows }: PseudoTerminalOptions) {
    this.#screen = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, scrollback: 5_000 });
    this.#program = spawn(command, [...args], {
      ...{ cwd, cols: columns, rows, name: 'xterm-256color' },
      env: { TERM: 'xterm-256color', LANG: 'C.UTF-8', ...env },
    });
    // What the program asks its terminal.
    this.#screen.onData((answer) => this.#program.write(answer));
    this.#program.onData((text) => {
      this.drawn += text;
      this.#screen.write(text, () => this.#look());
    });
    this.ended = new Promise((resolve) => {
      this.#program.onExit(({ exitCode }) => {
        this.#code = exitCode;
        // What was written last is still to be read.
        this.#screen.write('', () => {
          this.#look();
          resolve(exitCode);
        });
      });
    });
  }

  /** As keys come: `\r` is Enter, `\x12` is Ctrl-R. */
  type(text: string): void {
    this.#program.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#screen.resize(columns, rows);
    this.#program.resize(columns, rows);
  }

  /** What stands on it now. */
  get text(): string {
    const { active } = this.#screen.buffer;
    const lines = Array.from(
      { length: this.#screen.rows },
      (_, row) =>
        active
          .getLine(active.baseY + row)
          ?.translateToString(true)
          .trimEnd() ?? '',
    );
    return lines.join('\n').trimEnd();
  }

  /** Resolves when it stands there; rejects when the program has ended without it, or it takes too long. */
  async sees(wanted: RegExp | ((text: string) => boolean)): Promise<string> {
    const isThere = typeof wanted === 'function' ? wanted : (text: string) => wanted.test(text);
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#changed.delete(look);
        act();
      };
      const fail = (why: string) =>
        settle(() => reject(new Error(`expected ${wanted}, ${why}:\n${this.text}`)));
      const look = () => {
        const { text } = this;
        if (isThere(text)) settle(() => resolve(text));
        else if (this.#code !== undefined) fail('but the program ended');
      };
      const timer = setTimeout(() => fail('but waited too long'), PATIENCE_MS);
      this.#changed.add(look);
      look();
    });
  }

  async end(): Promise<void> {
    if (this.#code === undefined) this.#program.kill('SIGTERM');
    await this.ended;
    this.#screen.dispose();
  }

  #look(): void {
    for (const look of this.#changed) look();
  }
}
