/** What agents ask while they are followed: the person here is asked about each call, in place. */
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type { Approval, ResolveApproval, Task } from '../api/wire.ts';
import type { Client } from '../client/client.ts';
import { ProblemError } from '../client/errors.ts';
import type { FollowOptions } from './follow.ts';
import { tell } from './sentences.ts';
import { askerText } from './session-path.ts';
import type { Terminal } from './terminal.ts';
import { untilReachable } from './until-reachable.ts';
import { oneLine } from './untrusted-text.ts';
import { alwaysText, argumentLines, madeRuleText, toolName } from './whole-call.ts';

/** How often is looked, while a person is asked, whether another has answered. */
const LOOK_AGAIN_MS = 1_000;

/** Those of the followed task, and of the sessions below its own. */
export async function openApprovals(
  client: Client,
  { id: taskId, sessionId }: Pick<Task, 'id' | 'sessionId'>,
): Promise<Approval[]> {
  const open: Approval[] = [];
  for (let cursor: string | undefined; ; ) {
    const { data, nextCursor } = await client.approvals({ sessionId, limit: 200, cursor });
    const ours = data.filter((each) => each.taskId === taskId || each.sessionId !== sessionId);
    open.push(...ours.filter(({ status }) => status === 'open'));
    if (nextCursor === null) return open;
    cursor = nextCursor;
  }
}

/** Whether there is a person here who can be asked. */
export function asks({ terminal, show }: FollowOptions): boolean {
  return terminal.ask !== undefined && show !== 'json';
}

/** Asks the person here about each; returns those that nobody answered. */
export async function decideAll(options: FollowOptions, approvals: readonly Approval[]): Promise<Approval[]> {
  const { connection, terminal, task, signal } = options;
  if (!terminal.ask || !asks(options)) return [...approvals];
  const undecided: Approval[] = [];
  for (const approval of approvals) {
    const { bold, columns } = terminal.style;
    const asker = askerText(approval.path, task.sessionId);
    const by = asker === undefined ? '' : ` · asked by ${asker}`;
    const call = argumentLines(approval.arguments, { columns });
    terminal.out(`${bold(toolName(approval.tool))}${by}\n${call}`);
    const decision = await decide(options, terminal.ask, approval);
    if (decision === 'elsewhere') terminal.out(await elsewhereText(options, approval));
    else if (decision !== undefined)
      await resolve(connection.clientUntil(signal), { terminal, approval }, decision);
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
  { id }: Pick<Approval, 'id'>,
  signal: AbortSignal,
): Promise<void> {
  const { connection, task } = options;
  const client = connection.clientUntil(signal);
  for (;;) {
    await delay(LOOK_AGAIN_MS, undefined, { signal });
    const open = await untilReachable({ connection, signal }, () => openApprovals(client, task));
    if (!open.some((each) => each.id === id)) return;
  }
}

/** How it was answered by another, and by whom, where that is to be found; nobody is kept waiting for it. */
async function elsewhereText(
  { connection, signal }: FollowOptions,
  { id, sessionId }: Pick<Approval, 'id' | 'sessionId'>,
): Promise<string> {
  const client = connection.clientUntil(signal);
  for (const status of CLOSED) {
    const { data } = await client.approvals({ sessionId, status, limit: 200 }).catch(() => ({ data: [] }));
    const answered = data.find((each) => each.id === id);
    if (answered === undefined) continue;
    const by = answered.resolvedBy === null ? '' : ` by ${oneLine(answered.resolvedBy, NAME_COLUMNS)}`;
    return `answered elsewhere: ${answered.status}${by}\n`;
  }
  return 'answered elsewhere\n';
}

const CLOSED = ['allowed', 'denied', 'expired', 'closed'] as const;
const NAME_COLUMNS = 60;

export type Answer = z.infer<typeof ResolveApproval>;

/** What the person typed means; undefined: nothing that was asked for. */
export function answerOf(typed: string, { always }: Pick<Approval, 'always'>): Answer | undefined {
  const text = typed.trim();
  if (isYes(text)) return { decision: 'allow' };
  if (always !== null && /^(a|always)$/i.test(text)) return { decision: 'allow_always' };
  const [, isNo, message] = /^(n|no)(?:[\s,:]+(.+))?$/is.exec(text) ?? [];
  if (isNo === undefined) return undefined;
  return { decision: 'deny', ...(message === undefined ? {} : { message }) };
}

export function isYes(typed: string): boolean {
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
    tell(terminal, error.message);
  }
}
