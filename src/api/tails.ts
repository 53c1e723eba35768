/**
 * The streams that this process serves. One subscription to the bus and one query a second, however many tails there are:
 * the bus makes them quick, Postgres makes them right.
 */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bus, BusMessage } from '../bus/bus.ts';
import { messageOf } from '../core/errors.ts';
import { toPublicId } from '../core/id.ts';
import type { Log } from '../log.ts';
import type { Database } from '../store/database.ts';
import { type EventRow, readEvents, readTails } from '../store/views-events.ts';
import type { EventFilter } from './event-filter.ts';
import { stopping } from './problem.ts';
import { type Listener, type LiveFrame, Tail } from './tail.ts';
import { Waiter } from './waiter.ts';

/** How late an event may be whose bus message was lost. */
export const COMPARE_MS = 1_000;
/** Silence is shorter than this: proxies and clients take longer silence for death. */
export const HEARTBEAT_MS = 15_000;
/** How long a tail waits for a bus that does not answer; then it begins without. */
const SUBSCRIBE_MS = 1_000;

export interface TailHubOptions {
  readonly db: Database;
  readonly bus: Bus;
  readonly log: Log;
  readonly compareMs?: number;
  readonly heartbeatMs?: number;
}

/** What a client asked for, and with which key. */
export interface TailRequest {
  readonly rootId: string;
  /** The sequence number behind which to begin. */
  readonly after: number;
  readonly keyId: string;
  readonly filter?: EventFilter;
}

export class TailHub {
  readonly #options: TailHubOptions;
  readonly #tails = new Map<string, Set<Listener>>();
  readonly #reads = new Map<string, Promise<EventRow[]>>();
  readonly #closing = new AbortController();
  #subscription: Promise<() => Promise<void>> | undefined;
  #isComparing = false;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(options: TailHubOptions) {
    this.#options = options;
  }

  /**
   * Streams the events of a tree until the client goes, its key opens nothing any more, the session is deleted or the hub closes. Returns when what exists has
   * been sent. Throws `ApiProblem` (503) once the hub is closed.
   */
  async open({ rootId, ...asked }: TailRequest, response: ServerResponse): Promise<void> {
    await this.#ready();
    if (response.destroyed) return;
    const { log } = this.#options;
    const read = (seq: number, limit: number) => this.#read(rootId, seq, limit);
    const tail = new Tail({ ...asked, response, log, read });
    // A connection that breaks is a client that has gone.
    response.on('error', () => {});
    response.once('close', () => this.#remove(rootId, tail));
    this.#add(rootId, tail);
    await tail.start();
  }

  /**
   * Tells a request of a tree's events for `ms`, until it is closed, its client goes, its key is revoked or the hub closes. Throws
   * `ApiProblem` (503) once the hub is closed.
   */
  async wait(
    { rootId, after, keyId }: TailRequest,
    response: ServerResponse,
    ms: number,
  ): Promise<{ readonly waiter: Waiter; close(): void }> {
    await this.#ready();
    const read = (seq: number, limit: number) => this.#read(rootId, seq, limit);
    const waiter = new Waiter({ after, keyId, read });
    const timer = setTimeout(() => waiter.end('over'), response.destroyed ? 0 : ms);
    const close = () => {
      clearTimeout(timer);
      waiter.end('over');
      this.#remove(rootId, waiter);
    };
    response.once('close', close);
    this.#add(rootId, waiter);
    return { waiter, close };
  }

  async #ready(): Promise<void> {
    await this.#subscribed();
    if (this.#closing.signal.aborted) throw stopping();
  }

  /** Event streams that are open. */
  get streams(): number {
    return this.#all().filter((each) => each instanceof Tail).length;
  }

  /** Requests that wait for a page of events. */
  get waits(): number {
    return this.#all().length - this.streams;
  }

  /** Ends every stream; their clients come back elsewhere, not all in the same moment. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const tail of this.#all()) tail.end('over');
    clearInterval(this.#heartbeat);
    const unsubscribe = await Promise.race([this.#subscription?.catch(() => undefined), delay(0, undefined)]);
    await unsubscribe?.();
  }

  /**
   * One read for all that ask for the same in the same moment, as the readers of one tree do when it has something new. Not
   * for those that ask later: what it began to read may be older than what they know of.
   */
  #read(rootId: string, seq: number, limit: number): Promise<EventRow[]> {
    const key = `${rootId} ${seq} ${limit}`;
    const shared = this.#reads.get(key);
    if (shared !== undefined) return shared;
    const read = readEvents(this.#options.db, { rootId, seq }, limit);
    this.#reads.set(key, read);
    queueMicrotask(() => this.#reads.delete(key));
    return read;
  }

  #add(rootId: string, tail: Listener): void {
    const tails = this.#tails.get(rootId) ?? new Set();
    this.#tails.set(rootId, tails.add(tail));
    if (!this.#isComparing) void this.#compareAll();
    this.#heartbeat ??= setInterval(() => {
      for (const each of this.#all()) each.beat();
    }, this.#options.heartbeatMs ?? HEARTBEAT_MS);
  }

  #remove(rootId: string, tail: Listener): void {
    const tails = this.#tails.get(rootId);
    tails?.delete(tail);
    if (tails?.size === 0) this.#tails.delete(rootId);
    if (this.#tails.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
  }

  #all(): Listener[] {
    return [...this.#tails.values()].flatMap((tails) => [...tails]);
  }

  /** Waits for the subscription, which comes before any read; not for ever, since reading alone is right as well. */
  async #subscribed(): Promise<void> {
    this.#subscription ??= this.#options.bus.subscribe((message) => this.#hear(message));
    const failed = (error: unknown) => {
      this.#subscription = undefined;
      this.#options.log.warn({ error: messageOf(error) }, 'tails cannot hear the bus');
    };
    const waited = new AbortController();
    const late = delay(SUBSCRIBE_MS, undefined, { signal: waited.signal }).catch(() => {});
    await Promise.race([this.#subscription.catch(failed), late]);
    waited.abort();
  }

  #hear(message: BusMessage): void {
    const tails = this.#tails.get(message.rootId);
    if (
      tails === undefined ||
      message.type === 'cancel' ||
      message.type === 'pause' ||
      message.type === 'pinned'
    )
      return;
    if (message.type === 'events') {
      for (const tail of tails) tail.notice(message.seq);
      return;
    }
    const frame = liveFrame(message);
    for (const tail of tails) tail.live(frame);
  }

  /** While there are tails: what the bus lost, Postgres has; and a key may be revoked while a stream is open. */
  async #compareAll(): Promise<void> {
    this.#isComparing = true;
    const { signal } = this.#closing;
    while (this.#tails.size > 0 && !signal.aborted) {
      await delay(this.#options.compareMs ?? COMPARE_MS, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.#compare();
    }
    this.#isComparing = false;
  }

  async #compare(): Promise<void> {
    const rootIds = [...this.#tails.keys()];
    if (rootIds.length === 0) return;
    try {
      const keyIds = new Set(this.#all().map(({ keyId }) => keyId));
      const { seqs, revoked } = await readTails(this.#options.db, { rootIds, keyIds: [...keyIds] });
      for (const tail of this.#all()) if (revoked.includes(tail.keyId)) tail.end('revoked');
      const there = new Set(seqs.map(({ rootId }) => rootId));
      for (const rootId of rootIds) {
        if (there.has(rootId)) continue;
        for (const tail of this.#tails.get(rootId) ?? []) tail.end('deleted');
      }
      for (const { rootId, seq } of seqs) {
        for (const tail of this.#tails.get(rootId) ?? []) tail.notice(seq);
      }
    } catch (error) {
      this.#options.log.warn({ error: messageOf(error) }, 'tails could not be compared with Postgres');
    }
  }
}

type LiveMessage = Extract<BusMessage, { type: 'delta' | 'tool_output' }>;

function liveFrame(message: LiveMessage): LiveFrame {
  const type = message.type === 'delta' ? 'message.delta' : 'tool.output';
  const frame = {
    type,
    sessionId: toPublicId('session', message.sessionId),
    taskId: toPublicId('task', message.taskId),
    turn: message.turn,
    data: dataOf(message),
  };
  return {
    type,
    sessionId: message.sessionId,
    attemptId: message.type === 'delta' ? message.attemptId : undefined,
    text: `event: ${type}\ndata: ${JSON.stringify(frame)}\n\n`,
  };
}

function dataOf(message: LiveMessage): Record<string, unknown> {
  if (message.type === 'tool_output') return { callId: message.callId, text: message.text };
  const { attemptId, channel, offset, text } = message;
  return { attemptId, channel, offset, text };
}
