/** JSON for `jsonb`, which refuses what JSON allows: NUL characters and unpaired surrogates. Both become U+FFFD. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value);
  // Only text that has such an escape is walked a second time.
  return /\\u0000|\\ud[89a-f]/i.test(text) ? JSON.stringify(value, storable) : text;
}

function storable(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\uFFFD') : value;
}
