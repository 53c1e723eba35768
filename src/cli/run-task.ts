/** The flows of `run` and `tail`: follow a task, and leave it as the person wishes. Returns exit codes of DESIGN §8. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Approval, Session, Task } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import type { Connection } from './connection.ts';
import { findTask } from './find.ts';
import { type FollowEnd, type FollowOptions, follow } from './follow.ts';
import { CANCEL_WINDOW_MS, type Interrupts } from './interrupts.ts';
import { jsonText } from './json-text.ts';
import { signsOn } from './look.ts';
import { lastSent, type SentPlace } from './sent-record.ts';
import { tell } from './sentences.ts';
import { askerText } from './session-path.ts';
import { endingLines } from './summary.ts';
import { isLocal, type SendTaskOptions, sendTask, type TaskRequest } from './task-input.ts';
import type { Terminal } from './terminal.ts';
import { untilReachable } from './until-reachable.ts';
import { neutralised } from './untrusted-text.ts';
import { argumentLines, toolName } from './whole-call.ts';

export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  noServer: 3,
  personNeeded: 4,
  limit: 5,
  left: 130,
} as const;

export interface WatchOptions {
  readonly connection: Connection;
  readonly terminal: Terminal;
  readonly show: FollowOptions['show'];
  readonly opensCalls?: boolean | undefined;
  /** With `--json` the end of the task is a line of JSON. */
  readonly json: boolean;
  readonly interrupts: Interrupts;
  /** Where the person stands: an absolute path. */
  readonly directory: string;
  /** The same, where what agents work on is a copy of it. */
  readonly sent?: SentPlace | undefined;
}

const CANCEL_POLL_MS = 100;
/** How long the end of a cancelled task is waited for, in milliseconds. */
const CANCEL_WAIT_MS = 10_000;

/** Submits a task. Where an embedded Capybara goes away meanwhile, the next one gets it, once. Rejects soon after the signal aborted. */
export async function submitTask(
  request: TaskRequest,
  connection: Connection,
  options: Omit<SendTaskOptions, 'key'> = {},
): Promise<Task> {
  const { signal = new AbortController().signal } = options;
  const key = randomUUID();
  const client = connection.clientUntil(signal);
  const send = () => sendTask(client, request, { ...options, key });
  if (connection.kind === 'configured') return send();
  return untilReachable({ connection, signal }, send);
}

export interface RunOptions extends WatchOptions {
  /** Told of the task when it was followed to its end. */
  readonly onEnd?: (task: Task) => Promise<void>;
}

/** Submits a task and follows it. */
export async function runTask(request: TaskRequest, options: RunOptions): Promise<number> {
  const task = await submitted(request, options);
  if (task === undefined) return EXIT.left;
  const code = await watchTask(task, { sent: request.sends, ...options });
  if (code !== EXIT.left) await options.onEnd?.(task);
  return code;
}

const UNSENT = 'Stopped before the task was sent: nothing was begun.';
const UNANSWERED =
  'Stopped before the task was answered: it may have begun all the same; see `capybara tasks list`.';

/** Undefined where the person left before there was a task, as far as is known here. */
async function submitted(request: TaskRequest, options: WatchOptions): Promise<Task | undefined> {
  const { connection, terminal, json, interrupts } = options;
  const { signal } = interrupts;
  const { isWatched } = terminal.style;
  let isSent = false;
  const onSend = () => {
    isSent = true;
  };
  const progress = json ? undefined : dimLines(terminal);
  const sending = { tell: progress, isWatched, signal, onSend };
  const task = signal.aborted
    ? undefined
    : await unlessLeft(signal, () => submitTask(request, connection, sending));
  if (task === undefined) tell(terminal, isSent ? UNANSWERED : UNSENT);
  return task;
}

/** Beside the answer, not in it. */
export function dimLines(terminal: Terminal): (line: string) => void {
  return (line) => tell(terminal, line, terminal.style.dim);
}

/** Finds the task that `id` means, and follows it. */
export async function tailTask(id: string, options: WatchOptions): Promise<number> {
  const { connection, terminal, interrupts } = options;
  const task = await unlessLeft(interrupts.signal, (signal) => findTask(connection.clientUntil(signal), id));
  if (task !== undefined) return watchTask(task, options);
  tell(terminal, 'Stopped before the task was found.');
  return EXIT.left;
}

/** Undefined where the person left: what breaks by that is no failure. */
export async function unlessLeft<Answer>(
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<Answer>,
): Promise<Answer | undefined> {
  try {
    return await ask(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    return undefined;
  }
}

/** Follows a task until it ends, a person is needed, or the person here leaves. */
export async function watchTask(task: Task, options: WatchOptions): Promise<number> {
  const { connection, terminal, show, opensCalls, interrupts } = options;
  const { dim } = terminal.style;
  if (show === 'text') {
    const parts = [task.id, neutralised(task.model), `mode ${task.mode}`];
    if (connection.sandbox === 'none') parts.push('unconfined');
    terminal.out(`${dim(parts.join(signsOn(terminal.style).separator))}\n`);
  }
  const signal = AbortSignal.any([interrupts.signal, terminal.gone]);
  const end = await follow({ connection, task, terminal, show, opensCalls, signal });
  return finish(end, task, options);
}

async function finish(
  end: FollowEnd,
  task: Pick<Task, 'id' | 'sessionId'>,
  options: WatchOptions,
): Promise<number> {
  switch (end.kind) {
    case 'ended':
      await tellEnd(end.task, options);
      return exitCodeOf(end.task);
    case 'person_needed':
      for (const approval of end.approvals) tellApproval(approval, task, options);
      return EXIT.personNeeded;
    case 'at_limit':
      tell(options.terminal, end.sentence);
      return EXIT.limit;
    case 'left':
      await leave(task.id, options);
      return EXIT.left;
  }
}

async function tellEnd(task: Task, options: WatchOptions): Promise<void> {
  const { terminal, show, json } = options;
  if (json) {
    terminal.out(jsonText(show === 'none' ? task : { task }));
    return;
  }
  const answer = neutralised(task.result?.text ?? '');
  if (show === 'none' && answer !== '') terminal.out(`${answer}\n`);
  const session = await sessionOf(task, options);
  const canContinue = session !== undefined && continuesHere(session, options);
  const { kind, roots = [] } = session?.workspace ?? {};
  const isCopy = kind === 'upload' || roots.some((root) => root.kind === 'upload');
  const copy = isCopy ? await stateOfCopy(task, options) : undefined;
  // Whoever asks for the answer alone gets it alone.
  const tell = show === 'none' ? terminal.err : terminal.out;
  tell(`\n${endingLines(task, terminal.style, { canContinue, copy })}`);
}

/** Undefined where the person does not wait for it: the task has ended without them. */
async function sessionOf({ sessionId }: Task, options: WatchOptions): Promise<Session | undefined> {
  const { connection, interrupts } = options;
  return unlessLeft(interrupts.signal, (signal) => {
    const client = connection.clientUntil(signal);
    return untilReachable({ connection, signal }, () => client.session(sessionId));
  });
}

/** Where nobody can say, it may be changed. */
async function stateOfCopy(
  { sessionId }: Task,
  { connection, interrupts }: WatchOptions,
): Promise<'changed' | 'unchanged'> {
  const client = connection.clientUntil(interrupts.signal);
  const isChanged = await client.hasChanges(sessionId).catch(() => true);
  return isChanged ? 'changed' : 'unchanged';
}

/** `run --continue` looks for a session of the directory it is typed in. */
function continuesHere({ id, workspace, parentId }: Session, { directory, sent }: WatchOptions): boolean {
  if (sent !== undefined) return lastSent(sent)?.sessionId === id;
  return isLocal(workspace, directory) && parentId === null;
}

export function exitCodeOf(task: Task): number {
  if (task.status === 'succeeded') return EXIT.done;
  return task.error?.code.startsWith('limit_') ? EXIT.limit : EXIT.failed;
}

function tellApproval(
  approval: Approval,
  { sessionId }: Pick<Task, 'sessionId'>,
  { terminal }: WatchOptions,
): void {
  const asker = askerText(approval.path, sessionId);
  tell(
    terminal,
    `${asker === undefined ? '' : `${asker}: `}${toolName(approval.tool)} needs an approval; the task waits. ` +
      `Answer with: capybara approvals allow ${approval.id} (or deny)`,
  );
  terminal.err(argumentLines(approval.arguments, terminal.style));
}

async function leave(id: string, options: WatchOptions): Promise<void> {
  const { connection, terminal, interrupts } = options;
  if (interrupts.signal.aborted) {
    const plan = connection.kind === 'own' ? 'Stopping' : 'Detaching';
    const more = `; press Ctrl-C again within ${CANCEL_WINDOW_MS / 1000} s to cancel the task.`;
    tell(terminal, `\n${plan}${interrupts.mayMeanCancel ? more : '.'}`);
    if ((await interrupts.meaning()) === 'cancel') return cancel(id, options);
  }
  const what =
    connection.kind === 'own'
      ? 'The task is kept: the next `capybara run` or `capybara up` goes on with it.'
      : 'Detached: the task goes on.';
  tell(terminal, `${what}\nFollow it with: capybara tail ${id}`);
}

async function cancel(id: string, { connection, terminal }: WatchOptions): Promise<void> {
  const late = AbortSignal.timeout(CANCEL_WAIT_MS);
  const client = connection.clientUntil(late);
  const task = await unlessLeft(late, () => client.cancelTask(id));
  if (task === undefined) {
    const seconds = CANCEL_WAIT_MS / 1000;
    return tell(
      terminal,
      `Nothing answered for ${seconds} s: cancel the task with: capybara tasks cancel ${id}`,
    );
  }
  const hasEnded = await unlessLeft(late, () => ended(client, task, late));
  const going = 'Cancelling: the task ends as soon as its worker hears of it.';
  tell(terminal, hasEnded === undefined ? going : 'Cancelled.');
}

/** Resolves once it has ended; rejects where `signal` aborts first. */
async function ended(client: Client, { id, endedAt }: Task, signal: AbortSignal): Promise<true> {
  for (let at = endedAt; at === null; at = (await client.task(id)).endedAt)
    await delay(CANCEL_POLL_MS, undefined, { signal });
  return true;
}
