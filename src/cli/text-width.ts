/** How much room text takes on a terminal, in columns. */

const NONE = /\p{Mn}|\p{Me}|\p{Cf}/u;
/** Format characters that are drawn, and the selector by which a sign of one column becomes an emoji of two. */
const ONE = /[\u00ad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]|\ufe0f/u;
// East Asian wide and full-width blocks, as of Unicode 17; of those that only newer terminals draw wide, too.
const TWO = new RegExp(
  [
    String.raw`[\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3]`,
    String.raw`[\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]`,
    // Tangut, Khitan, Nüshu, kana supplements; Tai Xuan Jing signs and counting rods.
    String.raw`[\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1d300}-\u{1d37f}\u{20000}-\u{3fffd}]`,
    String.raw`[\u{1f000}-\u{1faff}]|\p{Emoji_Presentation}`,
  ].join('|'),
  'u',
);

/** East Asian wide characters (Unicode's UAX #11) and emoji take two columns, marks that combine with others none. */
export function widthOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += columnsOf(character);
  return columns;
}

/** A line in at most `columns`, cut between characters, with `mark` for what is left out. */
export function cut(line: string, columns: number, mark = '…'): string {
  const room = columns - widthOf(mark);
  let width = 0;
  let position = 0;
  let end = 0;
  for (const character of line) {
    width += columnsOf(character);
    if (width > columns) return `${line.slice(0, end)}${mark}`;
    position += character.length;
    if (width <= room) end = position;
  }
  return line;
}

/**
 * A line in pieces that take at most `columns` on any terminal, broken between characters: the whole of it. How wide a
 * character is, terminals do not agree on; here each counts as much as one might give it, so that none breaks a piece itself.
 */
export function wrapped(line: string, columns: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  let width = 0;
  for (const character of line) {
    const more = mostColumnsOf(character);
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

const TAB = 8;

/** The column, from 0, behind `text` that begins in `column`; `columns` where it fills the line: the terminal has not gone on to the next. */
export function columnBehind(text: string, { column, columns }: { column: number; columns: number }): number {
  const line = text.slice(text.lastIndexOf('\n') + 1);
  let at = line.length < text.length ? 0 : column;
  for (const character of line) {
    if (character === '\t') at = Math.min(columns - 1, (Math.floor(at / TAB) + 1) * TAB);
    else at = at + columnsOf(character) > columns ? columnsOf(character) : at + columnsOf(character);
  }
  return at;
}

/** A line in which blanks stand for its tabs, up to where a terminal would go on. */
export function withoutTabs(line: string): string {
  const [first = '', ...rest] = line.split('\t');
  return rest.reduce((done, piece) => `${done}${' '.repeat(TAB - (widthOf(done) % TAB))}${piece}`, first);
}

/** Lines that are drawn again and again have few characters: looking one up is much quicker than three expressions. */
const known = new Map<string, 0 | 1 | 2>();
const MAX_KNOWN = 4_096;

function columnsOf(character: string): 0 | 1 | 2 {
  if (character <= '~') return 1;
  const found = known.get(character);
  if (found !== undefined) return found;
  const columns = judged(character);
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(character, columns);
  return columns;
}

function judged(character: string): 0 | 1 | 2 {
  if (ONE.test(character)) return 1;
  if (NONE.test(character)) return 0;
  return TWO.test(character) ? 2 : 1;
}

/** An old terminal draws a mark on its own; one set to a CJK locale draws Cyrillic, Greek and lines wide. */
function mostColumnsOf(character: string): 1 | 2 {
  return character <= '~' || NONE.test(character) ? 1 : 2;
}
