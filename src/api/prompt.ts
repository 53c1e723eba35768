/** What may be said to an agent. */
import { badRequest, tooLarge } from './problem.ts';
import { MAX_PROMPT_BYTES } from './wire.ts';
import { MAX_TITLE_LENGTH } from './wire-takeover.ts';

/** Throws `ApiProblem` (`empty_prompt`, `prompt_too_large`) where nothing, or too much, is said. */
export function checkPrompt(prompt: string): void {
  if (prompt.trim() === '') throw badRequest('empty_prompt', 'The prompt is empty: say what is to be done.');
  const bytes = Buffer.byteLength(prompt);
  if (bytes > MAX_PROMPT_BYTES) {
    throw tooLarge(
      `The prompt has ${bytes} bytes, and at most ${MAX_PROMPT_BYTES} are accepted: put long texts into files.`,
    );
  }
}

/** The prompt's first line that says something, cut where it is long. */
export function titleOf(prompt: string): string {
  const line = prompt.split(/[\r\n\u2028\u2029]/).find((each) => each.trim() !== '') ?? '';
  const title = line.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  if (title.length <= MAX_TITLE_LENGTH) return title;
  // A surrogate pair is not cut in two.
  return `${title.slice(0, MAX_TITLE_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
