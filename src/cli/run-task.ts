/** The flows of `run` and `tail`: follow a task, and leave it as the person wishes. Returns exit codes of DESIGN §8. */
import { randomUUID } from 'node:crypto';
import type { Approval, Task } from '../api/wire.ts';
import type { Connection } from './connection.ts';
import { type FollowEnd, type FollowOptions, follow, untilReachable } from './follow.ts';
import { CANCEL_WINDOW_MS, type Interrupts } from './interrupts.ts';
import { endingLines } from './summary.ts';
import { sendTask, type TaskRequest } from './task-input.ts';
import type { Terminal } from './terminal.ts';
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
  /** With `--json` the end of the task is a line of JSON. */
  readonly json: boolean;
  readonly interrupts: Interrupts;
  /** Where the person stands: an absolute path. */
  readonly directory: string;
}

const CANCEL_POLL_MS = 100;
/** How long the end of a cancelled task is waited for, in milliseconds. */
const CANCEL_WAIT_MS = 10_000;

/** Submits a task. Where an embedded Capybara goes away meanwhile, the next one gets it, once. */
export async function submitTask(request: TaskRequest, connection: Connection): Promise<Task> {
  const key = randomUUID();
  const send = () => sendTask(connection.client, request, key);
  if (connection.kind === 'configured') return send();
  return untilReachable({ connection, signal: new AbortController().signal }, send);
}

/** Submits a task and follows it. */
export async function runTask(request: TaskRequest, options: WatchOptions): Promise<number> {
  if (options.interrupts.signal.aborted) {
    options.terminal.err('Stopped before the task was sent: nothing was begun.\n');
    return EXIT.left;
  }
  return watchTask(await submitTask(request, options.connection), options);
}

/** Follows a task until it ends, a person is needed, or the person here leaves. */
export async function watchTask(task: Task, options: WatchOptions): Promise<number> {
  const { connection, terminal, show, interrupts } = options;
  const { dim } = terminal.style;
  if (show === 'text') {
    const unconfined = connection.sandbox === 'none' ? ' · unconfined' : '';
    terminal.out(`${dim(`${task.id} · ${neutralised(task.model)} · mode ${task.mode}${unconfined}`)}\n`);
  }
  const signal = AbortSignal.any([interrupts.signal, terminal.gone]);
  const end = await follow({ connection, task, terminal, show, signal });
  return finish(end, task, options);
}

async function finish(end: FollowEnd, task: Pick<Task, 'id'>, options: WatchOptions): Promise<number> {
  switch (end.kind) {
    case 'ended':
      await tellEnd(end.task, options);
      return exitCodeOf(end.task);
    case 'person_needed':
      for (const approval of end.approvals) tellApproval(approval, options);
      return EXIT.personNeeded;
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
  const canContinue = await continuesHere(task, options);
  // Whoever asks for the answer alone gets it alone.
  const tell = show === 'none' ? terminal.err : terminal.out;
  tell(`\n${endingLines(task, terminal.style, { canContinue })}`);
}

/** `run --continue` looks for a session of the directory it is typed in. */
async function continuesHere({ sessionId }: Task, options: WatchOptions): Promise<boolean> {
  const { connection, directory, interrupts } = options;
  const { client } = connection;
  const read = () => client.session(sessionId);
  const session = await untilReachable({ connection, signal: interrupts.signal }, read);
  return session.workspace.path === directory && session.parentId === null;
}

export function exitCodeOf(task: Task): number {
  if (task.status === 'succeeded') return EXIT.done;
  return task.error?.code.startsWith('limit_') ? EXIT.limit : EXIT.failed;
}

function tellApproval(approval: Approval, { terminal }: WatchOptions): void {
  terminal.err(
    `${toolName(approval.tool)} needs an approval; the task waits. ` +
      `Answer with: capybara approvals allow ${approval.id} (or deny)\n` +
      argumentLines(approval.arguments, terminal.style),
  );
}

async function leave(id: string, options: WatchOptions): Promise<void> {
  const { connection, terminal, interrupts } = options;
  if (interrupts.signal.aborted) {
    const plan = connection.kind === 'own' ? 'Stopping' : 'Detaching';
    terminal.err(`\n${plan}; press Ctrl-C again within ${CANCEL_WINDOW_MS / 1000} s to cancel the task.\n`);
    if ((await interrupts.meaning()) === 'cancel') return cancel(id, options);
  }
  const what =
    connection.kind === 'own'
      ? 'The task is kept: the next `capybara run` or `capybara up` goes on with it.'
      : 'Detached: the task goes on.';
  terminal.err(`${what} Follow it with: capybara tail ${id}\n`);
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
  terminal.err(`${state}\n`);
}
