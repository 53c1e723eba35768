/** What a person names with `@` in a prompt: `@src/a.ts`, `@src/a.ts:10-20`, `@"with spaces.md"`. Whether it is there, others see. */

export interface Mention {
  /** As it was written, without the lines. */
  readonly path: string;
  /** Lines, counted from 1. */
  readonly first?: number;
  readonly last?: number;
}

/** Mentions of one text that are looked for; what comes behind them stays text. */
export const MAX_MENTIONS = 50;

/** No part of a word, an address or a path stands before the sign. */
const MENTION = /(?<![\p{L}\p{N}_.+/@-])@(?:"([^"\n]{1,1024})"|([^\s"'`<>|@]{1,1024}))/gu;
const LINES = /^(.{1,1024}?)(?::(\d{1,9})(?:-(\d{1,9}))?|#L(\d{1,9})(?:-L?(\d{1,9}))?)$/s;
/** Ends a sentence or a bracket, and seldom a name. */
const MARKS = /[.,;:!?)\]}*_]$/;

/** Of each mention what it may mean, the likeliest first: the first that is there is meant. */
export function mentionsIn(text: string): readonly (readonly Mention[])[] {
  const found: Mention[][] = [];
  for (const [, quoted, plain = ''] of text.matchAll(MENTION)) {
    const readings = quoted === undefined ? readingsOf(plain) : withLines(quoted);
    if (readings.length > 0) found.push(readings);
    if (found.length === MAX_MENTIONS) break;
  }
  return found;
}

/** The whole of it, and what is left as marks go from its end. */
function readingsOf(written: string): Mention[] {
  const readings: Mention[] = [];
  for (let text = written; ; text = text.slice(0, -1)) {
    if (/[\p{L}\p{N}_]/u.test(text)) readings.push(...withLines(text));
    if (!MARKS.test(text)) return readings;
  }
}

function withLines(path: string): Mention[] {
  const [, name, from = '', to, fromHash = '', toHash] = LINES.exec(path) ?? [];
  if (name === undefined) return [{ path }];
  const first = Math.max(1, Number(from || fromHash));
  const last = Math.max(first, Number(to ?? toHash ?? first));
  return [{ path }, { path: name, first, last }];
}
