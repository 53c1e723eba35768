/** The agents of the session: beside the conversation where there is room, below it where several work. */
import { type Component, truncateToWidth } from '@earendil-works/pi-tui';
import type { TreeNode } from '../../../api/wire.ts';
import { flowLines } from '../../flow/flow-lines.ts';
import { isUnfinished } from '../../flow/flow-tree.ts';
import type { Look } from '../../look.ts';

/** From so many columns on the tree stands beside the conversation. */
export const SPLIT_COLUMNS = 120;
const SHARE = 0.36;
const MAX_COLUMNS = 60;
/** Of the rows of a screen, where it stands below. */
const ROWS_SHARE = 1 / 3;
const MIN_ROWS = 4;

export interface TreePaneOptions {
  readonly tree: () => TreeNode | undefined;
  readonly look: () => Look;
  readonly screen: () => { readonly columns: number; readonly rows: number };
}

export class TreePane implements Component {
  readonly #options: TreePaneOptions;
  readonly #place: 'beside' | 'below';

  constructor(place: 'beside' | 'below', options: TreePaneOptions) {
    this.#place = place;
    this.#options = options;
  }

  get isShown(): boolean {
    const { columns } = this.#options.screen();
    const tree = this.#options.tree();
    if (this.#place === 'beside') return columns >= SPLIT_COLUMNS;
    return columns < SPLIT_COLUMNS && tree !== undefined && isUnfinished(tree) && tree.children.length > 0;
  }

  render(width: number): string[] {
    const tree = this.#options.tree();
    const { theme, style } = this.#options.look();
    const screen = this.#options.screen();
    const columns =
      this.#place === 'beside' ? Math.min(MAX_COLUMNS, Math.floor(screen.columns * SHARE)) : width;
    const rows =
      this.#place === 'beside' ? screen.rows - 6 : Math.max(MIN_ROWS, Math.floor(screen.rows * ROWS_SHARE));
    const inner = this.#place === 'beside' ? columns - 1 : columns;
    const lines =
      tree === undefined
        ? [theme.quiet('No agent works yet.'.padEnd(inner))]
        : // Lines are put beside others: none may move the cursor.
          flowLines(tree, { style: { ...style, columns: inner, isWatched: false }, rows });
    const indent = this.#place === 'beside' ? ' ' : '';
    return lines.map((line) => indent + truncateToWidth(line, inner, '', true));
  }

  invalidate(): void {}
}
