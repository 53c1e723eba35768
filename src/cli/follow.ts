/** Follows one task to its end, or to where a person is needed. */
import type { Approval, Event, Task } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { readEvents } from '../client/events.ts';
import { UserError } from '../core/errors.ts';
import type { Connection } from './connection.ts';
import { Family } from './flow/family.ts';
import { asks, decideAll, openApprovals } from './questions.ts';
import { createShow } from './show-frames.ts';
import type { Terminal } from './terminal.ts';
import { untilReachable } from './until-reachable.ts';

export interface FollowOptions {
  readonly connection: Connection;
  readonly task: Pick<Task, 'id' | 'sessionId' | 'model'>;
  readonly terminal: Terminal;
  /** `text` for people, `json` for programs (an event a line), `none` for who only wants the end. */
  readonly show: 'text' | 'json' | 'none';
  /** On a screen: each call is opened into what it was given and what came of it. */
  readonly opensCalls?: boolean | undefined;
  readonly signal: AbortSignal;
}

export type FollowEnd =
  | { readonly kind: 'ended'; readonly task: Task }
  | { readonly kind: 'person_needed'; readonly approvals: readonly Approval[] }
  /** It waits until somebody raises a limit; `sentence` says which. */
  | { readonly kind: 'at_limit'; readonly sentence: string }
  /** `signal` aborted; the task goes on. */
  | { readonly kind: 'left' };

const ENDS = new Set<Event['type']>(['task.succeeded', 'task.failed', 'task.cancelled']);

export async function follow(options: FollowOptions): Promise<FollowEnd> {
  try {
    return await followFrames(options);
  } catch (error) {
    if (options.signal.aborted) return { kind: 'left' };
    throw asTold(error, options.task);
  }
}

/** What has no code is a bug here: the task knows nothing of it. */
function asTold(error: unknown, { id }: Pick<Task, 'id'>): unknown {
  if (!(error instanceof Error) || 'code' in error) return error;
  const message = `What ${id} does cannot be shown (${error.message}): it goes on; follow it with \`capybara tail ${id} --json\`.`;
  return Object.assign(new UserError('internal', message, 1), { cause: error });
}

async function followFrames(given: FollowOptions): Promise<FollowEnd> {
  const { connection, task, signal } = given;
  const client = connection.clientUntil(signal);
  const family = new Family({ task, read: () => untilReachable(given, () => client.tree(task.sessionId)) });
  const show = await createShow(given, family);
  const watch = new Watch({ ...given, terminal: show.terminal }, { family, client });
  const frames = readEvents({
    open: (after, until) => client.openEvents(task.sessionId, after, { signal: until }),
    recover: () => connection.recover(),
    signal: show.broken ? AbortSignal.any([signal, show.broken]) : signal,
  });
  try {
    for await (const frame of frames) {
      if (frame.kind === 'lost') family.lost();
      const whose = frame.kind === 'event' ? await family.take(frame.event) : undefined;
      await show.take(frame, whose);
      const end = frame.kind === 'event' && whose !== 'other' ? await watch.after(frame.event) : undefined;
      if (end?.kind === 'ended' && end.task.status !== 'succeeded') await family.settle(signal);
      if (end !== undefined) return end;
    }
    show.broken?.throwIfAborted();
    return { kind: 'left' };
  } finally {
    show.end();
  }
}

/** Sees where following ends, and asks the person who is here. */
class Watch {
  readonly #options: FollowOptions;
  readonly #family: Family;
  readonly #client: Client;
  /** Those that were asked up to here: the replay of an old question is not where a new one is answered. */
  readonly #asked = new Set<string>();

  constructor(
    options: FollowOptions,
    { family, client }: { readonly family: Family; readonly client: Client },
  ) {
    this.#options = options;
    this.#family = family;
    this.#client = client;
  }

  /** After an event of the followed task, or of a session below its own. */
  async after({ type, taskId, data }: Event): Promise<FollowEnd | undefined> {
    const { task } = this.#options;
    const isOwn = taskId === task.id;
    if (isOwn && ENDS.has(type)) {
      return {
        kind: 'ended',
        task: await untilReachable(this.#options, () => this.#client.task(task.id)),
      };
    }
    if (type === 'approval.requested') this.#asked.add(String(data.approvalId));
    const waitsOn = type === 'task.waiting' ? data.on : undefined;
    // Whoever is here answers while others go on; else nothing more may come of it.
    const mayRest = (waitsOn !== undefined && waitsOn !== 'retry') || (!isOwn && ENDS.has(type));
    const isAtRest = mayRest && this.#family.tree.isAtRest;
    if ((isOwn && waitsOn === 'budget') || (!isOwn && isAtRest)) {
      const sentence = await this.#limitSentence(isOwn);
      if (sentence !== undefined) return { kind: 'at_limit', sentence };
    }
    if (asks(this.#options) ? waitsOn === 'approval' : isAtRest) return this.#decide();
    return undefined;
  }

  async #decide(): Promise<FollowEnd | undefined> {
    const { task } = this.#options;
    if (this.#asked.size === 0) return undefined;
    const open = await untilReachable(this.#options, () => openApprovals(this.#client, task));
    const asked = open.filter(({ id }) => this.#asked.has(id));
    const undecided = await decideAll(this.#options, asked);
    return undecided.length > 0 ? { kind: 'person_needed', approvals: undecided } : undefined;
  }

  /** Where it, or one below, still waits at a limit: the replay of an old wait is none. */
  async #limitSentence(isOwn: boolean): Promise<string | undefined> {
    const { task } = this.#options;
    if (!isOwn && !this.#family.tree.waitsOn('budget')) return undefined;
    const { tasks } = await untilReachable(this.#options, () => this.#client.why(task.sessionId));
    const ours = tasks.filter(({ taskId, sessionId }) => {
      return isOwn ? taskId === task.id : this.#family.tree.has(sessionId);
    });
    return ours.find(({ kind }) => kind === 'budget')?.sentence;
  }
}
