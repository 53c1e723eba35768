/** Follows one task to its end, or to where a person is needed. */
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type { Approval, Event, ResolveApproval, Task } from '../api/wire.ts';
import { type Client, isTransient, ProblemError } from './client.ts';
import type { Connection } from './connection.ts';
import { EntryReader } from './entry-reader.ts';
import { Transcript } from './render.ts';
import { type Frame, readEvents } from './sse.ts';
import type { Terminal } from './terminal.ts';
import { alwaysText, argumentLines, madeRuleText, toolName } from './whole-call.ts';

export interface FollowOptions {
  readonly connection: Connection;
  readonly task: Pick<Task, 'id' | 'sessionId'>;
  readonly terminal: Terminal;
  /** `text` for people, `json` for programs (an event a line), `none` for who only wants the end. */
  readonly show: 'text' | 'json' | 'none';
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
const RETRY_MS = 200;
/** How often is looked, while a person is asked, whether another has answered. */
const LOOK_AGAIN_MS = 1_000;

export async function follow(options: FollowOptions): Promise<FollowEnd> {
  try {
    return await followFrames(options);
  } catch (error) {
    if (options.signal.aborted) return { kind: 'left' };
    throw error;
  }
}

async function followFrames(options: FollowOptions): Promise<FollowEnd> {
  const { connection, task, signal } = options;
  const { client } = connection;
  const show = createShow(options);
  // Those that were asked up to here: the replay of an old question is not where a new one is answered.
  const asked = new Set<string>();
  const frames = readEvents({
    open: (after, until) => client.openEvents(task.sessionId, after, until),
    recover: () => connection.recover(),
    signal,
  });
  for await (const frame of frames) {
    await show(frame);
    if (frame.kind !== 'event' || frame.event.taskId !== task.id) continue;
    if (ENDS.has(frame.event.type)) {
      return { kind: 'ended', task: await untilReachable(options, () => client.task(task.id)) };
    }
    const sentence = await limitSentence(options, frame.event);
    if (sentence !== undefined) return { kind: 'at_limit', sentence };
    if (frame.event.type === 'approval.requested') asked.add(String(frame.event.data.approvalId));
    const isWaiting = frame.event.type === 'task.waiting' && frame.event.data.on === 'approval';
    const open = isWaiting ? await untilReachable(options, () => openApprovals(client, task.id)) : [];
    const undecided = await decideAll(
      options,
      open.filter(({ id }) => asked.has(id)),
    );
    if (undecided.length > 0) return { kind: 'person_needed', approvals: undecided };
  }
  return { kind: 'left' };
}

/** Of an event that says so, where it still waits: the replay of an old wait is none. */
async function limitSentence(options: FollowOptions, { type, data }: Event): Promise<string | undefined> {
  if (type !== 'task.waiting' || data.on !== 'budget') return undefined;
  const { connection, task } = options;
  const { tasks } = await untilReachable(options, () => connection.client.why(task.sessionId));
  return tasks.find(({ taskId, kind }) => taskId === task.id && kind === 'budget')?.sentence;
}

function createShow(options: FollowOptions): (frame: Frame) => Promise<void> {
  const { terminal, task } = options;
  if (options.show === 'none') return async () => {};
  if (options.show === 'json') {
    return async (frame) => {
      const isOurs = frame.kind === 'event' && (frame.event.taskId ?? task.id) === task.id;
      if (isOurs) terminal.out(`${JSON.stringify(frame.event)}\n`);
    };
  }
  const entries = new EntryReader((query) =>
    untilReachable(options, () => options.connection.client.entries(task.sessionId, query)),
  );
  const transcript = new Transcript({
    taskId: task.id,
    style: terminal.style,
    entryAt: (position) => entries.at(position),
  });
  return async (frame) => terminal.out(await transcript.render(frame));
}

/** Repeats a request that only reads (or may be repeated) until the server answers it. */
export async function untilReachable<Answer>(
  { connection, signal }: Pick<FollowOptions, 'connection' | 'signal'>,
  request: () => Promise<Answer>,
): Promise<Answer> {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!isTransient(error) || signal.aborted) throw error;
      await delay(RETRY_MS);
      await connection.recover();
    }
  }
}

async function openApprovals(client: Client, taskId: string): Promise<Approval[]> {
  const open: Approval[] = [];
  for (let cursor: string | undefined; ; ) {
    const { data, nextCursor } = await client.approvals({ limit: 200, cursor });
    open.push(...data.filter((each) => each.taskId === taskId && each.status === 'open'));
    if (nextCursor === null) return open;
    cursor = nextCursor;
  }
}

/** Asks the person here about each; returns those that nobody answered. */
async function decideAll(options: FollowOptions, approvals: readonly Approval[]): Promise<Approval[]> {
  const { connection, terminal, show } = options;
  if (!terminal.ask || show === 'json') return [...approvals];
  const undecided: Approval[] = [];
  for (const approval of approvals) {
    const { bold, columns } = terminal.style;
    terminal.out(`${bold(toolName(approval.tool))}\n${argumentLines(approval.arguments, { columns })}`);
    const decision = await decide(options, terminal.ask, approval);
    if (decision === 'elsewhere') terminal.out('answered elsewhere\n');
    else if (decision !== undefined) await resolve(connection.client, { terminal, approval }, decision);
    else undecided.push(approval);
  }
  return undecided;
}

/** Undefined: the person closed the input. */
async function decide(
  options: FollowOptions,
  ask: NonNullable<Terminal['ask']>,
  approval: Approval,
): Promise<Answer | 'elsewhere' | undefined> {
  const over = new AbortController();
  const elsewhere = new AbortController();
  void untilAnswered(options, approval, over.signal).then(
    () => elsewhere.abort(),
    // The question stays; whoever answers it is told what there is to tell.
    () => {},
  );
  try {
    for (;;) {
      const signal = AbortSignal.any([options.signal, elsewhere.signal]);
      const choices = approval.always === null ? 'y, n' : 'y, always, n';
      const typed = await ask(`Allow this call? [${choices}, or n and why] `, signal);
      if (typed === undefined) return undefined;
      const answer = answerOf(typed, approval);
      if (answer?.decision !== 'allow_always') {
        if (answer !== undefined) return answer;
        continue;
      }
      options.terminal.out(alwaysText(approval.always, options.terminal.style));
      const sure = await ask('Allow that always? [y, n] ', signal);
      if (sure === undefined || isYes(sure)) return sure === undefined ? undefined : answer;
    }
  } catch (error) {
    if (elsewhere.signal.aborted && !options.signal.aborted) return 'elsewhere';
    throw error;
  } finally {
    over.abort();
  }
}

/** Resolves once the question is no longer open; rejects where `signal` aborts first. */
async function untilAnswered(
  options: FollowOptions,
  { id, taskId }: Approval,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await delay(LOOK_AGAIN_MS, undefined, { signal });
    const open = await untilReachable(options, () => openApprovals(options.connection.client, taskId));
    if (!open.some((each) => each.id === id)) return;
  }
}

type Answer = z.infer<typeof ResolveApproval>;

/** What the person typed means; undefined: nothing that was asked for. */
function answerOf(typed: string, { always }: Approval): Answer | undefined {
  const text = typed.trim();
  if (isYes(text)) return { decision: 'allow' };
  if (always !== null && /^(a|always)$/i.test(text)) return { decision: 'allow_always' };
  const [, isNo, message] = /^(n|no)(?:[\s,:]+(.+))?$/is.exec(text) ?? [];
  if (isNo === undefined) return undefined;
  return { decision: 'deny', ...(message === undefined ? {} : { message }) };
}

function isYes(typed: string): boolean {
  return /^(y|yes)$/i.test(typed.trim());
}

/** The first answer counts: where another person was faster, that is said. */
async function resolve(
  client: Client,
  { terminal, approval }: { readonly terminal: Terminal; readonly approval: Approval },
  answer: Answer,
): Promise<void> {
  try {
    const made = await client.resolveApproval(approval.id, answer);
    terminal.out(madeRuleText(made, terminal.style));
  } catch (error) {
    if (!(error instanceof ProblemError) || error.problem.status !== 409) throw error;
    terminal.err(`${error.message}\n`);
  }
}
