/**
 * Patterns of rules against what calls name. `*` stands for anything, in a path for anything but a slash (`**` for that too),
 * `?` for one character; a backslash takes the meaning from the one behind it.
 *
 * A text may have holes: places where a shell will put what nobody knows yet. A hole is certain to match only where a `*` takes
 * it whole, and may match anywhere.
 */
export const HOLE = '\0';

export type Match = 'certain' | 'possible' | 'none';

type Token =
  | { readonly char: string }
  | { readonly any: 'one' | 'many' /** Whether it takes a slash. */; readonly slash: boolean };

/** `isPath`: whether a slash is special. */
export function matchGlob(pattern: string, text: string, { isPath = false } = {}): Match {
  const tokens = tokensOf(pattern, isPath);
  if (covers(tokens, text, false)) return 'certain';
  if (!text.includes(HOLE)) return 'none';
  // Where nothing is put in, the blanks around it are gone too.
  return covers(tokens, text.replaceAll(/ *\0 */g, HOLE), true) ? 'possible' : 'none';
}

function tokensOf(pattern: string, isPath: boolean): Token[] {
  return [...pattern.matchAll(/\\.|\*+|./gsu)].map(([part]): Token => {
    if (part.startsWith('*')) return { any: 'many', slash: !isPath || part.length > 1 };
    if (part === '?') return { any: 'one', slash: !isPath };
    return { char: part.length > 1 && part.startsWith('\\') ? part.slice(1) : part };
  });
}

/** Whether the tokens can take the whole text, as an automaton whose states are places among them. `isOpen`: a hole may be anything. */
function covers(tokens: readonly Token[], text: string, isOpen: boolean): boolean {
  let states = withEmpty(tokens, [0]);
  for (const char of text) {
    if (isOpen && char === HOLE) {
      states = upFrom(tokens, states);
      continue;
    }
    const next = [...states].flatMap((at) => {
      const token = tokens[at];
      return token !== undefined && takes(token, char)
        ? ['any' in token && token.any === 'many' ? at : at + 1]
        : [];
    });
    if (next.length === 0) return false;
    states = withEmpty(tokens, next);
  }
  return states.has(tokens.length);
}

function takes(token: Token, char: string): boolean {
  if ('char' in token) return token.char === char;
  return (char !== HOLE || token.any === 'many') && (char !== '/' || token.slash);
}

/** With what is reached without a character: a `*` may take none. */
function withEmpty(tokens: readonly Token[], places: readonly number[]): Set<number> {
  const reached = new Set(places);
  for (const at of reached) {
    const token = tokens[at];
    if (token !== undefined && 'any' in token && token.any === 'many') reached.add(at + 1);
  }
  return reached;
}

/** A hole may take as many tokens as there are. */
function upFrom(tokens: readonly Token[], states: ReadonlySet<number>): Set<number> {
  const first = Math.min(...states);
  return new Set(Array.from({ length: tokens.length - first + 1 }, (_, index) => first + index));
}
