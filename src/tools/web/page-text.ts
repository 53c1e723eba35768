/** What kind of thing an answer's body is, and its text. */

export type PageKind = 'html' | 'text' | 'binary';

/** Looked at to tell text from what is not. */
const SNIFFED_BYTES = 4_096;
const HTML_TYPES = ['text/html', 'application/xhtml+xml'];
const TEXT_TYPES =
  /^(text\/.*|application\/(.*\+)?(json|xml|yaml|toml|javascript|x-javascript|ecmascript|typescript|x-yaml|x-sh|x-ndjson|jsonl|sql|graphql|markdown))$/;

/** By what the server calls it, but whatever has a NUL is binary; without a name, by how it begins. */
export function kindOf(contentType: string, bytes: Buffer): PageKind {
  const type = mediaTypeOf(contentType);
  const beginning = bytes.subarray(0, SNIFFED_BYTES);
  const isUtf16 = /^utf-?16/i.test(charsetOf(contentType)) || hasUtf16Mark(bytes);
  if (beginning.includes(0) && !isUtf16) return 'binary';
  if (HTML_TYPES.includes(type)) return 'html';
  if (TEXT_TYPES.test(type)) return 'text';
  if (type !== '' && type !== 'application/octet-stream') return 'binary';
  const start = beginning.toString('latin1').trimStart().toLowerCase();
  if (/^<(!doctype html|html|head)\b/.test(start)) return 'html';
  return isUtf8(beginning) ? 'text' : 'binary';
}

export function mediaTypeOf(contentType: string): string {
  return (contentType.split(';')[0] ?? '').trim().toLowerCase();
}

/** In the character set that the server, a byte order mark or, of HTML, the page names; else UTF-8. */
export function textIn(bytes: Buffer, contentType: string, kind: PageKind): string {
  const named = charsetOf(contentType) || (kind === 'html' ? charsetInPage(bytes) : '');
  return decoded(bytes, hasUtf16Mark(bytes) ? 'utf-16' : named);
}

function decoded(bytes: Buffer, label: string): string {
  try {
    return new TextDecoder(label || 'utf-8').decode(bytes);
  } catch (error) {
    // A name that nobody knows.
    if (error instanceof RangeError) return new TextDecoder().decode(bytes);
    throw error;
  }
}

function charsetOf(contentType: string): string {
  return /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1] ?? '';
}

function charsetInPage(bytes: Buffer): string {
  const head = bytes.subarray(0, SNIFFED_BYTES).toString('latin1');
  return /<meta[^>]{0,200}?charset\s*=\s*["']?([\w-]+)/i.exec(head)?.[1] ?? '';
}

function hasUtf16Mark(bytes: Buffer): boolean {
  return bytes.length >= 2 && bytes[0] === 0xff && bytes[1] === 0xfe;
}

/** Of the beginning of a text: it may end within a character. */
function isUtf8(beginning: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(beginning, { stream: true });
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}
