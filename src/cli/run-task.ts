/** The flows of `run` and `tail`: follow a task, and leave it as the person wishes. Returns exit codes of DESIGN §8. */
import { randomUUID } from 'node:crypto';
import type { Approval, Session, Task } from '../api/wire.ts';
import { UserError } from '../core/errors.ts';
import type { Connection } from './connection.ts';
import { findTask } from './find.ts';
import { type FollowEnd, type FollowOptions, follow } from './follow.ts';
import { CANCEL_WINDOW_MS, type Interrupts } from './interrupts.ts';
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

/** Submits a task. Where an embedded Capybara goes away meanwhile, the next one gets it, once. */
export async function submitTask(
  request: TaskRequest,
  connection: Connection,
  options: Omit<SendTaskOptions, 'key'> = {},
): Promise<Task> {
  const key = randomUUID();
  const send = () => sendTask(connection.client, request, { ...options, key });
  if (connection.kind === 'configured') return send();
  return untilReachable({ connection, signal: new AbortController().signal }, send);
}

export interface RunOptions extends WatchOptions {
  /** Told of the task when it was followed to its end. */
  readonly onEnd?: (task: Task) => Promise<void>;
}

/** Submits a task and follows it. */
export async function runTask(request: TaskRequest, options: RunOptions): Promise<number> {
  const task = await submitted(request, options);
  if (task !== undefined) {
    const code = await watchTask(task, { sent: request.sends, ...options });
    if (code !== EXIT.left) await options.onEnd?.(task);
    return code;
  }
  tell(options.terminal, 'Stopped before the task was sent: nothing was begun.');
  return EXIT.left;
}

/** Undefined where the person left before there was a task. */
async function submitted(request: TaskRequest, options: WatchOptions): Promise<Task | undefined> {
  const { connection, terminal, json, interrupts } = options;
  const { signal } = interrupts;
  if (signal.aborted) return undefined;
  const { isWatched } = terminal.style;
  try {
    const tell = json ? undefined : dimLines(terminal);
    return await submitTask(request, connection, { tell, isWatched, signal });
  } catch (error) {
    if (error instanceof UserError || !signal.aborted) throw error;
    return undefined;
  }
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
    terminal.out(`${JSON.stringify(show === 'none' ? task : { task })}\n`);
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
  tell(terminal, `${what} Follow it with: capybara tail ${id}`);
}

async function cancel(id: string, { connection, terminal }: WatchOptions): Promise<void> {
  const deadline = Date.now() + CANCEL_WAIT_MS;
  let task = await connection.client.cancelTask(id);
  while (task.endedAt === null && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, CANCEL_POLL_MS));
    task = await connection.client.task(id);
  }
  const state =
    task.endedAt === null ? 'Cancelling: the task ends as soon as its worker hears of it.' : 'Cancelled.';
  tell(terminal, state);
}
