import type { Session, Task } from '../api/wire.ts';
import { usageLines, withCode } from './summary.ts';
import { fields, table } from './table.ts';
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
    ['created', task.createdAt],
    ['ended', task.endedAt ?? '-'],
    ['prompt', oneLine(task.prompt, LINE)],
  ];
  if (task.error) pairs.push(['error', withCode(task.error.message, task.error.code)]);
  for (const line of usageLines(task.usage)) pairs.push(['usage', line]);
  const result = task.result ? `\n${neutralised(task.result.text)}\n` : '';
  return fields(pairs) + result;
}

/** What `sessions show` says. */
export function sessionText(session: Session, tasks: readonly Task[]): string {
  const pairs: [string, string][] = [
    ['session', session.id],
    ['title', oneLine(session.title, LINE)],
    ['state', session.state],
    ...placesOf(session.workspace).map(([name, place]): [string, string] => [name, oneLine(place, LINE)]),
    ['created', session.createdAt],
  ];
  if (session.parentId !== null) pairs.push(['parent', session.parentId]);
  if (session.forkedFrom !== null)
    pairs.push(['forked from', `${session.forkedFrom.sessionId}, behind entry ${session.forkedFrom.entry}`]);
  if (session.archivedAt !== null) pairs.push(['archived', session.archivedAt]);
  const rows = tasks.map(({ id, status, turns, prompt }) => [id, status, String(turns), prompt]);
  return `${fields(pairs)}\n${table(['TASK', 'STATUS', 'TURNS', 'PROMPT'], rows)}`;
}

function placesOf(workspace: Session['workspace']): [string, string][] {
  const { roots = [] } = workspace;
  const ofRoots = roots.map((root): [string, string] => {
    return ['root', `${root.name}=${placeOf(root)}${root.access === 'read' ? ':ro' : ''}`];
  });
  return [['workspace', placeOf(workspace)], ...ofRoots];
}

/** As `--workspace` takes it, and `--root`. */
function placeOf({ kind, path, repository }: Place): string {
  if (repository === undefined) return path ?? kind;
  return repository.ref === null ? repository.url : `${repository.url}#${repository.ref}`;
}
