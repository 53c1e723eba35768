import { describe, expect, test } from 'vitest';
import type { TreeNode } from '../../src/api/wire.ts';
import {
  flowLines,
  MAX_FLOW_COLUMNS,
  MONEY_COLUMNS,
  PIPE_COLUMNS,
  TIME_COLUMNS,
} from '../../src/cli/flow/flow-lines.ts';
import { MAX_TODOS } from '../../src/cli/flow/tree-rows.ts';
import { createStyle } from '../../src/cli/terminal.ts';
import { columnBehind, widthOf } from '../../src/cli/text-width.ts';
import { aNode, aTree } from './scripted-api.ts';

interface Look {
  readonly columns?: number;
  readonly rows?: number;
  readonly isUnicode?: boolean;
}

function drawn(tree: TreeNode, { columns, rows, isUnicode = true }: Look = {}): string[] {
  const isTty = columns !== undefined;
  const style = createStyle({ isTty, noColor: true, isUnicode, columns: () => columns });
  // Where a line's times begin, however wide its signs are.
  return flowLines(tree, { style, ...(rows !== undefined && { rows }) }).map((line) =>
    line.replace(new RegExp(`${'\u001b'}\\[\\d+G`), ''),
  );
}

const bash = (about?: string) => ({ tool: 'bash', callId: 'c1', ...(about !== undefined && { about }) });

const TREE = aTree([
  aNode({ state: 'executing', doing: bash('npm test'), seconds: 38, usd: '0.05' }),
  aNode({ title: 'docs' }),
]);

describe('the agents of a tree', () => {
  test('in 80 columns', () => {
    expect(drawn(TREE, { columns: 80 })).toEqual([
      '┌────────────────────────── Agent Communication Flow ──────────────────────────┐',
      '│ ⏳ [parent] waiting: 2 delegated tasks                             1m12s $0.18',
      '│ ├── ⚙️ [child tests] executing: npm test                             38s $0.05',
      '│ └── 🤔 [child docs] thinking                                          9s $0.01',
      '└──────────────────────────────────────────────────────────────────────────────┘',
    ]);
  });

  test('that is one agent', () => {
    expect(drawn({ ...aTree([]), agent: 'build' }, { columns: 80 })[1]).toContain('[build] ');
  });

  test('in 40 columns, and in 140', () => {
    expect(drawn(TREE, { columns: 40 })).toEqual([
      '┌────── Agent Communication Flow ──────┐',
      '│ ⏳ [parent] waiting: 2 delegate… 1m12s',
      '│ ├── ⚙️ [child tests] executing:…   38s',
      '│ └── 🤔 [child docs] thinking        9s',
      '└──────────────────────────────────────┘',
    ]);
    const wide = drawn(TREE, { columns: 140 });
    expect(wide.map(widthOf)).toEqual(Array(5).fill(MAX_FLOW_COLUMNS));
    expect(wide[2]).toMatch(/^│ ├── ⚙️ \[child tests\] executing: npm test {50,}38s \$0\.05$/);
  });

  test('in ASCII, with a sign for what it cannot show', () => {
    const tree = aTree([
      aNode({ title: 'prüfen', children: [aNode({ title: 'a'.repeat(30), state: 'failed' })] }),
    ]);
    expect(drawn(tree, { columns: 64, isUnicode: false })).toEqual([
      '+------------------ Agent Communication Flow ------------------+',
      '| ~ [parent] waiting: 1 delegated task               1m12s $0.18',
      '| `-- ? [child pr?fen] thinking                         9s $0.01',
      '|     `-- x [child aaaaaaaaaaaaaaaaaaaaaaa...] fa...    9s $0.01',
      '+--------------------------------------------------------------+',
    ]);
  });

  test('in their colours, where those are wanted', () => {
    const style = createStyle({ isTty: true, noColor: false, columns: () => 80 });
    const of = (state: TreeNode['state']) => flowLines(aNode({ state }), { style })[1] ?? '';
    const colours = (['idle', 'thinking', 'executing', 'waiting', 'completed', 'failed'] as const).map(
      (state) => new RegExp(`${'\u001b'}\\[(\\d+)m${state}`).exec(of(state))?.[1],
    );
    expect(colours).toEqual(['2', '35', '36', '33', '32', '31']);
    expect(drawn(TREE, { columns: 80 }).join('')).not.toContain('\u001b');
  });

  test.each<[Partial<TreeNode>, string]>([
    [{ state: 'idle', task: { id: 't', status: 'queued' } }, '💤 [child tests] idle: queued'],
    [{ state: 'idle', task: { id: 't', status: 'cancelled' } }, '💤 [child tests] idle: cancelled'],
    [{ state: 'completed' }, '✅ [child tests] completed'],
    [{ state: 'failed' }, '❌ [child tests] failed'],
    [{ state: 'executing' }, '⚙️ [child tests] executing'],
    [{ state: 'executing', doing: bash() }, '⚙️ [child tests] executing: bash'],
    [
      { state: 'executing', doing: { tool: 'read_file', callId: 'c1', about: 'a\n\u001b[2Jb' } },
      '⚙️ [child tests] executing: read_file a b',
    ],
    [
      { state: 'waiting', waitingOn: { on: 'slot' }, task: { id: 't', status: 'paused' } },
      '⏳ [child tests] waiting: paused',
    ],
    [{ state: 'waiting', waitingOn: { on: 'approval' } }, '⏳ [child tests] waiting: an approval'],
    [
      { state: 'waiting', waitingOn: { on: 'children', children: 0 } },
      '⏳ [child tests] waiting: delegated tasks',
    ],
    [{ state: 'waiting', waitingOn: { on: 'retry' } }, '⏳ [child tests] waiting: another try'],
    [{ state: 'waiting', waitingOn: { on: 'budget' } }, '⏳ [child tests] waiting: a higher limit'],
    [{ state: 'waiting', waitingOn: { on: 'slot' } }, '⏳ [child tests] waiting: a free slot'],
    [
      { state: 'waiting', waitingOn: { on: 'weath\x1b[2Jer' as 'slot' } },
      '⏳ [child tests] waiting: weather',
    ],
    [{ state: 'waiting', waitingOn: { on: 'input' } }, '⏳ [child tests] waiting: an answer'],
    [{ state: 'idle', title: ' \n', agent: 'review' }, '💤 [child review] idle'],
  ])('each say what they do: %j', (change, text) => {
    expect(drawn(aNode({ startedAt: null, usd: null, ...change }))[1]).toBe(`│ ${text}`);
  });

  test.each<[string | null, RegExp]>([
    ['0', / 9s \$0\.00$/],
    ['0.0049', / 9s <\$0\.01$/],
    ['0.005', / 9s \$0\.01$/],
    ['12.345', / 9s \$12\.35$/],
    [null, / 9s$/],
  ])('and what that has cost: %s', (usd, end) => {
    expect(drawn(aNode({ usd }))[1]).toMatch(end);
  });

  test('with times and money only where there is room for them', () => {
    const ends = (columns: number) => drawn(TREE, { columns })[3]?.slice(-8);
    expect(ends(MONEY_COLUMNS)).toBe('9s $0.01');
    expect(ends(MONEY_COLUMNS - 1)).toMatch(/ 9s$/);
    expect(ends(TIME_COLUMNS)).toMatch(/ 9s$/);
    expect(ends(TIME_COLUMNS - 1)).not.toMatch(/9s/);
    expect(drawn(TREE).map(widthOf)).toEqual(Array(5).fill(PIPE_COLUMNS));
    for (const columns of [1, 5, 26, 27, 28]) {
      for (const line of drawn(TREE, { columns }))
        expect(widthOf(line)).toBeLessThanOrEqual(Math.max(2, columns));
    }
  });
});

describe('a large tree', () => {
  const many = (count: number, change: (index: number) => Partial<TreeNode> = () => ({})) =>
    Array.from({ length: count }, (_, index) =>
      aNode({ title: `n${index}`, state: 'completed', ...change(index) }),
    );

  test('of 100 sessions shows those that work, and how many more there are', () => {
    const tree = aTree([...many(50), aNode({ title: 'group', state: 'waiting', children: many(47) })]);
    const busy = { ...aNode({ title: 'busy', state: 'executing' }) };
    (tree.children[50] as TreeNode).children.push(busy);
    expect(drawn(tree, { columns: 60, rows: 8 }).map((line) => line.slice(0, 40).trimEnd())).toEqual([
      '┌──────────────── Agent Communication Fl',
      '│ ⏳ [parent] waiting: 51 delegated tasks',
      '│ ├── ✅ [child n0] completed',
      '│ ├── ✅ [child n1] completed',
      '│ ├── ⏳ [child group] waiting',
      '│ │   └── ⚙️ [child busy] executing',
      '│ └── … 95 more',
      '└───────────────────────────────────────',
    ]);
    expect(drawn(tree, { columns: 60 })).toHaveLength(102);
  });

  test('is whole where it just fits', () => {
    const rows = 12;
    const fits = aTree(many(rows - 3));
    expect(drawn(fits, { rows })).toHaveLength(rows);
    expect(drawn(fits, { rows }).join('')).not.toContain('more');
    const more = drawn(aTree(many(rows - 2)), { rows });
    expect(more).toHaveLength(rows);
    expect(more.at(-2)).toBe('│ └── … 2 more');
  });

  test('that failed comes before what went well', () => {
    const tree = aTree(many(9, (index) => (index === 8 ? { state: 'failed' } : {})));
    expect(
      drawn(tree, { rows: 6 })
        .slice(2, -1)
        .map((line) => line.slice(0, 27).trimEnd()),
    ).toEqual(['│ ├── ✅ [child n0] complete', '│ ├── ❌ [child n8] failed', '│ └── … 7 more']);
  });
});

describe('what an agent has planned', () => {
  const todos = (done: number, open: number): TreeNode['todos'] => [
    ...Array.from({ length: done }, (_, at) => ({ text: `done ${at}`, status: 'done' as const })),
    ...(open > 0 ? [{ text: 'do\n now', status: 'in_progress' as const }] : []),
    ...Array.from({ length: open - 1 }, (_, at) => ({ text: `then ${at}`, status: 'pending' as const })),
  ];
  const linesOf = (tree: TreeNode, look: Look = {}) =>
    drawn(tree, look).map((line) => line.slice(0, 30).trimEnd());

  test('stands below it', () => {
    expect(linesOf({ ...TREE, todos: todos(1, 2) }, { columns: 60 }).slice(1, 6)).toEqual([
      '│ ⏳ [parent] waiting: 2 delega',
      '│ │   ☑ done 0',
      '│ │   ◐ do now',
      '│ │   ☐ then 0',
      '│ ├── ⚙️ [child tests] executi',
    ]);
    const alone = linesOf(aNode({ todos: todos(0, 1) }), { isUnicode: false });
    expect(alone[2]).toBe('|     [~] do now');
  });

  test(`as far as it is not done, in ${MAX_TODOS} lines`, () => {
    const whole = linesOf(aNode({ todos: todos(2, MAX_TODOS - 2) }));
    expect(whole).toHaveLength(MAX_TODOS + 3);
    const cut = linesOf(aNode({ todos: todos(4, MAX_TODOS - 1) }));
    expect(cut.slice(2, -1)).toEqual([
      '│     ☑ done 3',
      '│     ◐ do now',
      ...[0, 1, 2, 3].map((at) => `│     ☐ then ${at}`),
      '│     … 3 more',
    ]);
    // Never more than a third of all there is room for.
    expect(linesOf({ ...TREE, todos: todos(0, 9) }, { rows: 8 }).slice(1, -1)).toEqual([
      '│ ⏳ [parent] waiting: 2 delega',
      '│ │   ◐ do now',
      '│ │   ☐ then 0',
      '│ │   … 7 more',
      '│ ├── ⚙️ [child tests] executi',
      '│ └── 🤔 [child docs] thinking',
    ]);
  });
});

test.each<[string, number, number]>([
  ['abc', 0, 3],
  ['abc\nd', 5, 1],
  ['abc\n', 5, 0],
  ['abcde', 5, 10],
  ['abcdef', 5, 1],
  ['日', 9, 2],
  ['\tx', 3, 9],
  ['\t', 9, 9],
])('behind %j that begins in column %i of 10 is column %i', (text, column, behind) => {
  expect(columnBehind(text, { column, columns: 10 })).toBe(behind);
});
