/**
 * Regular expressions that one model wrote, to be matched with what another one wrote. A matcher goes back and tries again, for
 * longer than anybody waits where it may: so only those are taken of which is known beforehand how long they take at most.
 */
export interface Pattern {
  readonly expression: RegExp;
  /** How many steps it takes at most to match a text of so many characters. */
  readonly steps: (length: number) => number;
}

/** Characters of a pattern, and how many it may ask for one by one: `a{300}` asks for 300. */
export const PATTERN_LIMITS = { length: 300, width: 1_000 } as const;

/** The pattern, or a sentence without its stop that says why it cannot be used. */
export function readPattern(source: string): Pattern | string {
  const { length, width: most } = PATTERN_LIMITS;
  if (source.length > length)
    return `a pattern has ${source.length} characters, and it may have ${length} at most`;
  const shown = JSON.stringify(source);
  const expression = expressionOf(source);
  if (typeof expression === 'string') return `the pattern ${shown} cannot be read: ${expression}`;
  const { waysIn, width, isAnchored, refused } = new Reader(source).read();
  if (refused !== undefined) return `the pattern ${shown} ${refused}`;
  if (width > most)
    return `the pattern ${shown} asks for ${width} characters one by one, and may for ${most} at most`;
  // One that may begin anywhere is tried from each character on.
  const begins = (size: number) => (isAnchored ? 1 : size + 1);
  return { expression, steps: (size) => begins(size) * waysIn(size) * (width + 1) };
}

function expressionOf(source: string): RegExp | string {
  try {
    return new RegExp(source, 'u');
  } catch (error) {
    return (error as Error).message;
  }
}

interface Ways {
  /** In how many ways a text of so many characters may be tried. */
  readonly waysIn: (size: number) => number;
  /** In one, whatever the text. */
  readonly isOne: boolean;
  /** Characters that are asked for one by one. */
  readonly width: number;
}

const NOTHING: Ways = { waysIn: () => 1, isOne: true, width: 0 };
const ONE: Ways = { ...NOTHING, width: 1 };

/** Of a source that is a regular expression: no bracket is left open. */
class Reader {
  readonly #source: string;
  #at = 0;
  #refused: string | undefined;

  constructor(source: string) {
    this.#source = source;
  }

  read(): Ways & { readonly isAnchored: boolean; readonly refused: string | undefined } {
    const begins = this.#source.startsWith('^');
    const { branches, ...ways } = this.#alternatives();
    return { ...ways, isAnchored: begins && branches === 1, refused: this.#refused };
  }

  #alternatives(): Ways & { readonly branches: number } {
    const branches = [this.#sequence()];
    while (this.#take('|')) branches.push(this.#sequence());
    const [first = NOTHING, ...others] = branches;
    const all = others.reduce<Ways>(
      (one, other) => ({
        waysIn: (size) => one.waysIn(size) + other.waysIn(size),
        isOne: false,
        width: one.width + other.width,
      }),
      first,
    );
    return { ...all, branches: branches.length };
  }

  #sequence(): Ways {
    let all = NOTHING;
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at] ?? '')) {
      all = both(all, this.#repeated(this.#atom()));
    }
    return all;
  }

  #repeated(atom: Ways): Ways {
    const found = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(this.#source.slice(this.#at));
    if (found === null) return atom;
    this.#at += found[0].length;
    const [sign, least = '0', range, most] = found;
    if (sign.startsWith('?')) return { ...atom, waysIn: (size) => atom.waysIn(size) + 1, isOne: false };
    if (!atom.isOne)
      this.#refused ??= 'repeats what itself repeats or has alternatives: write it without one of the two';
    const isEndless = /^[*+]/.test(sign) || (range !== undefined && most === '');
    const times = Number(most || least);
    const choices = range === undefined ? 1 : times - Number(least) + 1;
    return {
      waysIn: (size) => (isEndless ? size + 1 : Math.min(choices, size + 1)),
      isOne: !isEndless && choices === 1,
      width: atom.width * Math.max(times, 1),
    };
  }

  #atom(): Ways {
    if (this.#take('(')) return this.#group();
    const [escaped] = /^\\(?:[pPu]\{[^}]*\}|.)/su.exec(this.#source.slice(this.#at)) ?? [];
    if (escaped !== undefined) {
      if (/^\\[1-9k]/.test(escaped)) this.#refused ??= 'looks back at what a group has matched';
      this.#at += escaped.length;
    } else if (this.#source[this.#at] === '[') {
      const [characters = '['] = /^\[(?:\\.|[^\]\\])*\]/su.exec(this.#source.slice(this.#at)) ?? [];
      this.#at += characters.length;
    } else this.#at += 1;
    return ONE;
  }

  #group(): Ways {
    const [opening] = /^\?(?::|<\w+>)/.exec(this.#source.slice(this.#at)) ?? [];
    if (opening === undefined && this.#source[this.#at] === '?')
      this.#refused ??= 'looks ahead or behind, or has flags within';
    this.#at += opening?.length ?? 0;
    if (opening === undefined) this.#take('?');
    const { branches: _, ...inner } = this.#alternatives();
    this.#take(')');
    return inner;
  }

  #take(sign: string): boolean {
    if (this.#source[this.#at] !== sign) return false;
    this.#at += 1;
    return true;
  }
}

function both(one: Ways, other: Ways): Ways {
  return {
    waysIn: (size) => one.waysIn(size) * other.waysIn(size),
    isOne: one.isOne && other.isOne,
    width: one.width + other.width,
  };
}
