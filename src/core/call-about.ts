/** Arguments that say most about a call, best first. */
const TELLING = ['command', 'path', 'file_path', 'file', 'pattern', 'query', 'url', 'name', 'title'];

/** What a call is about, in its model's words: the one argument that says most; '' where none does. `json`: valid or not. */
export function callAbout(json: string): string {
  const given = parsed(json);
  if (given === undefined) return json;
  const named = TELLING.map((name) => given[name]).find((value) => typeof value === 'string' && value !== '');
  const first = Object.values(given).find((value) => typeof value === 'string' || typeof value === 'number');
  return String(named ?? first ?? '');
}

function parsed(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
