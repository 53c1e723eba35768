/** Which files a unified diff names, and how many leading parts of each path are not of the path. */
import { VcsError } from './vcs.ts';

export interface PatchFiles {
  readonly paths: readonly string[];
  /** 1 where paths begin with `a/` and `b/`, as git writes them; else 0. */
  readonly strip: 0 | 1;
}

/** Throws `VcsError` where it names none. */
export function filesOfPatch(patch: string): PatchFiles {
  const named = headersOf(patch)
    .flatMap(namesIn)
    .filter((name) => name !== '/dev/null');
  if (named.length === 0)
    throw new VcsError(
      'The patch names no file; expected a unified diff with lines such as --- a/PATH and +++ b/PATH.',
    );
  const strip = named.every((name) => /^[ab]\/./.test(name)) ? 1 : 0;
  const paths = named.map((name) =>
    name.startsWith(BARE) ? name.slice(BARE.length) : name.slice(strip * 2),
  );
  return { paths: [...new Set(paths)], strip };
}

/** Before a name that has no `a/` or `b/`, whatever others have: of `rename from`. */
const BARE = 'a/\0';

/** Lines outside hunks. */
function headersOf(patch: string): readonly string[] {
  const headers: string[] = [];
  const left = { old: 0, fresh: 0 };
  for (const line of patch.split('\n')) {
    const [, old, fresh] = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line) ?? [];
    const isHunk = line.startsWith('@@ -');
    if (left.old > 0 || left.fresh > 0) {
      if (!line.startsWith('+') && !line.startsWith('\\')) left.old -= 1;
      if (!line.startsWith('-') && !line.startsWith('\\')) left.fresh -= 1;
    } else if (isHunk) Object.assign(left, { old: Number(old ?? 1), fresh: Number(fresh ?? 1) });
    else headers.push(line.replace(/\r$/, ''));
  }
  return headers;
}

function namesIn(line: string): string[] {
  const [, bare] = /^(?:rename|copy) (?:from|to|old|new) (.*)$/.exec(line) ?? [];
  if (bare !== undefined) return [BARE + unquote(bare)];
  const [, side] = /^(?:---|\+\+\+) (.*)$/.exec(line) ?? [];
  // Behind a tab stands what is no name: a date, a revision.
  if (side !== undefined) return [unquote(side.replace(/\t.*$/, ''))];
  const [, both] = /^diff --git (.*)$/.exec(line) ?? [];
  return both === undefined ? [] : pairOf(both);
}

/** `a/NAME b/NAME`: where the two differ, other lines say so. */
function pairOf(text: string): string[] {
  const quoted = /^("(?:[^"\\]|\\.)*") ("(?:[^"\\]|\\.)*")$/.exec(text);
  if (quoted) return quoted.slice(1).map(unquote);
  const half = (text.length - 1) / 2;
  const [one, other] = [text.slice(0, half), text.slice(half + 1)];
  return one.slice(1) === other.slice(1) ? [one, other] : [];
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** As git quotes a name that has special characters: bytes as octal numbers. */
function unquote(name: string): string {
  if (!/^".*"$/s.test(name)) return name;
  const bytes: number[] = [];
  for (const [part, octal, escaped] of name.slice(1, -1).matchAll(/\\([0-7]{3})|\\(.)|[^\\]+/gs)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else bytes.push(...Buffer.from(escaped === undefined ? part : (ESCAPES[escaped] ?? escaped)));
  }
  return Buffer.from(bytes).toString();
}
