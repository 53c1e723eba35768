/** A key that a person gives: typed unseen, or from stdin. It is never an argument, which every process of the machine may read. */
import { UserError } from '../core/errors.ts';

/** The longest that one may be. */
export const MAX_KEY_LENGTH = 4_096;

/** Throws `UserError` `key_invalid`, which never quotes it. `from`: where it was. */
export function checkKey(text: string, from: string): string {
  const key = text.trim();
  if (new RegExp(`^[\\x21-\\x7e]{1,${MAX_KEY_LENGTH}}$`).test(key)) return key;
  const found = key === '' ? 'nothing is there' : 'what is there is not (not shown: it is a secret)';
  const message = `The key ${from} must be 1 to ${MAX_KEY_LENGTH} ASCII characters without spaces; ${found}.`;
  throw new UserError('key_invalid', message);
}

export async function readKey(input: AsyncIterable<Buffer | string>): Promise<string> {
  return checkKey(await readText(input), 'from stdin');
}

/** No more than a key may have, twice over; without the line break at its end. */
export async function readText(input: AsyncIterable<Buffer | string>): Promise<string> {
  let text = '';
  for await (const piece of input) {
    text += piece;
    if (text.length > MAX_KEY_LENGTH * 2) break;
  }
  return text.replace(/\r?\n$/, '');
}

interface Keyboard extends NodeJS.ReadableStream {
  setRawMode(raw: boolean): unknown;
}

const ENTER = /[\r\n]/;
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const RUBBED_OUT = /[\u007f\b]/;

/** Asks on a terminal, and shows nothing of what is typed. Undefined: it was broken off. */
export async function askKey(
  { input, output }: { readonly input: Keyboard; readonly output: NodeJS.WritableStream },
  question: string,
  check: (text: string, from: string) => string = checkKey,
): Promise<string | undefined> {
  output.write(question);
  input.setRawMode(true);
  try {
    const typed = await lineOf(input);
    return typed === undefined ? undefined : check(typed, 'that was typed');
  } finally {
    input.setRawMode(false);
    input.pause();
    output.write('\n');
  }
}

function lineOf(input: Keyboard): Promise<string | undefined> {
  let typed = '';
  return new Promise((resolve) => {
    const settle = (line: string | undefined) => {
      input.off('data', take);
      input.off('end', end);
      resolve(line);
    };
    const end = () => settle(undefined);
    const take = (piece: Buffer | string) => {
      for (const character of String(piece)) {
        if (character === CTRL_C || character === CTRL_D) return settle(undefined);
        if (ENTER.test(character)) return settle(typed);
        typed = RUBBED_OUT.test(character) ? typed.slice(0, -1) : typed + character;
      }
    };
    input.on('data', take).on('end', end);
    input.resume();
  });
}
