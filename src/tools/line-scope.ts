/** The blocks that `@@` lines name: `@@ class A`, then `@@ def f` inside it. Blocks are told by indentation, as people see them. */
import { indentOf, looseLine } from './line-search.ts';

/** More lines than this that fit one header say nothing of where; and each costs a look at what is below. */
const MAX_HEADER_LINES = 100;

export interface Scope {
  /** The header's line. */
  readonly start: number;
  /** The line behind its block. */
  readonly end: number;
}

/** The blocks of the innermost header; a sentence where there is none. */
export function scopesOf(lines: readonly string[], headers: readonly string[]): Scope[] | string {
  let scopes: Scope[] = [{ start: 0, end: lines.length }];
  for (const header of headers) {
    const within = (index: number) => scopes.some(({ start, end }) => index >= start && index < end);
    const found = headerLines(lines, header).filter(within);
    if (found.length === 0)
      return `there is no line '${header}'${headers[0] === header ? '' : ' there'}; correct the @@ line or leave it out.`;
    if (found.length > MAX_HEADER_LINES)
      return `${found.length} lines are '${header}', expected at most ${MAX_HEADER_LINES}; name another line in @@.`;
    scopes = found.map((start) => ({ start, end: endOfBlock(lines, start) }));
  }
  return scopes;
}

/** White space does not count, and where no line equals the header, one that begins with it will do: `class A` for `class A(B):`. */
function headerLines(lines: readonly string[], header: string): number[] {
  const wanted = looseLine(header);
  const equal = indexesOf(lines, (line) => looseLine(line) === wanted);
  if (equal.length > 0) return equal;
  return indexesOf(lines, (line) => {
    const loose = looseLine(line);
    return loose.startsWith(wanted) && !/^\w/.test(loose.slice(wanted.length));
  });
}

function indexesOf(lines: readonly string[], fits: (line: string) => boolean): number[] {
  const found: number[] = [];
  for (const [index, line] of lines.entries()) if (fits(line)) found.push(index);
  return found;
}

/**
 * The next line that is not indented deeper, but for the rest of a header that takes several: `) {`, `{`. Where that is the very next, nothing tells how far
 * the header reaches. Indentation that cannot be compared (tabs with spaces) counts as deeper.
 */
function endOfBlock(lines: readonly string[], start: number): number {
  const depth = indentOf(lines[start] ?? '');
  let isBlock = false;
  for (let index = start + 1; index < lines.length; index++) {
    const line = lines[index] ?? '';
    const indent = indentOf(line);
    if (indent.length === line.length) continue;
    const isDeeper = !depth.startsWith(indent);
    if (!isDeeper && !/^[{)]/.test(line.slice(indent.length))) return isBlock ? index : lines.length;
    isBlock ||= isDeeper;
  }
  return lines.length;
}

/**
 * The starts whose change stands in one of the blocks. A block that holds none may be no block (text that is not indented): then all below its
 * header count.
 */
export function inScope(
  starts: readonly number[],
  scopes: readonly Scope[],
  changeAt: (start: number) => number,
): number[] {
  const found = new Set<number>();
  for (const scope of scopes) {
    const below = starts.filter((start) => changeAt(start) >= scope.start);
    const inside = below.filter((start) => changeAt(start) <= scope.end);
    for (const start of inside.length > 0 ? inside : below) found.add(start);
  }
  return [...found].sort((a, b) => a - b);
}
