/**
 * The reader of an event stream that loses nothing: it reconnects for ever from the last sequence number it handed on, and
 * hands on each event once. Live frames (no id) come at most once, and may be lost.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { Event, EventsPage } from '../api/wire.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { EVENT_TYPES } from '../core/event.ts';
import { badStream, isTransient } from './errors.ts';
import { below, type Http, type Query, withQuery } from './http.ts';
import { type SseMessage, SseParser } from './sse-parser.ts';

const live = { sessionId: z.string(), taskId: z.string().optional(), turn: z.int().optional() };
const Delta = z.object({
  ...live,
  type: z.literal('message.delta'),
  data: z.object({
    attemptId: z.string(),
    channel: z.enum(['text', 'reasoning']),
    offset: z.int(),
    text: z.string(),
  }),
});
const ToolOutput = z.object({
  ...live,
  type: z.literal('tool.output'),
  data: z.object({ callId: z.string(), text: z.string() }),
});
export type Delta = z.infer<typeof Delta>;
const LiveFrame = z.discriminatedUnion('type', [Delta, ToolOutput]);
export type LiveFrame = z.infer<typeof LiveFrame>;

export type Frame =
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'live'; readonly live: LiveFrame }
  /** The connection broke; the next frame of another kind says that it is back. */
  | { readonly kind: 'lost'; readonly reason: string };

export interface EventCalls {
  /** The stream of a session's tree behind sequence number `after`, as it comes. Ends when `signal` aborts. */
  openEvents(sessionId: string, after: number, options: OpenOptions): Promise<Response>;
  /** A page of them; with `wait` (0 to 60 seconds) as soon as there is something on it. Go on behind its `seq`. */
  eventsPage(sessionId: string, query?: Query): Promise<EventsPage>;
  /** What happens in a session's tree, from `after` on (from its beginning where left out), over any number of connections. */
  events(sessionId: string, options: FollowOptions): AsyncGenerator<Frame>;
}

/** Which events: types such as `task.succeeded` or `approval.*`, and ids of sessions of the tree; all of them where left out. */
export interface ChosenEvents {
  readonly types?: readonly string[];
  readonly sessions?: readonly string[];
}

export interface OpenOptions extends ChosenEvents {
  readonly signal: AbortSignal;
}

export type FollowOptions = Omit<ReadOptions, 'open'> & ChosenEvents;

export function eventCalls(http: Http): EventCalls {
  // Whoever reads a stream is told at once that it is lost, and comes back by itself.
  const openEvents: EventCalls['openEvents'] = async (sessionId, after, { signal, types, sessions }) => {
    const last = after > 0 ? { 'last-event-id': String(after) } : {};
    const headers = { accept: EVENT_STREAM, ...last };
    const query = { types: types?.join(), sessions: sessions?.join() };
    const path = withQuery(below('sessions', sessionId, '/events'), query);
    const response = await http.fetchOnce(path, { headers, signal });
    const found = response.headers.get('content-type') ?? '';
    if (mediaOf(found) === EVENT_STREAM) return response;
    await response.body?.cancel();
    throw badStream(http.server(), response.status, found);
  };
  return {
    openEvents,
    eventsPage: (sessionId, query = {}) => {
      const path = withQuery(below('sessions', sessionId, '/events'), query);
      return http.get(path, EventsPage, Number(query.wait ?? 0) * 1000);
    },
    events: (sessionId, { types, sessions, ...options }) => {
      const chosen = { ...(types && { types }), ...(sessions && { sessions }) };
      const open = (after: number, signal: AbortSignal) =>
        openEvents(sessionId, after, { ...chosen, signal });
      return readEvents({ ...options, open });
    },
  };
}

const EVENT_STREAM = 'text/event-stream';

function mediaOf(contentType: string): string {
  return contentType.replace(/;.*$/s, '').trim().toLowerCase();
}

export interface ReadOptions {
  /** Opens the stream behind `after`. A transient failure is tried again; any other ends the reading. */
  readonly open: (after: number, signal: AbortSignal) => Promise<Response>;
  /** Called before another try: an embedded Capybara may have moved. */
  readonly recover?: () => Promise<void>;
  readonly after?: number;
  readonly signal: AbortSignal;
  readonly firstDelayMs?: number;
  readonly maxDelayMs?: number;
  /** Longest pause that is made because the server asks for it, with `Retry-After` or a stream's `retry`. */
  readonly maxAskedMs?: number;
  /** Silence after which the connection is taken for dead. */
  readonly idleMs?: number;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;
const IDLE_MS = 60_000;
const MAX_ASKED_MS = 60_000;

/** Yields until the consumer stops or `signal` aborts (then it returns). Throws what cannot be mended by trying again. */
export async function* readEvents(options: ReadOptions): AsyncGenerator<Frame> {
  const { signal, firstDelayMs = FIRST_DELAY_MS, maxDelayMs = MAX_DELAY_MS } = options;
  const seen: Seen = { seq: options.after ?? 0, retryMs: 0 };
  let failures = 0;
  while (!signal.aborted) {
    let reason = 'the server closed the stream';
    let askedMs = 0;
    try {
      for await (const frame of readOnce(options, seen)) {
        failures = 0;
        yield frame;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isTransient(error) && !(error instanceof BrokenStream)) throw error;
      reason = messageOf(error);
      askedMs = isTransient(error) ? (error.retryAfterMs ?? 0) : 0;
    }
    askedMs = Math.min(Math.max(askedMs, seen.retryMs), options.maxAskedMs ?? MAX_ASKED_MS);
    if (signal.aborted) return;
    if (failures === 0) yield { kind: 'lost', reason };
    // Never before the server asked, and spread behind that.
    await pause(askedMs + jittered(Math.min(maxDelayMs, firstDelayMs * 2 ** failures)), signal);
    failures += 1;
    await options.recover?.();
  }
}

/** Clients that lost the same server do not all come back in the same moment. */
function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/** The connection ended in the middle. */
class BrokenStream extends Error {
  override readonly name = 'BrokenStream';
}

/** What goes from one connection to the next. */
interface Seen {
  /** The last sequence number. */
  seq: number;
  /** The pause that the server asked for, in milliseconds. */
  retryMs: number;
}

/** One connection's frames, without those that were seen: behind `seen`, which goes along. */
async function* readOnce(options: ReadOptions, seen: Seen): AsyncGenerator<Frame> {
  const connection = new AbortController();
  const signal = AbortSignal.any([options.signal, connection.signal]);
  const parser = new SseParser();
  try {
    const response = await options.open(seen.seq, signal);
    for await (const text of textOf(response, options.idleMs ?? IDLE_MS)) {
      const messages = parser.push(text);
      seen.retryMs = parser.retryMs ?? seen.retryMs;
      for (const message of messages) {
        const frame = frameOf(message);
        if (!frame || (frame.kind === 'event' && frame.event.seq <= seen.seq)) continue;
        if (frame.kind === 'event') seen.seq = frame.event.seq;
        yield frame;
      }
      if (/^\d{1,15}$/.test(parser.lastId)) seen.seq = Math.max(seen.seq, Number(parser.lastId));
    }
  } finally {
    connection.abort();
  }
}

/** The body's text as it comes; throws `BrokenStream` where it breaks or stays silent for `idleMs`. */
async function* textOf(response: Response, idleMs: number): AsyncGenerator<string> {
  if (!response.body) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const silence = new AbortController();
    const timeout = delay(idleMs, 'silent' as const, { signal: silence.signal }).catch(
      () => 'heard' as const,
    );
    const chunk = await Promise.race([reader.read().catch(broken), timeout]).finally(() => silence.abort());
    if (typeof chunk === 'string') throw new BrokenStream(`nothing came for ${Math.round(idleMs / 1000)} s`);
    if (chunk.done) return;
    yield decoder.decode(chunk.value, { stream: true });
  }
}

function broken(error: unknown): never {
  throw new BrokenStream(`the connection broke (${messageOf(error)})`);
}

/** `undefined` for what this version does not know: a newer server may say more. */
function frameOf({ id, data }: SseMessage): Frame | undefined {
  const value = parse(data);
  if (id === undefined) {
    const frame = LiveFrame.safeParse(value);
    return frame.success ? { kind: 'live', live: frame.data } : undefined;
  }
  const event = Event.safeParse(value);
  if (event.success) return { kind: 'event', event: event.data };
  const type = z.object({ type: z.string() }).safeParse(value);
  const isNew = type.success && !(EVENT_TYPES as readonly string[]).includes(type.data.type);
  if (isNew) return undefined;
  throw new UserError(
    'bad_answer',
    `Event ${id} is not what this version understands: update the older side.`,
    3,
  );
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
