/** A call as a person must see it who is asked to allow it: everything that the model wrote, nothing cut, nothing hidden. */
import type { Approval } from '../api/wire.ts';
import { widthOf, wrapped } from './text-width.ts';
import { oneLine, unhidden } from './untrusted-text.ts';

const MARGIN = ' │ ';
/** Of a line that goes on: a line break of the model's own is told from one of the terminal's. */
const MARGIN_ON = ' ┆ ';
const MIN_TEXT_COLUMNS = 16;
const NAME_COLUMNS = 24;

/** A line or more for each argument, behind `indent`. `json`: the arguments as the model wrote them, valid or not. */
export function argumentLines(
  json: string,
  { columns, indent = '  ' }: { readonly columns: number; readonly indent?: string },
): string {
  const pairs = pairsOf(json).map(([name, value]): [string, string] => [
    unhidden(name).replaceAll('\n', '␊').replaceAll('\t', '␉'),
    value,
  ]);
  const width = Math.min(NAME_COLUMNS, Math.max(0, ...pairs.map(([name]) => widthOf(name))));
  const room = Math.max(MIN_TEXT_COLUMNS, columns - indent.length - width - MARGIN.length);
  return pairs.map(([name, value]) => linesOf(name, value, { indent, width, room })).join('');
}

interface Layout {
  readonly indent: string;
  readonly width: number;
  readonly room: number;
}

function linesOf(name: string, value: string, { indent, width, room }: Layout): string {
  const lines = unhidden(value)
    .replaceAll('\t', '    ')
    .split('\n')
    .flatMap((line) => wrapped(line, room).map((text, piece) => (piece === 0 ? MARGIN : MARGIN_ON) + text));
  const label = name + ' '.repeat(Math.max(0, width - widthOf(name)));
  const blank = ' '.repeat(width);
  return lines
    .map((line, index) => `${indent}${index === 0 ? label : blank}${line}`.trimEnd())
    .join('\n')
    .concat('\n');
}

function pairsOf(json: string): [string, string][] {
  const value = parsed(json);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [['arguments', json]];
  return Object.entries(value).map(([name, each]) => [
    name,
    typeof each === 'string' ? each : JSON.stringify(each),
  ]);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** What `approvals list` says of one. */
export function approvalText(
  { id, tool, createdAt, taskId, arguments: json }: Approval,
  { columns }: { readonly columns: number },
): string {
  return `${id} · ${toolName(tool)} · ${createdAt} · ${taskId}\n${argumentLines(json, { columns })}`;
}

/** A tool's name, which the model may have made up. */
export function toolName(name: string): string {
  return oneLine(name, Number.POSITIVE_INFINITY);
}
