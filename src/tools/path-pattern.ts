/**
 * File patterns: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}`, `**`, and `\` before a character that stands for itself. Matching takes
 * time in proportion to pattern times path, whatever the pattern: the model chooses it, and a regular expression made of it could run
 * for hours.
 */
const MAX_PATTERN_CHARS = 1_000;
const MAX_ALTERNATIVES = 100;

export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/**
 * Whether a path (relative, with `/`) fits the pattern. A pattern without `/` is for names in any directory; others begin at the
 * root. Hidden files are matched like others. Throws `PatternError`.
 */
export function pathMatcher(pattern: string): (path: string) => boolean {
  if (pattern.length > MAX_PATTERN_CHARS) {
    throw new PatternError(
      `the pattern has ${pattern.length} characters, expected at most ${MAX_PATTERN_CHARS}.`,
    );
  }
  const anywhere = pattern.includes('/') ? pattern.replace(/^(\.?\/)+/, '') : `**/${pattern}`;
  const alternatives = expandBraces(anywhere).map((text) => text.split('/').filter((part) => part !== ''));
  const compiled = alternatives.map((parts) =>
    parts.map((part) => (part === '**' ? '**' : compilePart(part))),
  );
  return (path) => {
    const names = path.split('/').map((name) => [...name]);
    return compiled.some((parts) => matchParts(parts, names));
  };
}

/** `a{b,c{d,e}}` → `ab`, `acd`, `ace`. A brace without its other half stands for itself. */
function expandBraces(pattern: string): string[] {
  const done: string[] = [];
  const pending = [pattern];
  for (let text = pending.pop(); text !== undefined; text = pending.pop()) {
    const brace = firstBrace(text);
    if (brace === undefined) done.push(text);
    else for (const choice of brace.choices) pending.push(brace.before + choice + brace.after);
    if (done.length + pending.length > MAX_ALTERNATIVES) {
      throw new PatternError(`the braces of the pattern make more than ${MAX_ALTERNATIVES} alternatives.`);
    }
  }
  return done;
}

interface Brace {
  readonly before: string;
  readonly choices: readonly string[];
  readonly after: string;
}

/** The first pair of braces with a comma of its own in it, split there. */
function firstBrace(text: string): Brace | undefined {
  for (let from = nextUnescaped(text, '{', 0); from !== -1; from = nextUnescaped(text, '{', from + 1)) {
    const borders = bordersOf(text, from);
    if (borders === undefined || borders.length < 3) continue;
    const choices = borders.slice(1).map((border, index) => text.slice((borders[index] ?? 0) + 1, border));
    return { before: text.slice(0, from), choices, after: text.slice((borders.at(-1) ?? 0) + 1) };
  }
  return undefined;
}

/** Where a pair of braces opens, has commas of its own, and closes. */
function bordersOf(text: string, from: number): number[] | undefined {
  const borders = [from];
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === '\\') at += 1;
    if (char === '{') depth += 1;
    if (char === '}') depth -= 1;
    if (char === ',' && depth === 1) borders.push(at);
    if (depth === 0) return [...borders, at];
  }
  return undefined;
}

function nextUnescaped(text: string, char: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === char) return at;
  }
  return -1;
}

/** One character of a name, or any number of them. */
type Piece = '*' | ((char: string) => boolean);
type Part = '**' | readonly Piece[];

function compilePart(part: string): readonly Piece[] {
  const chars = [...part];
  const pieces: Piece[] = [];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] ?? '';
    const end = char === '[' ? chars.indexOf(']', at + (/[!^]/.test(chars[at + 1] ?? '') ? 3 : 2)) : -1;
    if (end !== -1) {
      pieces.push(characterClass(chars.slice(at + 1, end)));
      at = end;
    } else if (char === '*') {
      if (pieces.at(-1) !== '*') pieces.push('*');
    } else if (char === '?') pieces.push(() => true);
    else {
      const literal = char === '\\' ? (chars[++at] ?? '\\') : char;
      pieces.push((other) => other === literal);
    }
  }
  return pieces;
}

function characterClass(chars: readonly string[]): (char: string) => boolean {
  const negated = chars[0] === '!' || chars[0] === '^';
  const rest = negated ? chars.slice(1) : chars;
  const ranges: [string, string][] = [];
  for (let at = 0; at < rest.length; at++) {
    const from = rest[at] ?? '';
    const to = rest[at + 1] === '-' ? rest[at + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) at += 2;
  }
  return (char) => ranges.some(([from, to]) => char >= from && char <= to) !== negated;
}

function matchParts(parts: readonly Part[], names: readonly (readonly string[])[]): boolean {
  return matchWithStars(parts, names, {
    isStar: (part) => part === '**',
    fits: (part, name) =>
      part !== '**' && matchWithStars(part, name, { isStar: (p) => p === '*', fits: fitsChar }),
  });
}

function fitsChar(piece: Piece, char: string): boolean {
  return piece !== '*' && piece(char);
}

interface Rules<P, I> {
  readonly isStar: (piece: P) => boolean;
  readonly fits: (piece: P, item: I) => boolean;
}

/** Goes back only to the last star: what an earlier one could take, the later one can take too. */
function matchWithStars<P, I>(
  pieces: readonly P[],
  items: readonly I[],
  { isStar, fits }: Rules<P, I>,
): boolean {
  let at = 0;
  let star = -1;
  let starItem = 0;
  for (let index = 0; index < items.length; ) {
    const piece = pieces[at];
    if (piece !== undefined && isStar(piece)) {
      star = at++;
      starItem = index;
    } else if (piece !== undefined && fits(piece, items[index] as I)) {
      at += 1;
      index += 1;
    } else if (star !== -1) {
      at = star + 1;
      index = ++starItem;
    } else return false;
  }
  while (at < pieces.length && isStar(pieces[at] as P)) at += 1;
  return at === pieces.length;
}
