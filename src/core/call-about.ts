/** Arguments that say most about a call, best first. */
const TELLING = ['command', 'path', 'file_path', 'file', 'pattern', 'query', 'url', 'name', 'title'];

/** What a call is about, in its model's words: the one argument that says most; '' where none does. `json`: valid or not. */
export function callAbout(json: string): string {
  const given = parsed(json);
  if (given === undefined) return json;
  const named = TELLING.map((name) => given[name]).find((value) => typeof value === 'string' && value !== '');
  const first = Object.values(given).find((value) => typeof value === 'string' || typeof value === 'number');
  return filesOf(String(named ?? first ?? ''));
}

/** In front of what changes in a file, as patches of each kind name it. */
const FILE_NAMES = [
  /^\*\*\* (?:Add|Update|Delete) File: (.+)$/gm,
  /^\+\+\+ (?:b\/)?(.+)$/gm,
  /^(\S.*)\n(?:```.*\n)?<{5,9} ?SEARCH/gm,
];

/** Of a patch the files that it changes; anything else as it is. */
function filesOf(text: string): string {
  const names = FILE_NAMES.flatMap((pattern) => [...text.matchAll(pattern)].map(([, name = '']) => name));
  return names.length === 0 ? text : [...new Set(names)].join(', ');
}

function parsed(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
