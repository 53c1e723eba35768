/** Longest title of a session, in characters. */
export const MAX_TITLE_LENGTH = 100;

/** The prompt's first line that says something, cut where it is long. */
export function titleOf(prompt: string): string {
  const line = prompt.split(/[\r\n\u2028\u2029]/).find((each) => each.trim() !== '') ?? '';
  const title = line.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  if (title.length <= MAX_TITLE_LENGTH) return title;
  // A surrogate pair is not cut in two.
  return `${title.slice(0, MAX_TITLE_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
