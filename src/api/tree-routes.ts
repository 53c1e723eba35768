import { callAbout } from '../core/call-about.ts';
import { toPublicId } from '../core/id.ts';
import { readTodos } from '../store/views-todos.ts';
import { readTree, type TreeRow } from '../store/views-tree.ts';
import type { ApiDeps } from './deps.ts';
import { type Call, type Reply, type Route, route } from './route.ts';
import { noSession } from './session-routes.ts';
import { SessionTree, type Todo, type TreeNode } from './wire.ts';

/** Sessions that one answer tells, the nearest to its own first. */
export const MAX_TREE_SESSIONS = 500;
/** Characters of what a call is about. */
export const MAX_ABOUT_LENGTH = 200;

export function treeRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/sessions/:id/tree',
      scope: 'read',
      summary: 'A session and everything below it: what each agent does now.',
      id: 'session',
      success: { status: 200, description: 'The session, with its children in it.', schema: SessionTree },
      problems: { 404: ['not_found'] },
      handle: (call) => tree(deps, call),
    }),
  ];
}

async function tree({ db }: ApiDeps, { caller, id }: Call<unknown, unknown>): Promise<Reply> {
  const { rows, more } = await readTree(db, { teamId: caller.teamId, id }, MAX_TREE_SESSIONS);
  const own = rows.find((row) => row.id === id);
  if (own === undefined) throw noSession(id);
  const ids = rows.map((row) => row.id);
  const found = {
    byParent: Map.groupBy(rows, ({ parentId }) => parentId),
    todos: await readTodos(db, ids),
  };
  const body: SessionTree = { ...nodeOf(own, found), seq: own.seq, more };
  return { status: 200, body };
}

interface Found {
  readonly byParent: ReadonlyMap<string | null, readonly TreeRow[]>;
  readonly todos: ReadonlyMap<string, readonly Todo[]>;
}

function nodeOf(row: TreeRow, found: Found): TreeNode {
  const children = (found.byParent.get(row.id) ?? []).map((child) => nodeOf(child, found));
  return {
    sessionId: toPublicId('session', row.id),
    parentId: row.parentId === null ? null : toPublicId('session', row.parentId),
    title: row.title,
    agent: row.agent,
    state: row.state,
    ...doingOf(row),
    ...waitingOf(row, children),
    ...taskOf(row),
    turns: row.turns,
    startedAt: row.startedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
    seconds: Math.max(0, row.seconds ?? 0),
    tokens: { input: row.input, output: row.output },
    usd: row.usd,
    todos: [...(found.todos.get(row.id) ?? [])],
    children,
  };
}

function taskOf({ taskId, taskStatus }: TreeRow): Pick<TreeNode, 'task'> {
  if (taskId === null) return {};
  const status = taskStatus as NonNullable<TreeNode['task']>['status'];
  return { task: { id: toPublicId('task', taskId), status } };
}

function doingOf({ state, callName, callId, callArguments }: TreeRow): Pick<TreeNode, 'doing'> {
  if (state !== 'executing' || callName === null || callId === null) return {};
  const about = shortLine(callAbout(callArguments ?? ''));
  return { doing: { tool: callName, callId, ...(about !== '' && { about }) } };
}

function shortLine(text: string): string {
  const line = text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
  return line.length <= MAX_ABOUT_LENGTH ? line : `${line.slice(0, MAX_ABOUT_LENGTH - 1).toWellFormed()}…`;
}

function waitingOf({ waitingOn }: TreeRow, children: readonly TreeNode[]): Pick<TreeNode, 'waitingOn'> {
  if (waitingOn === null) return {};
  const on = waitingOn as NonNullable<TreeNode['waitingOn']>['on'];
  if (on !== 'children') return { waitingOn: { on } };
  return { waitingOn: { on, children: children.filter(isUnfinished).length } };
}

function isUnfinished({ task }: TreeNode): boolean {
  return task !== undefined && ['queued', 'running', 'waiting', 'paused'].includes(task.status);
}
