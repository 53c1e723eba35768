import type { Entry } from '../api/wire.ts';
import { callSummary } from './call-summary.ts';
import { type Signs, signsOn } from './look.ts';
import type { Style } from './terminal.ts';
import { cut, widthOf } from './text-width.ts';
import { neutralised, oneLine } from './untrusted-text.ts';

/** Lines of a call's live output that are shown; the rest is counted. */
export const MAX_OUTPUT_LINES = 20;
/** Characters of such a line. */
export const MAX_OUTPUT_COLUMNS = 160;
/** What is left of a call's name and argument, however narrow the terminal is. */
const MIN_LABEL_COLUMNS = 16;
const INDENT = 2;

interface Call {
  readonly id: string;
  readonly summary: string;
  isAnnounced: boolean;
  rest: string;
  lines: number;
}

export interface Completion {
  readonly status: string;
  /** In a few words what went wrong, where the status does not say it; or what is left to do. */
  readonly why?: string;
  /** A line for each that the model was shown. */
  readonly images?: readonly string[];
  /** What the model was told, where it was read. */
  readonly result?: Pick<Entry, 'parts'> | undefined;
  readonly durationMs?: number | undefined;
  /** Where its result stands in the log. */
  readonly position: number;
}

/** How the tool calls of a task are shown: each answers with whole lines to be printed now. */
export interface CallReport {
  /** Whether it shows more of what a call came to than how it ended. */
  readonly readsResults: boolean;
  /** The model asked for a call. `json`: its arguments as the model wrote them. */
  requested(id: string, name: string, json: string | undefined): string;
  started(id: string): string;
  /** Live output. */
  output(id: string, text: string): string;
  completed(id: string, completion: Completion): string;
  readonly canOpen: boolean;
  /** Opens the last call that ended and is not opened: where its result stands, and what shows it then. Undefined: there is none. */
  openLast?(): { readonly position: number; show(result: Completion['result']): string } | undefined;
  /** What stands below the text as long as it goes on, in at most so many lines. */
  lines(rows: number): readonly string[];
}

/**
 * A line when a call begins and one when it ends, for what only prints. Calls run mostly one after the other, in the model's order, and not each says that
 * it started: the first open one is announced, the next when it is done.
 */
export class ToolLines implements CallReport {
  readonly readsResults = false;
  readonly canOpen = false;
  readonly #style: Style;
  readonly #signs: Signs;
  /** Open calls in the model's order. */
  readonly #open = new Map<string, Call>();

  constructor(style: Style) {
    this.#style = style;
    this.#signs = signsOn(style);
  }

  /** The model asked for a call. `json`: its arguments as the model wrote them. */
  requested(id: string, name: string, json: string | undefined): string {
    this.#open.set(id, {
      id,
      summary: callSummary(name, json),
      isAnnounced: false,
      rest: '',
      lines: 0,
    });
    return this.#open.size === 1 ? this.started(id) : '';
  }

  started(id: string): string {
    const call = this.#open.get(id);
    if (!call || call.isAnnounced) return '';
    call.isAnnounced = true;
    return `${this.#style.bold(this.#signs.running)} ${this.#fitting(call.summary)}\n`;
  }

  /** Live output, by whole lines. */
  output(id: string, text: string): string {
    const call = this.#open.get(id);
    if (!call) return '';
    const lines = `${call.rest}${neutralised(text)}`.split('\n');
    call.rest = lines.pop() ?? '';
    return this.started(id) + this.#outputLines(call, lines);
  }

  completed(id: string, { status, why = '', images = [] }: Completion): string {
    const call = this.#open.get(id);
    if (!call) return '';
    this.#open.delete(id);
    const rest = call.rest === '' ? '' : this.#outputLines(call, [call.rest]);
    const hidden = call.lines - MAX_OUTPUT_LINES;
    const more =
      hidden > 0
        ? `${this.#style.dim(`  ${this.#signs.mark} ${hidden} more ${plural(hidden, 'line')}`)}\n`
        : '';
    const next = [...this.#open.keys()][0];
    const shown = images.map((image) => `${this.#style.dim(`  ${this.#fitting(image)}`)}\n`).join('');
    return `${rest}${more}${this.#ending(status, call.summary, why)}\n${shown}${next === undefined ? '' : this.started(next)}`;
  }

  lines(): readonly string[] {
    return [];
  }

  #ending(status: string, label: string, why: string): string {
    const { green, red, yellow } = this.#style;
    if (status === 'succeeded')
      return `${green(this.#signs.good)} ${this.#fitting(label, why === '' ? '' : ` (${why})`)}`;
    const unknown = status === 'unknown';
    const how = unknown ? 'its outcome is unknown' : why || oneLine(status, MAX_OUTPUT_COLUMNS);
    return `${unknown ? yellow('?') : red(this.#signs.bad)} ${this.#fitting(label, ` (${how})`)}`;
  }

  /** On one line of the terminal, behind its sign, where that leaves enough to see which call it is. */
  #fitting(label: string, end = ''): string {
    return (
      cut(label, Math.max(MIN_LABEL_COLUMNS, this.#style.columns - INDENT - widthOf(end)), this.#signs.mark) +
      end
    );
  }

  #outputLines(call: Call, lines: readonly string[]): string {
    const room = Math.max(0, MAX_OUTPUT_LINES - call.lines);
    const columns = Math.max(MIN_LABEL_COLUMNS, Math.min(MAX_OUTPUT_COLUMNS, this.#style.columns - INDENT));
    call.lines += lines.length;
    return lines
      .slice(0, room)
      .map((line) => `${this.#style.dim(`  ${cut(line.replaceAll('\t', '    '), columns)}`)}\n`)
      .join('');
  }
}

export function plural(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`;
}
