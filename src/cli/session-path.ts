/** Which session of a tree something is about, in words that a model or a person chose. */
import { oneLine } from './untrusted-text.ts';

/** Columns of a session's title where it is only to be told from the others. */
const TITLE_COLUMNS = 24;

interface Named {
  readonly title: string;
  readonly agent: string | null;
}

/** Never empty. */
export function shortTitle({ title, agent }: Named): string {
  return short(title) || short(agent ?? '') || 'untitled';
}

/** Of titles that are drawn again and again. */
const known = new Map<string, string>();
const MAX_KNOWN = 1_000;

function short(title: string): string {
  const found = known.get(title) ?? oneLine(title, TITLE_COLUMNS);
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(title, found);
  return found;
}

/** `Mend the gearbox › tests › unit`, from the root down. */
export function pathText(path: readonly Named[], separator = ' › '): string {
  return path.map(shortTitle).join(separator);
}

/** `parent › tests`, from the session that is followed down to one below it; undefined where it asks itself. */
export function askerText(
  path: readonly (Named & { readonly sessionId: string })[],
  followed: string,
  separator?: string,
): string | undefined {
  const [first, ...below] = path.slice(
    Math.max(
      0,
      path.findIndex(({ sessionId }) => sessionId === followed),
    ),
  );
  if (first === undefined || below.length === 0) return undefined;
  return pathText([{ ...first, title: 'parent' }, ...below], separator);
}
