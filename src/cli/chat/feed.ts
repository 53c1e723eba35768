/** What is heard of one session: its log, its tasks, its questions, and what goes on in its tree. */
import type { Entry, Event } from '../../api/wire.ts';
import type { Client, Page, Query } from '../../client/client.ts';
import { readEvents } from '../../client/events.ts';
import type { Connection } from '../connection.ts';
import { FlowTree } from '../flow/flow-tree.ts';
import { untilReachable } from '../until-reachable.ts';
import { oneLine } from '../untrusted-text.ts';
import type { Action } from './reduce.ts';

export interface FeedOptions {
  readonly connection: Connection;
  readonly sessionId: string;
  readonly signal: AbortSignal;
  readonly tell: (action: Action) => void;
}

/** Of the log, read at once; of the tasks, the newest. */
const PAGE = 100;
const TASKS = 50;
/** Least time between two readings of the tree that no new session asks for, in milliseconds. */
const REFRESH_MS = 3_000;

/** After these the log may have grown. */
const GROWS = new Set<Event['type']>([
  ...(['turn.started', 'message.completed', 'tool.completed', 'turn.completed', 'turn.parked'] as const),
  ...(['session.reverted', 'session.merged', 'session.compaction_asked', 'context.compacted'] as const),
  ...(['turn.failed', 'turn.cancelled', 'task.succeeded', 'task.failed', 'task.cancelled'] as const),
]);
const ENDS = new Set<Event['type']>(['task.succeeded', 'task.failed', 'task.cancelled']);

export class Feed {
  /** The session with all below it. */
  readonly flow = new FlowTree();
  readonly #options: FeedOptions;
  readonly #others = new Set<string>();
  readonly #tasks = new Set<string>();
  readonly #client: Client;
  #cursor: string | undefined;
  #last = 0;
  #readAt = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#client = options.connection.clientUntil(options.signal);
  }

  /** Until `signal` aborts. Throws what cannot be mended by trying again. */
  async run(): Promise<void> {
    const { connection, sessionId, signal, tell } = this.#options;
    const client = this.#client;
    try {
      const after = await this.#readTree();
      const { data } = await this.#read(() => client.tasks({ sessionId, limit: TASKS }));
      for (const task of data) this.#take(task.id, () => tell({ do: 'task', task, isNew: false }));
      await this.#readLog();
      tell({
        do: 'failed',
        tasks: data.filter(({ status }) => status === 'failed' || status === 'cancelled'),
      });
      await this.#readAsked();
      const frames = readEvents({
        open: (seq, until) => client.openEvents(sessionId, seq, { signal: until }),
        recover: () => connection.recover(),
        ...{ after, signal },
      });
      for await (const frame of frames) {
        if (frame.kind === 'lost') {
          tell({ do: 'lost', reason: oneLine(frame.reason, 200) });
          continue;
        }
        tell({ do: 'found' });
        if (frame.kind === 'live') tell({ do: 'live', live: frame.live });
        else await this.#heard(frame.event);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #heard(event: Event): Promise<void> {
    const { sessionId, tell } = this.#options;
    this.flow.apply(event);
    const isOurs = event.sessionId === sessionId;
    if (!isOurs && !(await this.#isBelow(event.sessionId))) return;
    if (this.flow.lacksAbout && performance.now() - this.#readAt > REFRESH_MS) await this.#readTree();
    // The log first: what an event says stands behind what it is about.
    if (isOurs && GROWS.has(event.type)) await this.#readLog();
    if (isOurs && event.taskId !== undefined) await this.#taskOf(event.taskId, ENDS.has(event.type));
    tell({ do: 'event', event });
    if (event.type === 'approval.requested') await this.#readAsked();
  }

  async #isBelow(sessionId: string): Promise<boolean> {
    if (this.flow.has(sessionId)) return true;
    if (this.#others.has(sessionId)) return false;
    await this.#readTree();
    if (!this.flow.has(sessionId)) this.#others.add(sessionId);
    return this.flow.has(sessionId);
  }

  async #taskOf(id: string, hasEnded: boolean): Promise<void> {
    if (this.#tasks.has(id) && !hasEnded) return;
    const task = await this.#read(() => this.#client.task(id));
    // It may have ended since the event: its end stands behind what was said.
    if (task.endedAt !== null) await this.#readLog();
    this.#take(id, () => this.#options.tell({ do: 'task', task, isNew: true }));
  }

  #take(id: string, tell: () => void): void {
    this.#tasks.add(id);
    tell();
  }

  async #readTree(): Promise<number> {
    const { sessionId } = this.#options;
    this.#readAt = performance.now();
    const tree = await this.#read(() => this.#client.tree(sessionId));
    this.flow.set(tree);
    return tree.seq;
  }

  /** From where it was read to before: the last page may have grown. */
  async #readLog(): Promise<void> {
    const { sessionId, tell } = this.#options;
    for (let isLast = false; !isLast; ) {
      const query: Query = { limit: PAGE, cursor: this.#cursor };
      const page: Page<Entry> = await this.#read(() => this.#client.entries(sessionId, query));
      const entries = page.data.filter(({ position }) => position > this.#last);
      this.#last = entries.at(-1)?.position ?? this.#last;
      if (entries.length > 0) tell({ do: 'entries', entries });
      isLast = page.nextCursor === null;
      this.#cursor = page.nextCursor ?? this.#cursor;
    }
  }

  async #readAsked(): Promise<void> {
    const { sessionId, tell } = this.#options;
    const { data } = await this.#read(() => this.#client.approvals({ sessionId, limit: 200 }));
    const open = data.filter(({ status }) => status === 'open');
    tell({ do: 'asked', open: open.toSorted((one, other) => one.createdAt.localeCompare(other.createdAt)) });
  }

  #read<Answer>(request: () => Promise<Answer>): Promise<Answer> {
    return untilReachable(this.#options, request);
  }
}
