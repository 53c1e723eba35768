/** A call as a person must see it who is asked to allow it: everything that the model wrote, nothing cut, nothing hidden. */
import type { AlwaysRule, Approval } from '../api/wire.ts';
import { pathText } from './session-path.ts';
import { wrapped } from './text-width.ts';
import { oneLine, unhidden } from './untrusted-text.ts';

const MARGIN = ' │ ';
/** Of a line that goes on: a line break of the model's own is told from one of the terminal's. */
const MARGIN_ON = ' ┆ ';
/** Of a word of ours among the model's. */
const MARGIN_OURS = ' ⋮ ';
/** Some terminals draw a margin's line two columns wide. */
const MARGIN_COLUMNS = MARGIN.length + 1;
const MIN_TEXT_COLUMNS = 2;
const NAME_COLUMNS = 24;
/** Names that can be taken for nothing else. Our tools have no others. */
const PLAIN_NAME = /^[\w.-]+$/;
/** Of rows that look the same, more than so many in a row are counted, not repeated. */
const MAX_ALIKE = 3;
/** What is longer may have scrolled away by the time a person is asked. */
const SCREEN_ROWS = 20;
/** Arguments that are repeated behind a long call. Our tools have no more. */
const REMINDED = 8;

/**
 * A line or more for each argument, behind `indent`: the model's text is always behind a margin. `json`: the arguments as the
 * model wrote them, valid or not.
 */
export function argumentLines(
  json: string,
  { columns, indent = '  ' }: { readonly columns: number; readonly indent?: string },
): string {
  const pairs = pairsOf(json, Math.min(NAME_COLUMNS, Math.floor(columns / 2)));
  const width = pairs.reduce((widest, [name]) => Math.max(widest, name.length), 0);
  const room = Math.max(MIN_TEXT_COLUMNS, columns - indent.length - width - MARGIN_COLUMNS);
  const blocks = pairs.map(([name, value]) => ({ label: name.padEnd(width), rows: rowsOf(value, room) }));
  return [...blocks.flatMap(linesOf), ...reminder(blocks)]
    .map((line) => `${indent}${line}`.trimEnd().concat('\n'))
    .join('');
}

interface Block {
  readonly label: string;
  readonly rows: readonly Row[];
}

interface Row {
  readonly margin: string;
  readonly text: string;
}

const NOTHING: Row = { margin: MARGIN, text: '' };

function rowsOf(value: string, room: number): Row[] {
  const rows = unhidden(value)
    .replaceAll('\t', '    ')
    .split('\n')
    .flatMap((line) =>
      wrapped(line, room).map((text, piece) => ({ margin: piece === 0 ? MARGIN : MARGIN_ON, text })),
    );
  return withRunsCounted(rows);
}

/** Thousands of blank lines must not scroll away what stands before them. */
function withRunsCounted(rows: readonly Row[]): Row[] {
  const kept: Row[] = [];
  let start = 0;
  for (const [index, row] of rows.entries()) {
    const next = rows[index + 1];
    if (next !== undefined && isAlike(row, next)) continue;
    const run = rows.slice(start, index + 1);
    const more = { margin: MARGIN_OURS, text: `${run.length - 1} more lines like this` };
    kept.push(...(run.length > MAX_ALIKE ? [row, more] : run));
    start = index + 1;
  }
  return kept;
}

function isAlike(one: Row, other: Row): boolean {
  return one.margin === other.margin && one.text.trimEnd() === other.text.trimEnd();
}

function linesOf({ label, rows }: Block): string[] {
  const blank = ' '.repeat(label.length);
  return rows.map(({ margin, text }, index) => `${index === 0 ? label : blank}${margin}${text}`);
}

/** Behind a long call: how long it was, and how its arguments begin. A path before thousands of lines has scrolled away. */
function reminder(blocks: readonly Block[]): string[] {
  const total = blocks.reduce((sum, { rows }) => sum + rows.length, 0);
  if (total <= SCREEN_ROWS) return [];
  const begins = blocks.slice(0, REMINDED).map(({ label, rows }) => ({
    label,
    rows: [rows.find(({ margin, text }) => margin !== MARGIN_OURS && text.trim() !== '') ?? NOTHING],
  }));
  return [`${total} lines: scroll up to see them all. They begin:`, ...begins.flatMap(linesOf)];
}

function pairsOf(json: string, nameColumns: number): [string, string][] {
  const value = parsed(json);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [['arguments', json]];
  const pairs = Object.entries(value);
  if (!pairs.every(([name]) => PLAIN_NAME.test(name) && name.length <= nameColumns))
    return [['arguments', JSON.stringify(value)]];
  return pairs.map(([name, each]) => [name, typeof each === 'string' ? each : JSON.stringify(each)]);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** What `approvals list` says of one. */
export function approvalText(approval: Approval, style: { readonly columns: number }): string {
  const { id, tool, createdAt, taskId, expiresAt, always, path } = approval;
  const until = expiresAt === null ? '' : ` · denied at ${expiresAt}`;
  const call = argumentLines(approval.arguments, style);
  const asker = path.length > 1 ? `  asked by ${pathText(path)}\n` : '';
  return `${id} · ${toolName(tool)} · ${createdAt} · ${taskId}${until}\n${asker}${call}${alwaysText(always, style)}`;
}

/** What `always` allows, below the call: only a path may differ from what the model wrote, by the links on its way. */
export function alwaysText(always: Approval['always'], style: { readonly columns: number }): string {
  if (always === null) return '  This call can only be allowed once.\n';
  const what = always.kind === 'path' ? ruleText(always, style) : `${ruleSentence(always)}.\n`;
  return `  \`always\` allows ${what}`;
}

/** A rule with what it allows: nothing cut, nothing hidden. */
export function ruleText(rule: AlwaysRule, { columns }: { readonly columns: number }): string {
  const { kind, value } = rule;
  const json = kind === 'arguments' ? value : JSON.stringify({ [kind]: value });
  return `${ruleSentence(rule)}:\n${argumentLines(json, { columns, indent: '    ' })}`;
}

function ruleSentence({ tool, kind, scope }: AlwaysRule): string {
  const where = scope.kind === 'directory' ? toolName(scope.path) : `${scope.sessionId} and its children`;
  return `${toolName(tool)} with exactly ${WITH[kind]}, in ${where}`;
}

const WITH = {
  command: 'this command',
  path: 'this path, whatever else it is told',
  arguments: 'these arguments',
} as const;

/** The rule that an answer made, and how it is taken back; '' where it made none. */
export function madeRuleText({ ruleId, always }: Approval, style: { readonly columns: number }): string {
  if (ruleId === null || always === null) return '';
  return `${ruleId} allows ${ruleText(always, style)}Take it back with: capybara rules revoke ${ruleId}\n`;
}

/** A tool's name, which the model may have made up. */
export function toolName(name: string): string {
  return oneLine(name, Number.POSITIVE_INFINITY);
}

/** What was started for the answer alone works on nothing: the command with which the task goes on. */
export function goesOnText(kind: 'configured' | 'joined' | 'own', taskId: string): string {
  return kind === 'own' ? `Go on with its task: capybara tail ${taskId}\n` : '';
}
