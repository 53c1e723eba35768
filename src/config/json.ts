/** What a text is the JSON of; what is none stays a text, for a schema to refuse. */
export function parseJson(raw: unknown): unknown {
  try {
    return typeof raw === 'string' ? JSON.parse(raw) : raw;
  } catch {
    return raw;
  }
}
