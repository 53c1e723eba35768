/** What the model is shown of a long text at most. The whole text is kept elsewhere. */
export const MODEL_MAX_CHARS = 30_000;
export const MODEL_MAX_LINES = 2_000;

export interface TruncateLimits {
  /** UTF-16 code units of the text that is kept. */
  readonly maxChars?: number;
  readonly maxLines?: number;
  /** How whoever reads it gets at what was cut, which begins at this character, counted from 0. */
  readonly howToRead?: (offset: number) => string;
}

/**
 * Cuts a text that is over a limit in the middle, since both ends of an output tell most, and says on a line of its own
 * what was cut. The limits count the text that is kept, without that line. No surrogate pair is split.
 */
export function truncateForModel(text: string, limits: TruncateLimits = {}): { text: string; cut: boolean } {
  const { maxChars = MODEL_MAX_CHARS, maxLines = MODEL_MAX_LINES, howToRead } = limits;
  const lines = countLines(text);
  if (text.length <= maxChars && lines <= maxLines) return { text, cut: false };
  const byChars = text.length > maxChars;
  const byLines = lines > maxLines;
  const headLines = Math.ceil(maxLines / 2);
  const head = Math.min(
    byChars ? Math.ceil(maxChars / 2) : text.length,
    byLines ? startOfLine(text, headLines) : text.length,
  );
  const tail = Math.max(
    byChars ? text.length - Math.floor(maxChars / 2) : 0,
    byLines ? startOfLine(text, lines - (maxLines - headLines)) : 0,
  );
  const cut = { from: beforePair(text, head), to: afterPair(text, tail) };
  return { text: withoutMiddle(text, cut, howToRead?.(cut.from)), cut: true };
}

function withoutMiddle(
  text: string,
  { from, to }: { readonly from: number; readonly to: number },
  howToRead: string | undefined,
): string {
  const start = text.slice(0, from);
  const middle = text.slice(from, to);
  const more = howToRead === undefined ? '' : `; ${howToRead}`;
  const note = `[cut here: ${middle.length} characters, ${countLines(middle)} lines; the output has ${text.length} characters, ${countLines(text)} lines${more}]`;
  const gap = start === '' || start.endsWith('\n') ? '' : '\n';
  return `${start}${gap}${note}\n${text.slice(to)}`;
}

/** Lines as an editor counts them: a final newline ends the last line and starts none. */
function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines++;
  return text === '' || text.endsWith('\n') ? lines : lines + 1;
}

/** Index of the first character of the line with this number, counted from 0. */
function startOfLine(text: string, line: number): number {
  let at = 0;
  for (let passed = 0; passed < line; passed++) {
    const newline = text.indexOf('\n', at);
    if (newline === -1) return text.length;
    at = newline + 1;
  }
  return at;
}

function splitsPair(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1);
  const after = text.charCodeAt(at);
  return before >= 0xd800 && before <= 0xdbff && after >= 0xdc00 && after <= 0xdfff;
}

function beforePair(text: string, at: number): number {
  return splitsPair(text, at) ? at - 1 : at;
}

function afterPair(text: string, at: number): number {
  return splitsPair(text, at) ? at + 1 : at;
}
