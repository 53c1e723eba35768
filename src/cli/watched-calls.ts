import { shortDuration } from '../core/duration.ts';
import type { ClosedCallStatus } from '../core/entry.ts';
import { textOf } from '../core/entry.ts';
import {
  briefLines,
  type CallSeen,
  detailLines,
  headLines,
  liveLines,
  type ShownCall,
} from './call-lines.ts';
import type { Look } from './look.ts';
import type { CallReport, Completion } from './tool-lines.ts';

/** Of a call's live output, in characters: the newest. */
const MAX_OUTPUT = 8_000;
/** Shorter calls do not say how long they took. */
const WORTH_TELLING_MS = 1_000;

interface RunningCall {
  readonly name: string;
  readonly json: string;
  output: string;
  /** By `now`. Undefined: it waits for the one before it. */
  begunAt: number | undefined;
}

interface WatchedCallsOptions {
  readonly look: Look;
  /** Each call is opened into what it was given and what came of it. */
  readonly isOpen: boolean;
  /** Milliseconds of a clock that does not jump. */
  readonly now?: () => number;
}

/**
 * Calls on a screen: what runs stands below the text, with the end of its output; what is over is a line, and behind it an edit's
 * diff or the last words of a failure. Calls run mostly one after the other, and not each says that it started: the first open one
 * counts as running.
 */
export class WatchedCalls implements CallReport {
  readonly #options: WatchedCallsOptions;
  readonly #now: () => number;
  /** Open calls in the model's order. */
  readonly #open = new Map<string, RunningCall>();

  constructor(options: WatchedCallsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get readsResults(): boolean {
    return this.#options.isOpen;
  }

  requested(id: string, name: string, json: string | undefined): string {
    this.#open.set(id, { name, json: json ?? '', output: '', begunAt: undefined });
    if (this.#open.size === 1) this.#begin(id);
    return '';
  }

  started(id: string): string {
    const call = this.#open.get(id);
    // It may have waited for a person until now.
    if (call) call.begunAt = this.#now();
    return '';
  }

  output(id: string, text: string): string {
    const call = this.#open.get(id);
    if (call) call.output = (call.output + text).slice(-MAX_OUTPUT);
    this.#begin(id);
    return '';
  }

  completed(id: string, completion: Completion): string {
    const call = this.#open.get(id);
    if (call === undefined) return '';
    this.#open.delete(id);
    const [next] = this.#open.keys();
    if (next !== undefined) this.#begin(next);
    return this.#ended(shownAfter(call, completion), completion.durationMs);
  }

  lines(rows: number): readonly string[] {
    const running = [...this.#open.values()].filter(({ begunAt }) => begunAt !== undefined);
    const shown = running.map((call) => ({ ...shownOf(call), status: 'started' as const }));
    const heads = shown.map((call, index) => {
      const ms = this.#now() - (running[index]?.begunAt ?? 0);
      return headLines(call, this.#seen, ms < WORTH_TELLING_MS ? '' : shortDuration(ms));
    });
    const whole = heads.flatMap((head, index) => [
      ...head,
      ...liveLines(shown[index] as ShownCall, this.#seen),
    ]);
    return whole.length <= rows ? whole : heads.flat().slice(0, Math.max(0, rows));
  }

  #begin(id: string): void {
    const call = this.#open.get(id);
    if (call) call.begunAt ??= this.#now();
  }

  #ended(call: ShownCall, ms: number | undefined): string {
    const { isOpen } = this.#options;
    const measure = ms === undefined || ms < WORTH_TELLING_MS ? '' : shortDuration(ms);
    const below = isOpen ? detailLines(call, this.#seen) : briefLines(call, this.#seen);
    return [...headLines(call, this.#seen, measure), ...below].map((line) => `${line}\n`).join('');
  }

  get #seen(): CallSeen {
    const { look, isOpen } = this.#options;
    return { ...look, columns: look.style.columns, isOpen };
  }
}

function shownOf({ name, json, output }: RunningCall): Omit<ShownCall, 'status'> {
  return { name, arguments: json, output, result: '', files: [] };
}

function shownAfter(call: RunningCall, { status, result }: Completion): ShownCall {
  const parts = result?.parts ?? [];
  return {
    ...shownOf(call),
    status: status as ClosedCallStatus,
    result: textOf(parts),
    files: parts.filter((part) => part.type === 'file'),
  };
}
