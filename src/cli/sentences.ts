/**
 * The one printer of sentences: what a server, a path or a name put into one cannot steer the terminal, and a terminal breaks it between
 * words. What is a table, a patch or an answer of a model is printed as it is laid out.
 */
import { stripVTControlCharacters } from 'node:util';
import type { Paint, Terminal } from './terminal.ts';
import { widthOf } from './text-width.ts';
import { neutralised } from './untrusted-text.ts';

const HANGING = '  ';

/** Each line of `text`, clean and in lines of at most `columns`; with a line break at its end. */
export function sentences(text: string, columns: number): string {
  const lines = neutralised(text).replace(/\n$/, '').split('\n');
  return lines.map((line) => `${inWords(line, columns)}\n`).join('');
}

/**
 * A line in lines of at most `columns`: words stay whole, also those that are longer (an address or a path is copied as one), and what
 * goes on hangs behind the beginning. Colours in it take no room; nothing in it is cleaned.
 */
export function inWords(line: string, columns: number): string {
  if (width(line) <= columns) return line;
  const [indent = ''] = /^ */.exec(line) ?? [];
  const hanging = indent + HANGING;
  const lines = [indent];
  for (const word of line.slice(indent.length).split(/ +/)) {
    const last = lines.at(-1) ?? '';
    if (last.trim() === '') lines[lines.length - 1] = `${last}${word}`;
    else if (width(last) + 1 + width(word) <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${hanging}${word}`);
  }
  return lines.join('\n');
}

function width(text: string): number {
  return widthOf(stripVTControlCharacters(text));
}

/** Tells whoever is at the terminal, beside the answer. */
export function tell(terminal: Pick<Terminal, 'err' | 'errColumns'>, text: string, paint?: Paint): void {
  const lines = sentences(text, terminal.errColumns ?? Number.POSITIVE_INFINITY);
  terminal.err(paint ? `${paint(lines.trimEnd())}\n` : lines);
}

/** The same from a command that has no terminal of its own. */
export function tellPerson(text: string): void {
  process.stderr.write(sentences(text, columnsOf(process.stderr)));
}

/** Of the terminal, now; no end to them in a pipe. */
export function columnsOf({ isTTY, columns }: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>): number {
  return (isTTY && columns) || Number.POSITIVE_INFINITY;
}
