/** The agents of a session tree as lines of text: who does what, for how long and for how much. Writes nothing itself. */
import type { TreeNode } from '../../api/wire.ts';
import { shortDuration } from '../../core/duration.ts';
import { shortTitle } from '../session-path.ts';
import type { Paint, Style } from '../terminal.ts';
import { cut, widthOf } from '../text-width.ts';
import { oneLine } from '../untrusted-text.ts';
import { ASCII, type Signs, shownWith, UNICODE } from './signs.ts';
import { stateText } from './state-text.ts';
import { isOpen, type TreeRow, treeRows } from './tree-rows.ts';

/** How wide it becomes, on however wide a terminal; and in a pipe, which has no width. */
export const MAX_FLOW_COLUMNS = 120;
export const PIPE_COLUMNS = 100;
/** Narrower terminals get no money, and then no times. */
export const MONEY_COLUMNS = 50;
export const TIME_COLUMNS = 32;

const TITLE = ' Agent Communication Flow ';
const ABOUT_COLUMNS = 200;

export interface FlowOptions {
  readonly style: Style;
  /** How many lines there may be, with the upper and the lower edge. */
  readonly rows?: number;
}

export function flowLines(
  tree: TreeNode,
  { style, rows: limit = Number.POSITIVE_INFINITY }: FlowOptions,
): string[] {
  const signs = style.isUnicode ? UNICODE : ASCII;
  const columns = Math.min(MAX_FLOW_COLUMNS, Number.isFinite(style.columns) ? style.columns : PIPE_COLUMNS);
  const [topLeft, topRight, bottomLeft, bottomRight] = signs.corners;
  const inner = Math.max(0, columns - 2);
  const title = widthOf(TITLE) <= inner ? TITLE : '';
  const left = Math.floor((inner - title.length) / 2);
  const across = (count: number) => signs.across.repeat(count);
  return [
    `${topLeft}${across(left)}${title}${across(inner - left - title.length)}${topRight}`,
    ...agentLines(treeRows(tree, { limit: limit - 2, signs }), { signs, style, columns }),
    `${bottomLeft}${across(inner)}${bottomRight}`,
  ];
}

interface Drawing {
  readonly signs: Signs;
  readonly style: Style;
  readonly columns: number;
}

function agentLines(rows: readonly TreeRow[], drawing: Drawing): string[] {
  const { signs, columns } = drawing;
  const nodes = rows.flatMap((row) => (row.kind === 'session' ? [row.node] : []));
  const measures = new Map(nodes.map((node) => [node, measureOf(node, columns)]));
  const widths = [0, 1].map((at) =>
    Math.max(0, ...[...measures.values()].map((cells) => cells[at]?.length ?? 0)),
  );
  return rows.map((row) => {
    const cells = row.kind === 'session' ? (measures.get(row.node) ?? []) : [];
    const right = widths
      .flatMap((width, at) => (width === 0 ? [] : [(cells[at] ?? '').padStart(width)]))
      .join(' ');
    const line = [{ text: `${signs.down} ${row.branch}` }, ...piecesOf(row, drawing)];
    return withRight(line, right, drawing);
  });
}

/** For how long, and for how much. */
function measureOf({ startedAt, seconds, usd }: TreeNode, columns: number): string[] {
  const time = startedAt === null || columns < TIME_COLUMNS ? '' : shortDuration(seconds * 1000);
  return [time, usd === null || columns < MONEY_COLUMNS ? '' : moneyText(Number(usd))];
}

function moneyText(usd: number): string {
  return usd > 0 && usd < 0.005 ? '<$0.01' : `$${usd.toFixed(2)}`;
}

interface Piece {
  readonly text: string;
  readonly paint?: Paint;
}

function piecesOf(row: TreeRow, { signs, style }: Drawing): Piece[] {
  if (row.kind === 'more') return [{ text: `${signs.mark} ${row.count} more`, paint: style.dim }];
  if (row.kind === 'todo') {
    const { status, text } = row.todo;
    const paint = isOpen(row.todo) ? undefined : style.dim;
    return [{ text: `${signs.todos[status]} ${said(signs, text)}`, ...(paint && { paint }) }];
  }
  const { node, isTop } = row;
  const [word, detail] = stateText(node);
  const paint = paintOf(node.state, style);
  const name =
    isTop && node.parentId === null ? topName(node) : `child ${shownWith(signs, shortTitle(node))}`;
  return [
    { text: `${signs.states[node.state]} `, paint },
    { text: `[${name}] ` },
    { text: word, paint },
    { text: detail === '' ? '' : `: ${said(signs, detail)}` },
  ];
}

/** Who has no children is nobody's parent. */
function topName({ children, agent }: TreeNode): string {
  return children.length > 0 ? 'parent' : (agent ?? 'agent');
}

/** The same texts are drawn several times a second: what was cleaned once is kept. */
const cleaned = new Map<string, string>();
const MAX_CLEANED = 1_000;

function said(signs: Signs, text: string): string {
  const found = cleaned.get(text) ?? oneLine(text, ABOUT_COLUMNS);
  if (cleaned.size >= MAX_CLEANED) cleaned.clear();
  cleaned.set(text, found);
  return shownWith(signs, found);
}

function paintOf(state: TreeNode['state'], style: Style): Paint {
  switch (state) {
    case 'idle':
      return style.dim;
    case 'thinking':
      return style.magenta;
    case 'executing':
      return style.cyan;
    case 'waiting':
      return style.yellow;
    case 'completed':
      return style.green;
    case 'failed':
      return style.red;
  }
}

/** The pieces cut to what is left of `right`, which ends at the last column. */
function withRight(pieces: readonly Piece[], right: string, { signs, style, columns }: Drawing): string {
  const isBare = right.trim() === '';
  const room = isBare ? columns : columns - right.length - 1;
  const { text, width } = fitted(pieces, room, signs.mark);
  if (isBare) return text;
  // A terminal may draw a sign narrower or wider than it is counted.
  const place = style.isWatched ? `\x1b[${columns - right.length + 1}G` : '';
  return `${text}${' '.repeat(room - width + 1)}${place}${right}`;
}

function fitted(pieces: readonly Piece[], columns: number, mark: string): { text: string; width: number } {
  const plain = pieces.map(({ text }) => text).join('');
  const whole = cut(plain, columns, mark);
  let rest = whole;
  let text = '';
  for (const { text: piece, paint = (each: string) => each } of pieces) {
    const taken = rest.startsWith(piece) ? piece : rest;
    text += paint(taken);
    rest = rest.slice(taken.length);
  }
  return { text, width: widthOf(whole) };
}
