/** Texts that stand in the maps of settings. What is said of a wrong one never quotes it: it may be a secret. */
import { z } from 'zod';

export const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'expected up to 64 letters, digits, points, dashes and underscores',
  );
export const line = z.string().regex(/^[^\p{Cc}]{1,4096}$/u, 'expected a text of one line');
export const secret = z
  .string()
  .regex(/^[\x21-\x7e]{1,4096}$/, 'expected a key of printable ASCII characters without blanks');
export const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/);
export const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'expected the name of a header');
export const headerValue = z.string().regex(/^[\x20-\x7e]{0,4096}$/, 'expected printable ASCII characters');
export const httpUrl = line.refine(
  (text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''),
  'expected an address that begins with http:// or https://, host and port behind it',
);
