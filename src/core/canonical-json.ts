/** Deeper than any tool's arguments; a text may be nested so deep that walking it would end the process's stack. */
export const MAX_NESTING = 200;

/**
 * A JSON text as one of all that mean the same: no white space, keys sorted, numbers in their shortest form. `leftOut`: keys
 * of the outermost object that are not told. A text that is no JSON, or nested too deep, comes back trimmed.
 */
export function canonicalJson(text: string, leftOut: readonly string[] = []): string {
  const value = valueIn(text);
  if (value === undefined) return text.trim();
  if (!isObject(value)) return canonicalText(value);
  return canonicalText(Object.fromEntries(Object.entries(value).filter(([key]) => !leftOut.includes(key))));
}

/** The object that a JSON text is; undefined where it is something else, no JSON, or nested too deep. */
export function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  const value = valueIn(text);
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Undefined: it is no JSON, or too deep. A model may write anything. */
function valueIn(text: string): unknown {
  if (nestingOf(text) > MAX_NESTING) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As `canonicalJson`, of a value. */
export function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalText(member)}`).join(',')}}`;
}

/** At least how deep its brackets go; those within strings count too. */
function nestingOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [bracket] of text.matchAll(/[[\]{}]/g)) {
    depth += bracket === '[' || bracket === '{' ? 1 : -1;
    if (depth > deepest) deepest = depth;
  }
  return deepest;
}
