/** What somebody may have meant who misspelt a name. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const far = (candidate: string) => editDistance(name.toLowerCase(), candidate.toLowerCase());
  return candidates.toSorted((one, other) => far(one) - far(other))[0];
}

/** The same, where it is so near that it is likely meant: of two letters one may be wrong, of five two. */
export function likely(name: string, candidates: readonly string[]): string | undefined {
  const found = nearest(name, candidates);
  if (found === undefined) return undefined;
  const apart = editDistance(name.toLowerCase(), found.toLowerCase());
  return apart <= Math.floor((Math.min(name.length, found.length) + 1) / 3) ? found : undefined;
}

/** Levenshtein's: how many letters must be added, taken away or replaced. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1];
    for (const [column, there] of [...other].entries()) {
      const replaced = (row[column] ?? 0) + (letter === there ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
