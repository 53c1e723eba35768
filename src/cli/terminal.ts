import { createInterface } from 'node:readline/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { styleText } from 'node:util';
import { commandEnvironment } from '../config.ts';
import type { Keyboard } from './keys.ts';
import { columnsOf } from './sentences.ts';
import type { ThemeName } from './themes.ts';

/** Where a command reads and writes. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Of where `err` goes, now; left out: no end to them. */
  readonly errColumns?: number | undefined;
  readonly style: Style;
  /** Absent where nothing can be drawn in place: in a pipe, on a terminal that only prints, and in CI. */
  readonly screen?: Screen;
  /** What is drawn there is painted with. */
  readonly theme?: () => ThemeName;
  /** Aborts when nobody reads stdout any more (`| head`). */
  readonly gone: AbortSignal;
  /** Asks a person; absent where there is none. What was typed before counts for nothing. Undefined: they closed the input. */
  readonly ask?: (question: string, signal: AbortSignal) => Promise<string | undefined>;
  /** Where single keys come from; absent where there is no person. */
  readonly keyboard?: Keyboard;
}

/** A terminal whose cursor can be moved. */
export interface Screen {
  /** Control sequences, and what they place: nothing that belongs to the text. */
  draw(text: string): void;
  /** Of the terminal, now. */
  readonly rows: number;
  /** Set by who draws: called before text is printed that did not come by them. */
  clear?: (() => void) | undefined;
  /** Calls `act` each time that its size changes. Returns what ends that. */
  onResize(act: () => void): () => void;
}

export type Paint = (text: string) => string;
export interface Style {
  readonly dim: Paint;
  readonly bold: Paint;
  readonly green: Paint;
  readonly red: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
  readonly magenta: Paint;
  /** False: nothing but ASCII is sure to be seen. */
  readonly isUnicode: boolean;
  /** A person watches: what is only for watching is shown. */
  readonly isWatched: boolean;
  /** Of the terminal, now; no end to them in a pipe. */
  readonly columns: number;
}

interface StyleOptions {
  readonly isTty: boolean;
  readonly noColor: boolean;
  readonly isUnicode?: boolean;
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
    cyan: paint('cyan'),
    magenta: paint('magenta'),
    isUnicode: options.isUnicode ?? true,
    isWatched: options.isTty,
    get columns() {
      return (options.isTty && options.columns?.()) || Number.POSITIVE_INFINITY;
    },
  };
}

/** Whether what speaks to a person can show more than ASCII, by `TERM` and the locale. Where none is set, it can. */
export function showsUnicode(environment: Readonly<Record<string, string | undefined>>): boolean {
  const { TERM = '', LC_ALL, LC_CTYPE, LANG } = environment;
  if (TERM === 'dumb' || TERM === 'linux') return false;
  const locale = LC_ALL || LC_CTYPE || LANG;
  return !locale || /utf-?8/i.test(locale);
}

/** Whether a person is there, on a terminal: CI keeps all that it was told, and answers nothing. */
export function isAttended({ CI = '' }: Readonly<Record<string, string | undefined>>): boolean {
  return CI === '' || CI === '0' || CI === 'false';
}

const knownGone = new WeakMap<NodeJS.WriteStream, AbortSignal>();

/** Aborts when nobody reads what is written there any more. Listened for once, whoever asks. */
function goneOf(output: NodeJS.WriteStream): AbortSignal {
  const known = knownGone.get(output);
  if (known !== undefined) return known;
  const controller = new AbortController();
  output.once('error', () => controller.abort());
  knownGone.set(output, controller.signal);
  return controller.signal;
}

/** The terminal, or the pipes, of this process. */
export function processTerminal(options: { noColor: boolean; theme?: () => ThemeName }): Terminal {
  const environment = commandEnvironment();
  const gone = goneOf(process.stdout);
  const isTty = process.stdout.isTTY === true;
  // A dumb terminal has no colours either.
  const noColor = options.noColor || (isTty && !process.stdout.hasColors());
  const screen =
    isTty && isAttended(environment) && environment.TERM !== 'dumb'
      ? screenOf(process.stdout, gone)
      : undefined;
  let isLineOpen = false;
  return {
    out: (text) => {
      if (!gone.aborted) process.stdout.write(text);
      if (text !== '') isLineOpen = !text.endsWith('\n');
    },
    err: (text) => {
      screen?.clear?.();
      // On a terminal both are one text.
      process.stderr.write(isTty && isLineOpen ? `\n${text}` : text);
      isLineOpen = false;
    },
    get errColumns() {
      return columnsOf(process.stderr);
    },
    style: createStyle({
      ...{ isTty, noColor, isUnicode: showsUnicode(environment) },
      columns: () => process.stdout.columns,
    }),
    ...(screen && { screen }),
    ...(options.theme && { theme: options.theme }),
    gone,
    ...(isTty &&
      isAttended(environment) &&
      process.stdin.isTTY && {
        ask: (question: string, signal: AbortSignal) =>
          askOn({ input: process.stdin, output: process.stdout }, question, signal),
        keyboard: process.stdin,
      }),
  };
}

function screenOf(output: NodeJS.WriteStream, gone: AbortSignal): Screen {
  return {
    draw: (text) => {
      if (!gone.aborted) output.write(text);
    },
    get rows() {
      return output.rows;
    },
    onResize: (act) => {
      output.on('resize', act);
      return () => output.off('resize', act);
    },
  };
}

/** How long what was typed before a question takes to be read. */
const TYPED_AHEAD_MS = 50;
const CTRL_C = 3;

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
