/**
 * Markdown that is being written, taken apart into blocks: what stands behind a block's end changes nothing in it any more, so that
 * it can be shown for good. Pure.
 */

export interface Block {
  /** `item`: of a list whose marks stand in the first column. */
  readonly kind: 'text' | 'item' | 'heading' | 'fence';
  /** Its lines with the blank ones behind it: all blocks together are the whole text. */
  readonly text: string;
  /** A blank line is to be seen in front of it. */
  readonly isApart: boolean;
  /** Nothing more can belong to it: of the last one only a heading's, and a fence's that was closed. */
  readonly isWhole: boolean;
}

interface Open {
  readonly kind: Block['kind'];
  readonly isApart: boolean;
  readonly lines: string[];
  /** Blank lines at its end, so far. */
  blanks: number;
  /** What closes it, as long as it is open: of a fence only. */
  closes: RegExp | undefined;
}

const FENCE = /^(`{3,}(?=[^`]*$)|~{3,})/;
const HEADING = /^#{1,6}(?:[ \t]|$)/;
const ITEM = /^(?:[-*+]|(\d{1,9})[.)])[ \t]+\S/;

/** `text`: whole lines, the first of them not blank; but the last may be the beginning of one. */
export function blocksOf(text: string): Block[] {
  const blocks: Open[] = [];
  for (const line of text.split(/(?<=\n)/)) {
    if (line === '') continue;
    const last = blocks.at(-1);
    const kind = beginning(line, last);
    if (kind === undefined && last !== undefined) goOn(last, line);
    else blocks.push(begun(kind ?? 'text', line, last));
  }
  return blocks.map(({ kind, lines, isApart, closes }, index) => ({
    kind,
    text: lines.join(''),
    isApart,
    isWhole: index < blocks.length - 1 || kind === 'heading' || (kind === 'fence' && closes === undefined),
  }));
}

/** What begins with this line; undefined where it belongs to what stands before it. */
function beginning(line: string, last: Open | undefined): Block['kind'] | undefined {
  if (last?.closes !== undefined || isBlank(line)) return undefined;
  if (FENCE.test(line)) return 'fence';
  if (HEADING.test(line)) return 'heading';
  const isOver = last === undefined || last.kind === 'heading' || last.kind === 'fence';
  const isBehindBlank = last !== undefined && last.blanks > 0;
  const [item, digits] = ITEM.exec(line) ?? [];
  // In the middle of a paragraph a list of numbers begins with the first.
  const canInterrupt = isOver || isBehindBlank || last.kind === 'item' || Number(digits ?? 1) === 1;
  if (item !== undefined && canInterrupt) return 'item';
  // Behind a blank line what is indented belongs to the list, or the code, before it.
  return isOver || (isBehindBlank && !/^[ \t]/.test(line)) ? 'text' : undefined;
}

function begun(kind: Block['kind'], line: string, last: Open | undefined): Open {
  const sets = (each: Block['kind'] | undefined) => each === 'heading' || each === 'fence';
  const isApart = last !== undefined && (last.blanks > 0 || sets(kind) || sets(last.kind));
  const [fence] = kind === 'fence' ? (FENCE.exec(line) ?? []) : [];
  const closes = fence && new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*\\n?$`);
  return { kind, isApart, lines: [line], blanks: isBlank(line) ? 1 : 0, closes: closes || undefined };
}

function goOn(open: Open, line: string): void {
  open.lines.push(line);
  if (open.closes?.test(line)) open.closes = undefined;
  else open.blanks = isBlank(line) ? open.blanks + 1 : 0;
}

function isBlank(line: string): boolean {
  return line.trim() === '';
}
