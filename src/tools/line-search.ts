/** Where lines stand in a text: exactly, or as good as. */

/** Every place where `wanted` (not empty) begins among `items`, in time linear in both (Knuth, Morris, Pratt). */
export function placesOf<T>(items: ArrayLike<T>, wanted: ArrayLike<T>): number[] {
  const back = bordersOf(wanted);
  const places: number[] = [];
  let matched = 0;
  for (let index = 0; index < items.length; index++) {
    while (matched > 0 && wanted[matched] !== items[index]) matched = back[matched - 1] ?? 0;
    if (wanted[matched] === items[index]) matched += 1;
    if (matched < wanted.length) continue;
    places.push(index - wanted.length + 1);
    matched = back[matched - 1] ?? 0;
  }
  return places;
}

function bordersOf<T>(wanted: ArrayLike<T>): number[] {
  const borders = [0];
  for (let index = 1, length = 0; index < wanted.length; index++) {
    while (length > 0 && wanted[length] !== wanted[index]) length = borders[length - 1] ?? 0;
    if (wanted[length] === wanted[index]) length += 1;
    borders.push(length);
  }
  return borders;
}

const SINGLE_QUOTES = /[\u2018\u2019\u201a\u201b]/g;
const DOUBLE_QUOTES = /[\u201c\u201d\u201e\u201f]/g;
const DASHES = /[\u2010-\u2015\u2212]/g;
const SPACES = /[\u00a0\u2002-\u200a\u202f\u205f\u3000]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: most lines are plain ASCII, and done
const ASCII = /^[\u0000-\u007f]*$/;

/** The line without what models tend to change as they copy: typographic quotes, dashes and spaces, composed letters. */
export function plainLine(line: string): string {
  if (ASCII.test(line)) return line;
  return line
    .normalize('NFC')
    .replace(SINGLE_QUOTES, "'")
    .replace(DOUBLE_QUOTES, '"')
    .replace(DASHES, '-')
    .replace(SPACES, ' ');
}

/** Equal for two lines that differ only in white space and in what `plainLine` takes away. */
export function looseLine(line: string): string {
  return plainLine(line).trim().replace(/\s+/g, ' ');
}

/** What to put before the lines of a model, and what to take from them, to make its indentation the file's. */
export interface Shift {
  readonly add: string;
  readonly drop: string;
}

/**
 * How the model's `wanted` lines differ from the file's `found` ones: in the white space at their ends and in typographic characters, all
 * indented by the same. Undefined: in more than that.
 */
export function shiftBetween(found: readonly string[], wanted: readonly string[]): Shift | undefined {
  let shift: Shift | undefined;
  for (const [index, line] of wanted.entries()) {
    const there = plainLine(found[index] ?? '');
    const asked = plainLine(line);
    if (there.trim() !== asked.trim()) return undefined;
    if (asked.trim() === '') continue;
    const one = shiftOf(indentOf(there), indentOf(asked));
    if (one === undefined) return undefined;
    shift ??= one;
    if (one.add !== shift.add || one.drop !== shift.drop) return undefined;
  }
  return shift;
}

function shiftOf(there: string, asked: string): Shift | undefined {
  if (there.endsWith(asked)) return { add: there.slice(0, there.length - asked.length), drop: '' };
  if (asked.endsWith(there)) return { add: '', drop: asked.slice(0, asked.length - there.length) };
  return undefined;
}

/** The line as it has to stand in the file. Undefined where it is not indented by what has to go. */
export function shifted(line: string, { add, drop }: Shift): string | undefined {
  if (line.trim() === '') return line;
  if (!line.startsWith(drop)) return undefined;
  return add + line.slice(drop.length);
}

export function indentOf(line: string): string {
  return /^\s*/.exec(line)?.[0] ?? '';
}
