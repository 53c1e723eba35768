import { z } from 'zod';
import { fromPublicId } from '../core/id.ts';
import { MODEL_MAX_CHARS, MODEL_MAX_LINES } from '../core/truncate.ts';
import { defineTool } from './tool.ts';

export const READ_OUTPUT = 'read_output';
/** A page is shown uncut, with a line that says how to go on. */
export const MAX_PAGE_CHARS = MODEL_MAX_CHARS - 500;
const MAX_PAGE_LINES = MODEL_MAX_LINES - 1;

class OutputError extends Error {
  override readonly name = 'OutputError';
}

export const readOutputTool = defineTool({
  name: READ_OUTPUT,
  description:
    'Reads a part of an earlier result that was cut: the note where it was cut names its id and where to begin. Gives the text as it was, ' +
    'then a line in parentheses that says which characters it is, and how to go on.',
  parameters: z.strictObject({
    id: z.string().describe('As the note says: "out_...".'),
    offset: z.int().min(0).default(0).describe('First character, counted from 0.'),
    limit: z.int().min(1).max(MAX_PAGE_CHARS).default(MAX_PAGE_CHARS).describe('Characters at most.'),
  }),
  effect: 'read',
  async execute({ id, offset, limit }, { readOutput }) {
    const callId = fromPublicId('output', id);
    const page = callId === undefined ? undefined : await readOutput(callId, { offset, limit });
    if (page === undefined) {
      throw new OutputError(
        `this session has no stored output '${id}', expected an id as the note in a cut result names it.`,
      );
    }
    if (page.text === '')
      throw new OutputError(`'${id}' ends before character ${offset}; use a smaller offset.`);
    const text = wholeCharacters(firstLines(page.text), page.more);
    const end = offset + text.length;
    const isAll = !page.more && text.length === page.text.length;
    const next = isAll ? 'this is its end' : `go on with offset ${end}`;
    return {
      text: `${text}${text.endsWith('\n') ? '' : '\n'}(characters ${offset} to ${end} of ${id}; ${next})`,
    };
  },
});

function firstLines(text: string): string {
  let at = 0;
  for (let line = 0; line < MAX_PAGE_LINES; line++) {
    const newline = text.indexOf('\n', at);
    if (newline === -1) return text;
    at = newline + 1;
  }
  return text.slice(0, at);
}

/** Half a surrogate pair at the end is left to the next page. */
function wholeCharacters(text: string, more: boolean): string {
  return more && text.length > 1 ? text.replace(/[\ud800-\udbff]$/, '') : text;
}
