import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { styleText } from 'node:util';

/** Where a command reads and writes. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  readonly style: Style;
  /** Aborts when nobody reads stdout any more (`| head`). */
  readonly gone: AbortSignal;
  /** Asks a person; absent where there is none. What was typed before counts for nothing. Undefined: they closed the input. */
  readonly ask?: (question: string, signal: AbortSignal) => Promise<string | undefined>;
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
    ...(isTty &&
      process.stdin.isTTY && {
        ask: (question: string, signal: AbortSignal) =>
          askOn({ input: process.stdin, output: process.stdout }, question, signal),
      }),
  };
}

/** How long what was typed before a question takes to be read. */
const TYPED_AHEAD_MS = 50;
const CTRL_C = 3;

type Keyboard = NodeJS.ReadableStream & Pick<NodeJS.ReadStream, 'setRawMode'>;

/** Asks on a terminal, as `Terminal.ask` says. */
export async function askOn(
  { input, output }: { readonly input: Keyboard; readonly output: NodeJS.WritableStream },
  question: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  await forgetTyped(input);
  signal.throwIfAborted();
  const lines = createInterface({ input, output });
  // While it reads lines the terminal sends no signal: pass on what was pressed.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = new Promise<undefined>((resolve) => lines.once('close', () => resolve(undefined)));
  try {
    const typed = await Promise.race([lines.question(question, { signal }), closed]);
    if (typed === undefined) output.write('\n');
    return typed;
  } finally {
    lines.close();
  }
}

/** Reads away what the terminal holds, also of a line that has no end yet: nobody can have meant it as the answer. */
async function forgetTyped(input: Keyboard): Promise<void> {
  const forget = (typed: Buffer | string) => {
    // Meanwhile the terminal sends no signal.
    if (Buffer.from(typed).includes(CTRL_C)) process.kill(process.pid, 'SIGINT');
  };
  input.setRawMode(true);
  input.on('data', forget);
  await delay(TYPED_AHEAD_MS);
  input.off('data', forget);
  input.pause();
  input.setRawMode(false);
}
