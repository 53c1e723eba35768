import { fields, MalformedAnswer, StreamError } from './report.ts';

/**
 * A stream of JSON objects, one a line, as Ollama sends it. Each line is looked at before its SDK sees it: that writes to the
 * console what is no JSON, and goes on.
 */

const NEWLINE = 0x0a;

export interface JsonLines {
  /** Whole lines; what is blank, as whatever keeps the connection alive, is left out. Throws what the server reports as an error. */
  readonly lines: AsyncGenerator<Uint8Array>;
  /** Whether the body has come to its end by itself. */
  readonly hasEnded: () => boolean;
}

/** `lineBytes`: the longest line; what holds a longer one is no answer. */
export function jsonLines(body: ReadableStream<Uint8Array>, lineBytes: number): JsonLines {
  const state = { hasEnded: false };
  return { lines: linesOf(body, lineBytes, state), hasEnded: () => state.hasEnded };
}

async function* linesOf(
  body: ReadableStream<Uint8Array>,
  lineBytes: number,
  state: { hasEnded: boolean },
): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    let from = 0;
    for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, from)) {
      failIfLonger(size + at - from, lineBytes);
      const line = checked([...held, piece.subarray(from, at + 1)]);
      [held, size, from] = [[], 0, at + 1];
      if (line !== undefined) yield line;
    }
    held.push(piece.subarray(from));
    size += piece.length - from;
    failIfLonger(size, lineBytes);
  }
  state.hasEnded = true;
  const last = checked(held);
  if (last !== undefined) yield last;
}

function failIfLonger(bytes: number, most: number): void {
  if (bytes > most) throw new MalformedAnswer(`a line of more than ${most} bytes`);
}

/** Undefined where it is blank. */
function checked(pieces: readonly Uint8Array[]): Uint8Array | undefined {
  const line = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString();
  if (text.trim() === '') return undefined;
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new MalformedAnswer('a line that is no JSON object');
  const { error } = fields(value);
  if (error !== undefined && error !== null) throw new StreamError(error);
  return line;
}

/**
 * Whether JSON begins with a line that is a piece of an answer, so that others may follow; undefined while its first line has
 * no end yet.
 */
export function beginsLines(text: string): boolean | undefined {
  const [line = '', ...rest] = text.trimStart().split('\n', 2);
  if (rest.length === 0) return undefined;
  try {
    const { done, status, error } = fields(JSON.parse(line));
    return (done !== undefined || status !== undefined) && (error === undefined || error === null);
  } catch {
    return false; // Whatever it is, its lines are none.
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
