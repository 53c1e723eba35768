/** Whom every commit of an agent names beside its author, in the words of git-interpret-trailers(1). */
export const CO_AUTHOR = { name: 'Capybara Vibe', email: 'agent@capybara.ai' } as const;
export const CO_AUTHOR_TRAILER = `Co-authored-by: ${CO_AUTHOR.name} <${CO_AUTHOR.email}>`;

/** The message with the trailer once, in its last block of trailers. */
export function withCoAuthor(message: string): string {
  const lines = message.split(/\r?\n/).filter((line) => !isTrailer(line));
  const text = lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
  if (text === '') return `${CO_AUTHOR_TRAILER}\n`;
  return `${text}\n${endsInTrailers(text) ? '' : '\n'}${CO_AUTHOR_TRAILER}\n`;
}

function isTrailer(line: string): boolean {
  return line.trim().toLowerCase() === CO_AUTHOR_TRAILER.toLowerCase();
}

/** The first paragraph is the subject, whatever it looks like. */
function endsInTrailers(text: string): boolean {
  const paragraphs = text.split(/\n{2,}/);
  const last = paragraphs.at(-1)?.split('\n') ?? [];
  return paragraphs.length > 1 && last.every((line) => /^[A-Za-z0-9-]+: \S|^\s+\S/.test(line));
}
