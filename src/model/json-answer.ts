import { BadEndpoint, fields, JsonError } from './report.ts';

/**
 * What a server does that was asked for an event stream and answers with JSON at status 200: it reports an error, does
 * not stream, or only calls its event stream by the wrong name.
 */

/** Bytes of a JSON answer that are read in search of an error; what is longer is an answer. */
export const MAX_JSON_BYTES = 1024 * 1024;

export function isJsonType(contentType: string): boolean {
  return /^\s*application\/([\w.-]+\+)?json\b/i.test(contentType);
}

/** Whether a body begins as it should; undefined while that cannot be told. */
export type Begins = (text: string) => boolean | undefined;

/** The body, if it is a stream after all. Throws `JsonError` or `BadEndpoint` where it is not. */
export async function streamIn(
  body: ReadableStream<Uint8Array>,
  begins: Begins = beginsEvent,
): Promise<ReadableStream<Uint8Array>> {
  const reader = body.getReader();
  const held: Uint8Array[] = [];
  while (begins(textOf(held)) === undefined && sizeOf(held) <= MAX_JSON_BYTES)
    if (!(await readInto(held, reader))) break;
  if (begins(textOf(held)) === true) return rejoined(held, reader);
  while (sizeOf(held) <= MAX_JSON_BYTES) if (!(await readInto(held, reader))) break;
  const isWhole = sizeOf(held) <= MAX_JSON_BYTES;
  if (!isWhole) await reader.cancel();
  throw errorIn(isWhole ? textOf(held) : '') ?? new BadEndpoint('answers without streaming');
}

async function readInto(held: Uint8Array[], reader: ReadableStreamDefaultReader<Uint8Array>) {
  const { done, value } = await reader.read();
  if (!done) held.push(value);
  return !done;
}

function textOf(held: readonly Uint8Array[]): string {
  return Buffer.concat(held).toString();
}

function sizeOf(held: readonly Uint8Array[]): number {
  return held.reduce((sum, piece) => sum + piece.length, 0);
}

/** A line of an event stream is a comment, or begins with `data`, `event`, `id` or `retry`; no JSON text does. */
function beginsEvent(text: string): boolean | undefined {
  const said = text.trim();
  return said === '' ? undefined : /^[:deir]/.test(said);
}

function rejoined(
  held: readonly Uint8Array[],
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const piece of held) controller.enqueue(piece);
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      controller.enqueue(value);
    },
    cancel: () => reader.cancel(),
  });
}

/** The error of `{"error": …}`, which some servers put into a list. */
function errorIn(text: string): JsonError | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // Neither events nor JSON: the caller says what it is not.
  }
  const { error } = fields(Array.isArray(value) ? value[0] : value);
  return error === undefined || error === null ? undefined : new JsonError(error);
}
