/** JSON for `jsonb`, which refuses what JSON allows, in keys too: NUL characters and unpaired surrogates become U+FFFD. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value);
  // Only text that has such an escape is walked a second time.
  return /\\u0000|\\ud[89a-f]/i.test(text) ? JSON.stringify(storable(JSON.parse(text))) : text;
}

/** The same for a value that goes into a `text` column. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

function storable(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(storable);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [storableText(key), storable(inner)]),
  );
}
