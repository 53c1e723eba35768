/** The lines of a file as a model sees them. A file of 10 MiB may have ten million: only those that are asked for are made. */

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
export const BYTE_ORDER_MARK = '\ufeff';

/** What a whole file is like; no line of it was made. */
export interface FileLines {
  readonly text: string;
  readonly total: number;
  readonly ends: 'LF' | 'CRLF' | 'mixed';
  readonly hasByteOrderMark: boolean;
  readonly endsWithNewline: boolean;
}

/** `text`: not empty, but for a byte order mark. */
export function fileLines(text: string): FileLines {
  let newlines = 0;
  let windows = 0;
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) !== LINE_FEED) continue;
    newlines += 1;
    if (text.charCodeAt(at - 1) === CARRIAGE_RETURN) windows += 1;
  }
  const endsWithNewline = text.endsWith('\n');
  return {
    text,
    total: endsWithNewline ? newlines : newlines + 1,
    ends: windows === 0 ? 'LF' : windows === newlines ? 'CRLF' : 'mixed',
    hasByteOrderMark: text.startsWith(BYTE_ORDER_MARK),
    endsWithNewline,
  };
}

export interface LineRange {
  /** Counted from 1; there are such lines. */
  readonly first: number;
  readonly last: number;
}

/** Of text that is made at most. */
export interface Room {
  readonly chars: number;
  readonly lines: number;
}

/** Lines `first` to `last` behind their numbers: all, or as many whole ones as there is room for. */
export function numberedLines(file: FileLines, { first, last }: LineRange, room: Room): string[] {
  const numbered: string[] = [];
  let chars = 0;
  let start = startOfLine(file, first);
  for (let number = first; number <= last && numbered.length < room.lines; number++) {
    const end = endOfLine(file, start);
    const prefix = `${number}\t`;
    chars += prefix.length + end - start + 1;
    if (chars > room.chars) break;
    numbered.push(prefix + withoutReturn(file.text.slice(start, end)));
    start = end + 1;
  }
  return numbered;
}

/** The start of a line for which there is no room, and how long it is. */
export function startOfLongLine(file: FileLines, number: number, chars: number) {
  const start = startOfLine(file, number);
  const line = withoutReturn(file.text.slice(start, endOfLine(file, start)));
  // Half a surrogate pair is no text.
  const shown = line.slice(0, chars).replace(/[\ud800-\udbff]$/, '');
  return { text: `${number}\t${shown}`, shown: shown.length, length: line.length };
}

function startOfLine({ text, hasByteOrderMark }: FileLines, number: number): number {
  let at = hasByteOrderMark ? 1 : 0;
  for (let passed = 1; passed < number; at++) if (text.charCodeAt(at) === LINE_FEED) passed += 1;
  return at;
}

function endOfLine({ text }: FileLines, start: number): number {
  const newline = text.indexOf('\n', start);
  return newline === -1 ? text.length : newline;
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
