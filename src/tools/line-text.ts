/** A text as lines, so that lines can be put in the place of others and every byte elsewhere stays. */

const BYTE_ORDER_MARK = '\ufeff';

export interface LineText {
  readonly hasByteOrderMark: boolean;
  /** Without their ends. */
  readonly lines: readonly string[];
  /** Of each line: `\n`, `\r\n`, or nothing where the text ends without a newline. */
  readonly ends: readonly string[];
}

/** Puts `lines` in the place of `count` lines from `start` on. */
export interface Splice {
  readonly start: number;
  readonly count: number;
  readonly lines: readonly string[];
}

export function toLines(text: string): LineText {
  const hasByteOrderMark = text.startsWith(BYTE_ORDER_MARK);
  const rows = (hasByteOrderMark ? text.slice(1) : text).split('\n');
  const last = rows.pop() ?? '';
  const lines: string[] = [];
  const ends: string[] = [];
  for (const row of rows) {
    const isWindows = row.endsWith('\r');
    lines.push(isWindows ? row.slice(0, -1) : row);
    ends.push(isWindows ? '\r\n' : '\n');
  }
  if (last !== '') {
    lines.push(last);
    ends.push('');
  }
  return { hasByteOrderMark, lines, ends };
}

/**
 * The text after the splices, which are in order and do not overlap. New lines end as those they replace do, or as their neighbours. A text
 * that ended without a newline still does.
 */
export function spliceLines(text: LineText, splices: readonly Splice[]): string {
  const usual = text.ends.find((end) => end !== '') ?? '\n';
  const endsBare = text.ends.at(-1) === '';
  const pieces: string[] = [];
  const push = (line: string, end: string) => pieces.push(line, end === '' ? usual : end);
  let done = 0;
  for (const { start, count, lines } of splices) {
    for (; done < start; done++) push(text.lines[done] ?? '', text.ends[done] ?? '');
    for (const [index, line] of lines.entries()) push(line, endAt(text, start, { count, index }));
    done = start + count;
  }
  for (; done < text.lines.length; done++) push(text.lines[done] ?? '', text.ends[done] ?? '');
  if (endsBare && pieces.length > 0) pieces.pop();
  return (text.hasByteOrderMark ? BYTE_ORDER_MARK : '') + pieces.join('');
}

function endAt({ ends }: LineText, start: number, at: { count: number; index: number }): string {
  const replaced = at.count > 0 ? ends[start + Math.min(at.index, at.count - 1)] : ends[start - 1];
  return replaced ?? ends[start] ?? '';
}
