import type { BytePath } from './byte-path.ts';

/** Matches part of a path between slashes. */
type Token =
  | { readonly type: 'char'; readonly char: string }
  | { readonly type: 'any' }
  | { readonly type: 'star' }
  | { readonly type: 'class'; readonly negated: boolean; readonly includes: (char: string) => boolean };

type Component = readonly Token[] | '**';

interface Pattern {
  readonly negated: boolean;
  readonly onlyDirectories: boolean;
  /** Undefined where only the name counts, in whatever directory. */
  readonly path: readonly Component[] | undefined;
  readonly name: readonly Token[];
}

const POSIX_CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /[0-9A-Za-z]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the class of control characters
  cntrl: /[\x00-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t-\r]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

/** A file of ignore patterns (gitignore(5)), as bytes. */
export class IgnoreFile {
  readonly #patterns: readonly Pattern[];

  constructor(content: Buffer) {
    const text = content.toString('latin1').replace(/^\xef\xbb\xbf/, '');
    this.#patterns = text.split('\n').flatMap((line) => parsePattern(line.replace(/\r$/, '')) ?? []);
  }

  /** What the last pattern that matches says; undefined where none does. `path` is relative to the file's directory. */
  judge(path: BytePath, isDirectory: boolean): 'ignored' | 'kept' | undefined {
    const parts = path.split('/');
    matching.steps += this.#patterns.length;
    const found = this.#patterns.findLast((pattern) => matches(pattern, parts, isDirectory));
    if (found === undefined) return undefined;
    return found.negated ? 'kept' : 'ignored';
  }
}

interface PlacedFile {
  /** Where paths from its directory begin. */
  readonly base: number;
  readonly file: IgnoreFile;
}

/**
 * The ignore files that count in a directory: its own comes before those above it. Whoever walks does not go into an ignored
 * directory, so nothing below one is asked for.
 */
export class IgnoreRules {
  readonly #files: readonly PlacedFile[];

  private constructor(files: readonly PlacedFile[]) {
    this.#files = files;
  }

  static readonly none = new IgnoreRules([]);

  /** With a file that stands in `directory`; what was there already comes after it. */
  with(directory: BytePath, file: IgnoreFile): IgnoreRules {
    const base = directory === '' ? 0 : directory.length + 1;
    return new IgnoreRules([{ base, file }, ...this.#files]);
  }

  ignores(path: BytePath, isDirectory: boolean): boolean {
    for (const { base, file } of this.#files) {
      const said = file.judge(path.slice(base), isDirectory);
      if (said !== undefined) return said === 'ignored';
    }
    return false;
  }
}

function parsePattern(line: string): Pattern | undefined {
  if (line.startsWith('#')) return undefined;
  let text = withoutTrailingSpaces(line);
  const negated = text.startsWith('!');
  if (negated) text = text.slice(1);
  const onlyDirectories = text.endsWith('/');
  if (onlyDirectories) text = text.slice(0, -1);
  if (text === '') return undefined;
  text = text.replace(/\\([\s\S])/g, (escaped, char) => (char === '/' ? '/' : escaped));
  const anchored = text.includes('/');
  const parts = text.replace(/^\//, '').split('/');
  const components = parts.map((part): Component | undefined => (part === '**' ? '**' : parseTokens(part)));
  if (components.includes(undefined)) return undefined;
  const path = components as Component[];
  // Below a directory, not the directory itself: something has to follow.
  if (path.length > 1 && path.at(-1) === '**') path.push([{ type: 'star' }]);
  return {
    negated,
    onlyDirectories,
    path: anchored ? path : undefined,
    name: anchored ? [] : (parseTokens(text) ?? []),
  };
}

function withoutTrailingSpaces(line: string): string {
  let end = line.length;
  while (line[end - 1] === ' ' && !isEscaped(line, end - 1)) end -= 1;
  return line.slice(0, end);
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

/** Undefined where the pattern cannot match: an open class, or a backslash at the end. */
function parseTokens(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === '*') {
      if (tokens.at(-1)?.type !== 'star') tokens.push({ type: 'star' });
    } else if (char === '?') tokens.push({ type: 'any' });
    else if (char === '[') {
      const found = parseClass(text, at);
      if (found === undefined) return undefined;
      tokens.push(found.token);
      at = found.end;
    } else if (char === '\\') {
      at += 1;
      if (at === text.length) return undefined;
      tokens.push({ type: 'char', char: text[at] as string });
    } else tokens.push({ type: 'char', char });
  }
  return tokens;
}

/** `[...]` from its bracket on; `end` is where it closes. A bracket that comes first is one of the class. */
function parseClass(text: string, start: number): { token: Token; end: number } | undefined {
  let at = start + 1;
  const negated = text[at] === '!' || text[at] === '^';
  if (negated) at += 1;
  const ranges: [string, string][] = [];
  const named: RegExp[] = [];
  for (let first = true; first || text[at] !== ']'; first = false) {
    const name = /^\[:([a-z]*):\]/.exec(text.slice(at, at + 12));
    if (name !== null) {
      const known = POSIX_CLASSES[name[1] as string];
      if (known === undefined) return undefined;
      named.push(known);
      at += name[0].length;
      continue;
    }
    const low = classCharacter(text, at);
    if (low === undefined) return undefined;
    at = low.next;
    let high = low;
    if (text[at] === '-' && text[at + 1] !== ']' && at + 1 < text.length) {
      const end = classCharacter(text, at + 1);
      if (end === undefined) return undefined;
      high = end;
      at = end.next;
    }
    ranges.push([low.char, high.char]);
  }
  const includes = (char: string) =>
    ranges.some(([low, high]) => low <= char && char <= high) || named.some((each) => each.test(char));
  return { token: { type: 'class', negated, includes }, end: at };
}

function classCharacter(text: string, at: number): { char: string; next: number } | undefined {
  const escaped = text[at] === '\\';
  const char = text[escaped ? at + 1 : at];
  return char === undefined ? undefined : { char, next: at + (escaped ? 2 : 1) };
}

function matches(pattern: Pattern, parts: readonly string[], isDirectory: boolean): boolean {
  if (pattern.onlyDirectories && !isDirectory) return false;
  if (pattern.path === undefined) return matchesName(pattern.name, parts.at(-1) ?? '');
  return matchesSequence(pattern.path, parts, (component, part) =>
    component === '**' ? 'many' : matchesName(component, part),
  );
}

function matchesName(tokens: readonly Token[], name: string): boolean {
  return matchesSequence(tokens, name, matchesCharacter);
}

function matchesCharacter(token: Token, char: string): boolean | 'many' {
  switch (token.type) {
    case 'star':
      return 'many';
    case 'any':
      return true;
    case 'char':
      return token.char === char;
    case 'class':
      return token.includes(char) !== token.negated;
  }
}

/** What matching has cost this thread since it began, in comparisons: files and patterns are an agent's, and their product has no limit. */
export const matching = { steps: 0 };

/**
 * Whether the pattern's parts match the items one to one, where a part that answers `many` takes any number of them. Going back to
 * the last such part is enough, so the work is at most the product of the lengths: a pattern cannot be made that takes for ever, as
 * it can for a regular expression.
 */
function matchesSequence<Part>(
  parts: readonly Part[],
  items: ArrayLike<string>,
  match: (part: Part, item: string) => boolean | 'many',
): boolean {
  let [part, item, many, resume] = [0, 0, -1, 0];
  while (item < items.length || part < parts.length) {
    matching.steps += 1;
    const found = part < parts.length ? match(parts[part] as Part, items[item] ?? '') : false;
    if (found === 'many') {
      [many, resume] = [part, item];
      part += 1;
    } else if (found && item < items.length) {
      part += 1;
      item += 1;
    } else if (many >= 0 && resume < items.length) {
      resume += 1;
      [part, item] = [many + 1, resume];
    } else return false;
  }
  return true;
}
