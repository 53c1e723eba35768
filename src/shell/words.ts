/** What bash will make of a word, as far as the word alone says it. */
import type { Word, WordPart } from 'unbash';
import { HOLE } from '../core/glob.ts';

/** The word after quote removal; undefined where bash puts something in, or where it leads depends on who runs it (`~`). */
export function literalOf(word: Word): string | undefined {
  const pieces = piecesOf(word);
  return pieces.includes(HOLE) || word.text.startsWith('~') ? undefined : pieces.join('');
}

/** The word as one writes it: plain where it can be, quoted where it must be, a hole for what bash puts in. */
export function textOf(word: Word): string {
  const pieces = piecesOf(word);
  const [first = '', ...rest] = pieces;
  if (pieces.join('') === '') return "''";
  const isHome = word.text.startsWith('~') && first.startsWith('~');
  const begin = isHome ? `~${quoted(first.slice(1))}` : quoted(first);
  return begin + rest.map(quoted).join('');
}

/** Literal text and holes; neighbouring texts are one. */
function piecesOf(word: Word): string[] {
  const { parts = [] } = word;
  // Braces come first: what stands beside them may become part of a variable's name.
  if (parts.some(({ type }) => type === 'BraceExpansion')) return [HOLE];
  const pieces = parts.length === 0 ? [word.value] : parts.flatMap(piecesOfPart);
  const joined: string[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last === undefined || last === HOLE || piece === HOLE) joined.push(piece);
    else joined[joined.length - 1] = last + piece;
  }
  return joined;
}

function piecesOfPart(part: WordPart): string[] {
  switch (part.type) {
    case 'Literal':
    case 'SingleQuoted':
      return [part.value];
    case 'DoubleQuoted':
      return part.parts.flatMap(piecesOfPart);
    default:
      return [HOLE];
  }
}

const PLAIN = /^[\w@%+=:,./^-]*$/;

function quoted(text: string): string {
  if (text === HOLE || PLAIN.test(text)) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}
