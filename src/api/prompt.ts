/** What may be said to an agent. */
import { badRequest, tooLarge } from './problem.ts';
import { MAX_PROMPT_BYTES } from './wire.ts';

/** Throws `ApiProblem` (`empty_prompt`, `prompt_too_large`) where nothing, or too much, is said in a field. */
export function checkPrompt(prompt: string, field: string): void {
  if (prompt.trim() === '')
    throw badRequest('empty_prompt', 'The prompt is empty: say what is to be done.', field);
  const bytes = Buffer.byteLength(prompt);
  if (bytes > MAX_PROMPT_BYTES) {
    throw tooLarge(
      `The prompt has ${bytes} bytes, and at most ${MAX_PROMPT_BYTES} are accepted: put long texts into files.`,
      field,
    );
  }
}
