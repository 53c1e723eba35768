/** Names that people give, and tell things apart by. */
import { z } from 'zod';

/**
 * Control characters, halves of surrogate pairs, ends of lines, and what has no shape of its own or turns the text around it: two names that
 * look alike would not be the same.
 */
const UNSEEN =
  '\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u3164\\uffa0';
const FIRST = `[^${UNSEEN}\\s]`;

/** What of a name is refused, for its sentence. */
export const SEEN_NAME = 'expected a name of characters that are seen, without white space around it';

/** `but`: a regular expression of what it may not begin with. */
export function seenName(most: number, { but = '', message = SEEN_NAME } = {}) {
  const pattern = new RegExp(`^${but === '' ? '' : `(?!${but})`}${FIRST}([^${UNSEEN}]*${FIRST})?$`, 'u');
  return z.string().max(most).regex(pattern, { message });
}
