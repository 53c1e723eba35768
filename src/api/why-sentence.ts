/** What will wake a task, in a sentence for a person; where that is a person, with the command to type. */
import { durationText } from '../core/duration.ts';
import { toPublicId } from '../core/id.ts';
import { WAITS_FOR_LIMIT } from '../core/router.ts';
import type { EndedTask } from '../store/views-tasks.ts';
import type { WaitingTask } from '../store/witnesses.ts';

/** Questions that a sentence tells; the rest it counts. */
export const MAX_QUESTIONS = 3;

type Of<Kind extends WaitingTask['kind']> = Extract<WaitingTask, { kind: Kind }>;

export function sentenceOf(task: WaitingTask): string {
  switch (task.kind) {
    case 'earlier':
      return earlier(task);
    case 'admission':
      return withWorkers(
        task.evidence,
        `Turn ${task.evidence.turn} may begin`,
        ': a worker takes it up in a second.',
      );
    case 'due':
      return due(task.evidence);
    case 'queued':
      return queued(task.evidence);
    case 'lease':
      return lease(task.evidence);
    case 'calls':
      return calls(task);
    case 'slot':
      return slot(task);
    case 'paused':
      return `It is paused until somebody resumes it: \`capybara tasks resume ${taskId(task.taskId)}\`.`;
    case 'budget':
      return budget(task);
    case 'broken':
      return broken(task);
  }
}

/** A session with nothing unfinished: how its last task ended. */
export function endedSentence(last: EndedTask | undefined): string {
  if (last === undefined) return 'Nothing is unfinished.';
  const how = { succeeded: 'succeeded', failed: 'failed', cancelled: 'was cancelled' }[last.status];
  const why = last.error === null ? '' : `: ${withCode(last.error)}`;
  return `Nothing is unfinished: the last task, ${taskId(last.taskId)}, ${how} ${ago(last.agoSeconds)}${why}.`;
}

export function countSentence(count: number, more: boolean): string {
  if (more) return `More than ${count} tasks are unfinished.`;
  return count === 1 ? '1 task is unfinished.' : `${count} tasks are unfinished.`;
}

/** What happens next, or that nothing does without a worker. */
function withWorkers({ liveWorkers }: { readonly liveWorkers: number }, what: string, next: string): string {
  if (liveWorkers > 0) return `${what}${next}`;
  return `${what}, but no worker is live: start one with \`capybara up\` on your own machine, \`capybara worker\` on a server.`;
}

function earlier({ evidence: { ahead }, via }: Of<'earlier'>): string {
  const first = taskId(via[0]?.taskId ?? '');
  if (ahead === 1) return `It begins when the task before it has ended: ${first}.`;
  return `It begins when the ${ahead} tasks before it have ended, of which ${first} is the first.`;
}

function due(evidence: Of<'due'>['evidence']): string {
  const when = evidence.dueInSeconds > 0 ? `in ${duration(evidence.dueInSeconds)}` : 'now';
  const failure = failureOf(evidence);
  if (failure?.code === WAITS_FOR_LIMIT)
    return withWorkers(
      evidence,
      `${failure.message.replace(/\.$/, '')}: turn ${evidence.turn} goes on ${when}`,
      '.',
    );
  const why = failure === null ? '' : `; the last try failed: ${withCode(failure)}`;
  return withWorkers(evidence, `Turn ${evidence.turn} is tried again ${when}${why}`, '.');
}

/** How the last try of a turn with a due time ended. */
export function failureOf(
  evidence: Of<'due'>['evidence'],
): { readonly code: string; readonly message: string } | null {
  if (evidence.after !== 'lost') {
    const { failure } = evidence;
    return failure && { code: failure.code, message: failure.message };
  }
  const times = evidence.losses === 1 ? '' : ` ${evidence.losses} times in a row`;
  return { code: 'worker_lost', message: `its worker was lost${times}` };
}

function queued(evidence: Of<'queued'>['evidence']): string {
  const { turn, liveWorkers, waitedSeconds, pinnedTo } = evidence;
  if (pinnedTo !== null) {
    const worker = toPublicId('worker', pinnedTo);
    return `Turn ${turn} has waited ${duration(waitedSeconds)} for the worker ${worker}, where commands of its session run in the background.`;
  }
  const waited = `Turn ${turn} has waited ${duration(waitedSeconds)} for a worker`;
  const live = liveWorkers === 1 ? '1 is live' : `${liveWorkers} are live`;
  return withWorkers(evidence, waited, `: the next with a free slot takes it, and ${live}.`);
}

function lease(evidence: Of<'lease'>['evidence']): string {
  const { turn, leaseSecondsLeft: left } = evidence;
  const worker = toPublicId('worker', evidence.workerId);
  if (left <= 0) {
    const lost = `The worker ${worker} was lost ${ago(-left)} at turn ${turn}`;
    return withWorkers(evidence, lost, ': another one takes over in a second.');
  }
  const act = evidence.cancelRequested ? `was told to cancel turn ${turn}` : `is at turn ${turn} and goes on`;
  return `The worker ${worker} ${act}; if it dies, its lease ends in ${duration(left)} and another one takes over.`;
}

function calls({ evidence: { approvals, children }, via }: Of<'calls'>): string {
  if (children === 0) return questions(approvals);
  const first = taskId(via[0]?.taskId ?? '');
  const waits =
    children === 1
      ? `It waits for the task that it delegated, ${first}`
      : `It waits for ${children} tasks that it delegated, of which ${first} is one`;
  return approvals.length === 0 ? `${waits}.` : `${waits}. ${questions(approvals)}`;
}

function slot({ evidence: { atWork, ahead }, via }: Of<'slot'>): string {
  const first = taskId(via[0]?.taskId ?? '');
  const others = ahead === 1 ? '1 other that waits' : `${ahead} others that wait`;
  const before =
    ahead === 0 ? 'It is the next delegated task to get a slot' : `It gets a slot after ${others}`;
  const work = atWork === 1 ? `${first} is at work` : `${atWork} are at work, ${first} among them`;
  return `${before}: ${work}, and no more may be at once.`;
}

function questions(approvals: Of<'calls'>['evidence']['approvals']): string {
  const told = approvals
    .slice(0, MAX_QUESTIONS)
    .map(({ id, tool }) => `${tool}: \`capybara approvals allow ${toPublicId('approval', id)}\` (or deny)`);
  const hidden = approvals.length - told.length;
  const rest = hidden === 0 ? '' : `, and ${hidden} more, which \`capybara approvals list\` shows`;
  return `A person must allow or deny ${told.join(', ')}${rest}.${deadline(approvals)}`;
}

/** A deadline bounds the wait: the first to pass is told. */
function deadline(approvals: Of<'calls'>['evidence']['approvals']): string {
  const left = approvals.flatMap(({ expiresInSeconds }) => expiresInSeconds ?? []);
  if (left.length === 0) return '';
  const first = Math.max(0, Math.min(...left));
  return ` Without an answer ${approvals.length === 1 ? 'it' : 'the first of them'} is denied in ${duration(first)}.`;
}

const RAISED_BY = {
  turns: 'turns',
  tree_turns: 'treeTurns',
  tokens: 'tokens',
  usd: 'usd',
  seconds: 'seconds',
} as const;

function budget({ taskId: id, evidence: { turn, limit, used, allowed } }: Of<'budget'>): string {
  const how = `Raise it with \`capybara tasks resume ${taskId(id)} --limit ${RAISED_BY[limit]}=N\`.`;
  return `Turn ${turn} waits for a higher limit: ${spent(limit, String(used), String(allowed))}. ${how}`;
}

function spent(limit: Of<'budget'>['evidence']['limit'], used: string, allowed: string): string {
  switch (limit) {
    case 'turns':
      return `the task has used ${used} of its ${allowed} turns`;
    case 'tree_turns':
      return `the whole session tree has used ${used} of its ${allowed} turns`;
    case 'tokens':
      return `the session has used ${used} of its ${allowed} tokens, and the next turn might need more than are left`;
    case 'usd':
      return `the session has spent $${used} of its $${allowed}, and the next turn might cost more than is left`;
    case 'seconds':
      return `${duration(Number(used))} of the ${duration(Number(allowed))} that the task may take have passed`;
  }
}

function broken(task: Of<'broken'>): string {
  const id = taskId(task.taskId);
  const report = `report what \`capybara why ${id} --json\` prints`;
  return `${faultOf(task)}: this is a bug in Capybara; ${report}, and cancel the task with \`capybara tasks cancel ${id}\`.`;
}

function faultOf({ evidence, via }: Of<'broken'>): string {
  switch (evidence.fault) {
    case 'none':
      return 'Nothing will wake it';
    case 'several':
      return `More than one thing would wake it (${evidence.found.join(' and ')})`;
    case 'cycle': {
      const tasks = [...new Set(via.map((each) => taskId(each.taskId)))];
      return `It waits for tasks that wait for each other (${tasks.join(', ')})`;
    }
    case 'nowhere':
      return `It waits for ${taskId(via.find(({ kind }) => kind === null)?.taskId ?? '')}, which nothing will wake`;
  }
}

function withCode({ code, message }: { readonly code: string; readonly message: string }): string {
  return `${message.replace(/\.$/, '')} (${code})`;
}

const taskId = (id: string): string => toPublicId('task', id);
const duration = (seconds: number): string => durationText(seconds * 1000);
const ago = (seconds: number): string => `${duration(seconds)} ago`;
