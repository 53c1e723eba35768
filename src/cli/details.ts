import type { Session, SessionDetails, Task, Todo } from '../api/wire.ts';
import { dollars, sumUsd } from '../core/money.ts';
import { number, usageLines, withCode } from './summary.ts';
import { fields, table } from './table.ts';
import { plural } from './tool-lines.ts';
import { neutralised, oneLine } from './untrusted-text.ts';

const LINE = 500;

interface Place extends Pick<Session['workspace'], 'repository'> {
  readonly kind: string;
  readonly path?: string | null | undefined;
}

/** What `tasks show` says. */
export function taskText(task: Task): string {
  const state = task.waitingOn ? `${task.status} on ${task.waitingOn}` : task.status;
  const pairs: [string, string][] = [
    ['task', task.id],
    ['session', task.sessionId],
    ['status', task.cancelRequested && task.endedAt === null ? `${state}, being cancelled` : state],
    ['model', oneLine(task.model, LINE)],
    ['mode', task.mode],
    ['turns', `${task.turns} of ${task.limits.turns}`],
    ...limitPairs(task),
    ['created', task.createdAt],
    ['ended', task.endedAt ?? '-'],
    ['prompt', oneLine(task.prompt, LINE)],
  ];
  if (task.scheduleId !== null) pairs.push(['schedule', task.scheduleId]);
  if (task.error) pairs.push(['error', withCode(task.error.message, task.error.code)]);
  for (const line of usageLines(task.usage)) pairs.push(['usage', line]);
  const result = task.result ? `\n${neutralised(task.result.text)}\n` : '';
  return fields(pairs) + result;
}

/** The other limits that it has. */
function limitPairs({ limits }: Task): [string, string][] {
  const { tokens, usd, seconds, onLimit } = limits;
  const given = [
    ...(tokens === null ? [] : [`${number(tokens)} tokens`]),
    ...(usd === null ? [] : [`$${usd}`]),
    ...(seconds === null ? [] : [`${number(seconds)} seconds`]),
    ...(onLimit === 'park' ? ['waits there'] : []),
  ];
  return given.length === 0 ? [] : [['limits', given.join(', ')]];
}

/** What its tasks used together. */
function usedBy(tasks: readonly Task[]): string {
  const sum = (of: (usage: Task['usage']) => number) => tasks.reduce((all, { usage }) => all + of(usage), 0);
  const usd = sumUsd(tasks.map(({ usage }) => usage.usd));
  const unpriced = sum((usage) => usage.unpriced);
  const unknown =
    unpriced === 0 ? [] : [`${number(unpriced)} ${plural(unpriced, 'request')} of unknown price`];
  const money = [...(usd === null ? [] : [dollars(usd)]), ...unknown];
  const tokens = `${number(sum(({ input }) => input))} tokens in, ${number(sum(({ output }) => output))} out`;
  return [tokens, money.join(' and ')].filter((text) => text !== '').join(', ');
}

/** What `sessions show` says. */
export function sessionText(session: SessionDetails, tasks: readonly Task[]): string {
  const pairs: [string, string][] = [
    ['session', session.id],
    ['title', oneLine(session.title, LINE)],
    ['state', session.state],
    ...placesOf(session).map(([name, place]): [string, string] => [name, oneLine(place, LINE)]),
    ['created', session.createdAt],
  ];
  if (session.parentId !== null) pairs.push(['parent', session.parentId]);
  if (session.forkedFrom !== null)
    pairs.push(['forked from', `${session.forkedFrom.sessionId}, behind entry ${session.forkedFrom.entry}`]);
  if (session.archivedAt !== null) pairs.push(['archived', session.archivedAt]);
  if (tasks.some(({ usage }) => usage.requests > 0)) pairs.push(['used', usedBy(tasks)]);
  for (const todo of session.todos) pairs.push(['todo', todoLine(todo)]);
  const rows = tasks.map(({ id, status, turns, prompt }) => [id, status, String(turns), prompt]);
  return `${fields(pairs)}\n${table(['TASK', 'STATUS', 'TURNS', 'PROMPT'], rows)}`;
}

/** One item of an agent's list, as it is told wherever a list is. */
export function todoLine({ text, status }: Todo): string {
  const said = oneLine(text, LINE);
  switch (status) {
    case 'done':
      return `[x] ${said}`;
    case 'cancelled':
      return `[-] ${said} (cancelled)`;
    case 'in_progress':
      return `[ ] ${said} (in progress)`;
    case 'pending':
      return `[ ] ${said}`;
  }
}

function placesOf({ workspace, parentId }: Session): [string, string][] {
  const { roots = [] } = workspace;
  const ofRoots = roots.map((root): [string, string] => {
    return ['root', `${root.name}=${placeOf(root)}${root.access === 'read' ? ':ro' : ''}`];
  });
  const isCopy = parentId !== null && workspace.kind === 'empty';
  return [['workspace', isCopy ? "a copy of its parent's files" : placeOf(workspace)], ...ofRoots];
}

/** As `--workspace` takes it, and `--root`. */
function placeOf({ kind, path, repository }: Place): string {
  if (repository === undefined) return path ?? kind;
  return repository.ref === null ? repository.url : `${repository.url}#${repository.ref}`;
}
