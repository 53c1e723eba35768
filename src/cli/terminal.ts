import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';

/** Where a command reads and writes. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  readonly style: Style;
  /** Aborts when nobody reads stdout any more (`| head`). */
  readonly gone: AbortSignal;
  /** Asks a person; absent where there is none. */
  readonly ask?: (question: string, signal: AbortSignal) => Promise<string>;
}

type Paint = (text: string) => string;
export interface Style {
  readonly dim: Paint;
  readonly bold: Paint;
  readonly green: Paint;
  readonly red: Paint;
  readonly yellow: Paint;
  /** A person watches: what is only for watching is shown. */
  readonly isWatched: boolean;
  /** Of the terminal, now; no end to them in a pipe. */
  readonly columns: number;
}

interface StyleOptions {
  readonly isTty: boolean;
  readonly noColor: boolean;
  /** `undefined` where nobody knows. */
  readonly columns?: () => number | undefined;
}

export function createStyle(options: StyleOptions): Style {
  const isColored = options.isTty && !options.noColor;
  const paint =
    (format: Parameters<typeof styleText>[0]): Paint =>
    (text) =>
      isColored && text !== '' ? styleText(format, text, { validateStream: false }) : text;
  return {
    dim: paint('dim'),
    bold: paint('bold'),
    green: paint('green'),
    red: paint('red'),
    yellow: paint('yellow'),
    isWatched: options.isTty,
    get columns() {
      return (options.isTty && options.columns?.()) || Number.POSITIVE_INFINITY;
    },
  };
}

/** The terminal, or the pipes, of this process. */
export function processTerminal(options: { noColor: boolean }): Terminal {
  const gone = new AbortController();
  process.stdout.once('error', () => gone.abort());
  const isTty = process.stdout.isTTY === true;
  // A dumb terminal has no colours either.
  const noColor = options.noColor || (isTty && !process.stdout.hasColors());
  let isLineOpen = false;
  return {
    out: (text) => {
      if (!gone.signal.aborted) process.stdout.write(text);
      if (text !== '') isLineOpen = !text.endsWith('\n');
    },
    err: (text) => {
      // On a terminal both are one text.
      process.stderr.write(isTty && isLineOpen ? `\n${text}` : text);
      isLineOpen = false;
    },
    style: createStyle({ isTty, noColor, columns: () => process.stdout.columns }),
    gone: gone.signal,
    ...(isTty && process.stdin.isTTY && { ask: askOnTerminal }),
  };
}

/** What the person typed; nothing where they closed the input. */
async function askOnTerminal(question: string, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  // While it reads lines the terminal sends no signal: pass on what was pressed.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = new Promise<undefined>((resolve) => lines.once('close', () => resolve(undefined)));
  try {
    const typed = await Promise.race([lines.question(question, { signal }), closed]);
    if (typed === undefined) process.stdout.write('\n');
    return typed ?? '';
  } finally {
    lines.close();
  }
}
