/** Names that people give, and tell things apart by. */
import { z } from 'zod';

/**
 * Control characters, halves of surrogate pairs, ends of lines, what has no shape of its own, chooses between shapes of what stands before
 * it, or turns the text around it: two names that look alike would not be the same. Joiners are among it: where they show is up to a font.
 */
const UNSEEN =
  '\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\u{e0100}-\\u{e01ef}';
const FIRST = `[^${UNSEEN}\\s]`;

/** What of a name is refused, for its sentence. */
export const SEEN_NAME = 'expected a name of characters that are seen, without white space around it';

/** Composed (NFC), however it was typed. `but`: a regular expression of what it may not begin with. */
export function seenName(most: number, { but = '', message = SEEN_NAME } = {}) {
  const pattern = new RegExp(`^${but === '' ? '' : `(?!${but})`}${FIRST}([^${UNSEEN}]*${FIRST})?$`, 'u');
  return z.string().normalize('NFC').max(most).regex(pattern, { message });
}
