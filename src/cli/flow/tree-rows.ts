/** Which sessions of a tree have a line, and how the lines hang together. */
import type { Todo, TreeNode } from '../../api/wire.ts';
import type { Signs } from './signs.ts';

/** Items of a plan that are shown below its agent; and of all rows they take this share at most. */
export const MAX_TODOS = 6;
const TODO_SHARE = 1 / 3;

export type TreeRow =
  | { readonly kind: 'session'; readonly branch: string; readonly node: TreeNode; readonly isTop: boolean }
  | { readonly kind: 'todo'; readonly branch: string; readonly todo: Todo }
  | { readonly kind: 'more'; readonly branch: string; readonly count: number };

/** Those that matter most come first where there is no room for all. */
const RANKS: Readonly<Record<TreeNode['state'], number>> = {
  ...{ executing: 0, thinking: 0, waiting: 1, failed: 2, idle: 3, completed: 4 },
};

/** In order, with each below its parent: at most `limit` rows, but always the first. */
export function treeRows(tree: TreeNode, { limit, signs }: { limit: number; signs: Signs }): TreeRow[] {
  const todos = Math.min(MAX_TODOS, Math.floor(limit * TODO_SHARE));
  const kept = keptNodes(tree, { limit, todos });
  const hidden = countOf(tree) - kept.size;
  return rowsBelow(tree, { kept, todos, signs, hidden, branch: '', below: '', isTop: true });
}

interface Place {
  readonly kept: ReadonlySet<TreeNode>;
  /** How many of a plan have a row. */
  readonly todos: number;
  readonly signs: Signs;
  /** Sessions that have no row, to be told behind the children of the first. */
  readonly hidden: number;
  readonly branch: string;
  /** In front of what stands below it. */
  readonly below: string;
  readonly isTop: boolean;
}

function rowsBelow(node: TreeNode, place: Place): TreeRow[] {
  const { kept, todos, signs, hidden, branch, below, isTop } = place;
  const children = node.children.filter((child) => kept.has(child));
  const hasMore = hidden > 0;
  const todoBranch = below + (children.length > 0 || hasMore ? signs.through : signs.blank);
  const rows: TreeRow[] = [{ kind: 'session', branch, node, isTop }];
  rows.push(...todoRows(node.todos, { limit: todos, branch: todoBranch }));
  for (const [index, child] of children.entries()) {
    const isLast = index === children.length - 1 && !hasMore;
    rows.push(
      ...rowsBelow(child, {
        ...{ kept, todos, signs, hidden: 0, isTop: false },
        branch: below + (isLast ? signs.lastBranch : signs.branch),
        below: below + (isLast ? signs.blank : signs.through),
      }),
    );
  }
  if (hasMore) rows.push({ kind: 'more', branch: below + signs.lastBranch, count: hidden });
  return rows;
}

/** The first of those that are not done, in their order, and how many more there are. */
function todoRows(
  todos: readonly Todo[],
  { limit, branch }: { readonly limit: number; readonly branch: string },
): TreeRow[] {
  if (todos.length <= limit) return todos.map((todo) => ({ kind: 'todo', branch, todo }));
  const open = todos.filter(isOpen);
  const closed = todos.filter((todo) => !isOpen(todo));
  const shown = new Set([...open, ...closed.toReversed()].slice(0, limit));
  const rows = todos
    .filter((todo) => shown.has(todo))
    .map((todo): TreeRow => ({ kind: 'todo', branch, todo }));
  return [...rows, { kind: 'more', branch, count: todos.length - limit }];
}

export function isOpen({ status }: Todo): boolean {
  return status === 'pending' || status === 'in_progress';
}

function rowsOf({ todos }: TreeNode, limit: number): number {
  return 1 + (todos.length <= limit ? todos.length : limit + 1);
}

/** With each its parents, which it cannot stand without. */
function keptNodes(tree: TreeNode, { limit, todos }: { limit: number; todos: number }): Set<TreeNode> {
  const parents = new Map<TreeNode, TreeNode>();
  const all = nodesOf(tree, parents);
  const total = all.reduce((sum, node) => sum + rowsOf(node, todos), 0);
  if (total <= limit) return new Set(all);
  const kept = new Set([tree]);
  // One row says how many are left out.
  let room = limit - 1 - rowsOf(tree, todos);
  for (const node of all.toSorted((one, other) => RANKS[one.state] - RANKS[other.state])) {
    const missing: TreeNode[] = [];
    for (let at: TreeNode | undefined = node; at && !kept.has(at); at = parents.get(at)) missing.push(at);
    const rows = missing.reduce((sum, each) => sum + rowsOf(each, todos), 0);
    if (rows > room) continue;
    room -= rows;
    for (const each of missing) kept.add(each);
  }
  return kept;
}

function nodesOf(node: TreeNode, parents: Map<TreeNode, TreeNode>): TreeNode[] {
  return [
    node,
    ...node.children.flatMap((child) => {
      parents.set(child, node);
      return nodesOf(child, parents);
    }),
  ];
}

function countOf({ children }: TreeNode): number {
  return children.reduce((sum, child) => sum + countOf(child), 1);
}
