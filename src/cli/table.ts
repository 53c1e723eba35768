import { widthOf } from './text-width.ts';
import { neutralised, oneLine } from './untrusted-text.ts';

const GAP = '  ';
const MAX_CELL = 60;

/** Rows under a heading, columns aligned; no colours, so that it can be cut and counted. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => oneLine(cell, MAX_CELL)));
  const widths = heading.map((name, column) =>
    Math.max(name.length, ...cells.map((row) => widthOf(row[column] ?? ''))),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell))))
      .join(GAP)
      .trimEnd();
  return `${[heading, ...cells].map(line).join('\n')}\n`;
}

/** `name  value` lines; values are kept whole, and clean. */
export function fields(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs
    .map(([name, value]) => `${name.padEnd(width)}${GAP}${neutralised(value)}`.trimEnd())
    .join('\n')
    .concat('\n');
}
