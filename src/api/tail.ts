/**
 * One reader of a session tree's events.
 *
 * What was sent is one number, and Postgres has the rest: nothing waits in memory for a reader but the page that was just
 * written. A reader that is slow is read for again when its connection takes more.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../log.ts';
import type { EventRow } from '../store/views-events.ts';
import { invalidKey } from './auth.ts';
import { EVERYTHING, type EventFilter, passes } from './event-filter.ts';
import { type ApiProblem, problemOf, sessionDeleted } from './problem.ts';
import { showEvent } from './show.ts';

/** Events that are read and written at a time. */
export const TAIL_PAGE = 200;
/** Live frames that wait for a read of events which came before them. */
export const MAX_HELD_FRAMES = 64;

export interface LiveFrame {
  readonly type: string;
  /** Of the answer that is being written; none for a tool's output. */
  readonly sessionId: string;
  readonly attemptId?: string | undefined;
  /** The whole frame. */
  readonly text: string;
}

/** Why somebody is told no more: it is over for them, their key opens nothing any more, or the session is gone. */
export type EndReason = 'over' | 'revoked' | 'deleted';

/** Who is told of what happens in a tree. */
export interface Listener {
  /** What was presented. */
  readonly keyId: string;
  /** The tree has events up to `seq`. */
  notice(seq: number): void;
  live(frame: LiveFrame): void;
  /** Silence has lasted. */
  beat(): void;
  end(why: EndReason): void;
}

export interface TailOptions {
  /** The sequence number behind which to begin. */
  readonly after: number;
  readonly keyId: string;
  readonly response: ServerResponse;
  readonly filter?: EventFilter;
  readonly read: (after: number, limit: number) => Promise<EventRow[]>;
  readonly log: Log;
}

export class Tail implements Listener {
  readonly #options: TailOptions;
  readonly #filter: EventFilter;
  readonly #response: ServerResponse;
  readonly keyId: string;
  /** The last number that was written. */
  #sent: number;
  /** The last number that is known to exist. */
  #known: number;
  #isPumping = false;
  #held: LiveFrame[] = [];
  /** The attempt in hand of each session, as far as its events were read; null between two. */
  readonly #attempts = new Map<string, string | null>();

  constructor(options: TailOptions) {
    this.#options = options;
    this.#response = options.response;
    this.#filter = options.filter ?? EVERYTHING;
    this.keyId = options.keyId;
    this.#sent = options.after;
    this.#known = options.after;
  }

  /** Resolves when everything that exists has been sent, or the reader has gone. */
  async start(): Promise<void> {
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    this.#response.write('retry: 1000\n\n');
    await this.#pump();
  }

  notice(seq: number): void {
    this.#known = Math.max(this.#known, seq);
    if (this.#known > this.#sent && !this.#isPumping) void this.#pump();
  }

  /** Sends what need not last, to a reader that is up to date and keeps up; anyone else does without. */
  live(frame: LiveFrame): void {
    if (!this.#canTake() || !passes(this.#filter, frame)) return;
    if (!this.#isPumping) this.#sendLive(frame);
    else if (this.#held.length < MAX_HELD_FRAMES) this.#held.push(frame);
  }

  beat(): void {
    if (this.#canTake()) this.#response.write(':\n\n');
  }

  /** A reader that does not take what it has been sent would not take the end either. */
  end(why: EndReason): void {
    if (this.#response.writableNeedDrain) this.#response.destroy();
    else this.#response.end(LAST_FRAMES[why]());
  }

  async #pump(): Promise<void> {
    this.#isPumping = true;
    try {
      while (await this.#sendPage());
      for (const frame of this.#held) this.#sendLive(frame);
    } catch (error) {
      // The hub compares again within a second.
      this.#options.log.warn({ error: messageOf(error) }, 'a tail could not read events');
    } finally {
      this.#held = [];
      this.#isPumping = false;
    }
  }

  /** Whether there may be more. */
  async #sendPage(): Promise<boolean> {
    if (this.#response.writableNeedDrain) await drained(this.#response);
    if (this.#isGone()) return false;
    const events = await this.#options.read(this.#sent, TAIL_PAGE);
    const last = events.at(-1);
    if (last === undefined) this.#known = this.#sent;
    if (last === undefined || this.#isGone()) return false;
    for (const event of events) this.#follow(event);
    this.#response.write(this.#framesOf(events));
    this.#sent = last.seq;
    return events.length === TAIL_PAGE || this.#known > this.#sent;
  }

  /**
   * Those that were chosen. Behind the last of them an id alone, where others follow: whoever comes back begins there, and is not read
   * the same for again (an `id` without `data` sets the last event ID, and is no message: WHATWG HTML §9.2.6).
   */
  #framesOf(events: readonly EventRow[]): string {
    const chosen = events.filter((event) => passes(this.#filter, event));
    const last = events.at(-1);
    const place = last === undefined || last === chosen.at(-1) ? '' : `id: ${last.seq}\n\n`;
    return chosen.map(frameOf).join('') + place;
  }

  #follow(event: EventRow): void {
    if (event.type === 'turn.started') this.#attempts.set(event.sessionId, String(event.data.attemptId));
    else if (ATTEMPT_ENDS.has(event.type)) this.#attempts.set(event.sessionId, null);
  }

  #sendLive(frame: LiveFrame): void {
    if (this.#canTake() && this.#isCurrent(frame)) this.#response.write(frame.text);
  }

  /** A worker that lost its turn may go on talking for a while. */
  #isCurrent({ sessionId, attemptId }: LiveFrame): boolean {
    const current = this.#attempts.get(sessionId);
    return attemptId === undefined || current === undefined || current === attemptId;
  }

  #canTake(): boolean {
    return !this.#isGone() && !this.#response.writableNeedDrain;
  }

  #isGone(): boolean {
    return this.#response.writableEnded || this.#response.destroyed;
  }
}

/** When a client whose server stops comes back, in milliseconds: a thousand of them spread over that time. */
const COME_BACK_MS = { least: 250, most: 2_000 };

/** No event: a reader that knows nothing of it goes on as after any other end. */
function comeBack(): string {
  const { least, most } = COME_BACK_MS;
  return `: this server is stopping\nretry: ${Math.round(least + Math.random() * (most - least))}\n\n`;
}

/** The last frame of a stream that nobody need come back for: without an id, and what the next request would be answered. */
const ended = (problem: ApiProblem) => `event: stream.ended\ndata: ${JSON.stringify(problemOf(problem))}\n\n`;

const LAST_FRAMES: Readonly<Record<EndReason, () => string>> = {
  over: comeBack,
  revoked: () => ended(invalidKey()),
  deleted: () => ended(sessionDeleted()),
};

/** Readers of one tree share what was read for them: its frame is written once. */
const FRAMES = new WeakMap<EventRow, string>();

function frameOf(event: EventRow): string {
  const known = FRAMES.get(event);
  if (known !== undefined) return known;
  const frame = `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(showEvent(event))}\n\n`;
  FRAMES.set(event, frame);
  return frame;
}

const ATTEMPT_ENDS: ReadonlySet<string> = new Set([
  'turn.completed',
  'turn.parked',
  'turn.retried',
  'turn.recovered',
  'turn.failed',
  'turn.cancelled',
]);

/** The connection takes more, or is gone. */
async function drained(response: ServerResponse): Promise<void> {
  const done = new AbortController();
  const { signal } = done;
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  } finally {
    done.abort();
  }
}
