import { shortDuration } from '../core/duration.ts';
import type { ClosedCallStatus } from '../core/entry.ts';
import { textOf } from '../core/entry.ts';
import {
  briefLines,
  type CallSeen,
  callLines,
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
/** How many calls can be opened, the newest first. */
const MAX_ENDED = 100;

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
  /** Those that ended and may still be opened. */
  readonly #ended: { readonly call: RunningCall; readonly completion: Completion }[] = [];

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
    if (!this.#options.isOpen) this.#ended.push({ call, completion });
    if (this.#ended.length > MAX_ENDED) this.#ended.shift();
    return this.#over(shownAfter(call, completion), completion.durationMs);
  }

  get canOpen(): boolean {
    return this.#ended.length > 0;
  }

  openLast(): ReturnType<NonNullable<CallReport['openLast']>> {
    const last = this.#ended.pop();
    if (last === undefined) return undefined;
    const { call, completion } = last;
    return {
      position: completion.position,
      show: (result) => {
        const seen = { ...this.#seen, isOpen: true };
        const lines = callLines(shownAfter(call, { ...completion, result }), seen);
        return lines.map((line) => `${line}\n`).join('');
      },
    };
  }

  lines(rows: number): readonly string[] {
    const running = [...this.#open.values()].flatMap((call) => this.#running(call));
    const whole = running.flatMap(({ head, output }) => [...head, ...output]);
    return whole.length <= rows ? whole : running.flatMap(({ head }) => head).slice(0, Math.max(0, rows));
  }

  #running(call: RunningCall): { readonly head: string[]; readonly output: string[] }[] {
    if (call.begunAt === undefined) return [];
    const shown: ShownCall = { ...shownOf(call), status: 'started' };
    const head = headLines(shown, this.#seen, measureOf(this.#now() - call.begunAt));
    return [{ head, output: liveLines(shown, this.#seen) }];
  }

  #begin(id: string): void {
    const call = this.#open.get(id);
    if (call) call.begunAt ??= this.#now();
  }

  #over(call: ShownCall, ms: number | undefined): string {
    const { isOpen } = this.#options;
    const below = isOpen ? detailLines(call, this.#seen) : briefLines(call, this.#seen);
    return [...headLines(call, this.#seen, measureOf(ms)), ...below].map((line) => `${line}\n`).join('');
  }

  get #seen(): CallSeen {
    const { look, isOpen } = this.#options;
    return { ...look, columns: look.style.columns, isOpen };
  }
}

function measureOf(ms = 0): string {
  return ms < WORTH_TELLING_MS ? '' : shortDuration(ms);
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
