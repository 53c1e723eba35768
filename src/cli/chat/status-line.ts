/** The line that says how things stand: who works with what, on what, for how long and for how much. */
import { truncateToWidth, visibleWidth } from '@earendil-works/pi-tui';
import type { TreeNode } from '../../api/wire.ts';
import { shortDuration } from '../../core/duration.ts';
import { dollars, sumUsd } from '../../core/money.ts';
import { stateText } from '../flow/state-text.ts';
import type { Look } from '../look.ts';
import { shortNumber } from '../summary.ts';
import { plural } from '../tool-lines.ts';
import { oneLine } from '../untrusted-text.ts';
import { type ChatState, lastTask, taskInHand } from './state.ts';

const NAME_COLUMNS = 40;

export interface StatusOptions extends Look {
  readonly columns: number;
  /** The session as it stands; undefined before there is one. */
  readonly tree: TreeNode | undefined;
  /** Of the next task, where nobody has chosen one. */
  readonly fallback: { readonly agent: string; readonly model: string | undefined };
}

export function statusLine(state: ChatState, options: StatusOptions): string {
  const { theme, signs, columns } = options;
  const left = [...nextParts(state, options), ...doingParts(state, options)].join(signs.separator);
  const right = usedText(options);
  const room = columns - visibleWidth(right) - 2;
  if (room < 12) return theme.quiet(truncateToWidth(left, columns, '…'));
  const shown = truncateToWidth(left, room, '…');
  const gap = ' '.repeat(columns - visibleWidth(shown) - visibleWidth(right));
  // What is cut ends what it is painted with.
  return theme.quiet(shown) + gap + theme.quiet(right);
}

/** What the next message is answered with. */
function nextParts(state: ChatState, { fallback }: StatusOptions): string[] {
  const task = taskInHand(state) ?? lastTask(state);
  const { wishes } = state;
  const agent = wishes.agent ?? task?.agent ?? fallback.agent;
  const model = wishes.model ?? task?.model ?? fallback.model ?? 'default model';
  const mode = wishes.mode ?? task?.mode;
  const off = wishes.withoutTools?.length ?? 0;
  const without = off === 0 ? [] : [`without ${off} ${plural(off, 'tool')}`];
  const names = [agent, model, ...(mode === undefined ? [] : [mode])];
  return [...names.map((name) => oneLine(name, NAME_COLUMNS)), ...without];
}

function doingParts(state: ChatState, { tree, theme }: StatusOptions): string[] {
  const task = taskInHand(state);
  if (state.isLost) return [theme.warning('no connection')];
  if (task === undefined) return [];
  if (task.status === 'paused') return [theme.warning('paused')];
  if (task.cancelRequested) return ['stopping'];
  if (tree === undefined || tree.task?.id !== task.id) return [task.status];
  const [word, detail] = stateText(tree);
  return [detail === '' ? word : `${word}: ${oneLine(detail, NAME_COLUMNS)}`];
}

function usedText({ tree, signs }: StatusOptions): string {
  if (tree === undefined) return '';
  const all = nodesOf(tree);
  const tokens = all.reduce((sum, node) => sum + node.tokens.input + node.tokens.output, 0);
  const usd = sumUsd(all.map((node) => node.usd));
  const parts = [
    ...(tokens > 0 ? [`${shortNumber(tokens)} tokens`] : []),
    ...(usd === null ? [] : [dollars(usd)]),
    ...(tree.startedAt === null ? [] : [shortDuration(tree.seconds * 1000)]),
  ];
  return parts.join(signs.separator);
}

function nodesOf(node: TreeNode): TreeNode[] {
  return [node, ...node.children.flatMap(nodesOf)];
}
