/** How much room text takes on a terminal, in columns. */

const NONE = /\p{Mn}|\p{Me}|\p{Cf}/u;
const TWO =
  /[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** East Asian wide characters (Unicode's UAX #11) and emoji take two columns, marks that combine with others none. */
export function widthOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

/** A line in at most `columns`, cut with `…` between characters. */
export function cut(line: string, columns: number): string {
  let width = 0;
  let position = 0;
  let end = 0;
  for (const character of line) {
    width += columnsOf(character);
    if (width > columns) return `${line.slice(0, end)}…`;
    position += character.length;
    if (width < columns) end = position;
  }
  return line;
}

/** A line in pieces of at most `columns`, broken between characters: the whole of it. */
export function wrapped(line: string, columns: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  let width = 0;
  for (const character of line) {
    const more = columnsOf(character);
    if (width + more > columns && piece !== '') {
      pieces.push(piece);
      piece = '';
      width = 0;
    }
    piece += character;
    width += more;
  }
  return [...pieces, piece];
}

function columnsOf(character: string): 0 | 1 | 2 {
  if (character <= '~') return 1;
  if (NONE.test(character)) return 0;
  return TWO.test(character) ? 2 : 1;
}
