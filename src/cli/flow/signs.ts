import type { Todo, TreeNode } from '../../api/wire.ts';

/** What the flow of agents is drawn with. */
export interface Signs {
  /** Of the box: its four corners, its lines. */
  readonly corners: readonly [string, string, string, string];
  readonly across: string;
  readonly down: string;
  /** In front of a session below another: one with more after it, the last, and what stands below either. */
  readonly branch: string;
  readonly lastBranch: string;
  readonly through: string;
  readonly blank: string;
  /** For what is left out. */
  readonly mark: string;
  readonly states: Readonly<Record<TreeNode['state'], string>>;
  readonly todos: Readonly<Record<Todo['status'], string>>;
}

export const UNICODE: Signs = {
  corners: ['┌', '┐', '└', '┘'],
  across: '─',
  down: '│',
  branch: '├── ',
  lastBranch: '└── ',
  through: '│   ',
  blank: '    ',
  mark: '…',
  states: { idle: '💤', thinking: '🤔', executing: '⚙️', waiting: '⏳', completed: '✅', failed: '❌' },
  todos: { pending: '☐', in_progress: '◐', done: '☑', cancelled: '☒' },
};

export const ASCII: Signs = {
  corners: ['+', '+', '+', '+'],
  across: '-',
  down: '|',
  branch: '|-- ',
  lastBranch: '`-- ',
  through: '|   ',
  blank: '    ',
  mark: '...',
  states: { idle: '.', thinking: '?', executing: '*', waiting: '~', completed: '+', failed: 'x' },
  todos: { pending: '[ ]', in_progress: '[~]', done: '[x]', cancelled: '[-]' },
};

/** Text as those can show it. */
export function shownWith(signs: Signs, text: string): string {
  return signs === ASCII ? text.replaceAll('…', '...').replace(/[^\x20-\x7e]/gu, '?') : text;
}
