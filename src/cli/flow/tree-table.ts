import type { SessionTree, TreeNode } from '../../api/wire.ts';
import { dollars, sumUsd } from '../../core/money.ts';
import { pathText } from '../session-path.ts';
import { number } from '../summary.ts';
import { table } from '../table.ts';
import type { Style } from '../terminal.ts';

const HEADING = ['SESSION', 'AGENT', 'TURNS', 'TOKENS IN', 'OUT', 'COST'];

/** The sessions of a tree by their ids, with what each has used, and all together; '' where nothing is delegated. */
export function treeTable(tree: SessionTree, style: Style): string {
  if (tree.children.length === 0) return '';
  const separator = style.isUnicode ? ' › ' : ' > ';
  const listed = namedBelow(tree, []);
  const nodes = listed.map(({ node }) => node);
  const sum = (of: (node: TreeNode) => number) => nodes.reduce((all, node) => all + of(node), 0);
  const total = {
    turns: sum(({ turns }) => turns),
    tokens: { input: sum(({ tokens }) => tokens.input), output: sum(({ tokens }) => tokens.output) },
    usd: sumUsd(nodes.map(({ usd }) => usd)),
  };
  const rows = listed.map(({ node, path }) => {
    return [node.sessionId, path.length === 0 ? 'parent' : pathText(path, separator), ...cellsOf(node)];
  });
  // Of a part there is no total.
  const all = tree.more ? [] : [['', 'total', ...cellsOf(total)]];
  return `\n${table(HEADING, [...rows, ...all])}`;
}

interface Named {
  readonly node: TreeNode;
  /** From below the top down to itself. */
  readonly path: readonly TreeNode[];
}

function namedBelow(node: TreeNode, path: readonly TreeNode[]): Named[] {
  return [{ node, path }, ...node.children.flatMap((child) => namedBelow(child, [...path, child]))];
}

function cellsOf({ turns, tokens, usd }: Pick<TreeNode, 'turns' | 'tokens' | 'usd'>): string[] {
  const isNothing = tokens.input + tokens.output === 0;
  const cost = usd === null ? (isNothing ? '-' : 'unknown') : dollars(usd);
  return [...[turns, tokens.input, tokens.output].map(number), cost];
}
