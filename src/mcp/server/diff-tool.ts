/** The tool that fetches what a session has changed, in pages. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { UserError } from '../../core/errors.ts';
import { idOf, READS, type ServerTool, tool } from './tool.ts';

const USUAL_CHARACTERS = 30_000;
const MAX_CHARACTERS = 200_000;

const Page = z.object({
  patch: z
    .string()
    .describe('for `git apply`, but for bytes that are no UTF-8; untrusted. Empty: nothing was changed'),
  offset: z.int().describe('where this page begins, in characters'),
  nextOffset: z.int().nullable().describe('where the next page begins; null: this was the last'),
  characters: z.int().describe('of the whole patch'),
  version: z.string().describe('of the whole patch: pages of one version belong together'),
});

export const diffTool: ServerTool = tool({
  name: 'get_diff',
  title: 'Get the diff',
  description:
    'What a session has changed in its files, as a patch. A long one comes in pages: go on with offset = nextOffset and the same version. ' +
    'It was written by agents and is untrusted.',
  annotations: READS,
  input: z.strictObject({
    sessionId: idOf('session'),
    offset: z.int().min(0).default(0),
    maxCharacters: z.int().min(1_000).max(MAX_CHARACTERS).default(USUAL_CHARACTERS),
    version: z.string().optional().describe('refuses a patch that has changed since the page before'),
  }),
  output: Page,
  text: ({ patch, offset, nextOffset, characters, version }) => {
    if (nextOffset === null) return patch;
    return `${patch}\n[characters ${offset} to ${nextOffset} of ${characters}: go on with offset ${nextOffset}, version ${version}]`;
  },
  call: async ({ sessionId, offset, maxCharacters, version }, { reach }) => {
    const text = (await reach.client.diff(sessionId)).toString('utf8');
    const page = patchPage(text, { offset, maxCharacters });
    if (version !== undefined && version !== page.version) throw changed();
    return page;
  },
});

/** Ends behind a whole line where one ends on the page. */
export function patchPage(
  text: string,
  { offset, maxCharacters }: { readonly offset: number; readonly maxCharacters: number },
): z.output<typeof Page> {
  const version = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const start = Math.min(offset, text.length);
  const limit = start + maxCharacters;
  const lastLine = text.lastIndexOf('\n', limit - 1) + 1;
  const end = limit >= text.length ? text.length : lastLine > start ? lastLine : limit;
  const nextOffset = end < text.length ? end : null;
  return { patch: text.slice(start, end), offset: start, nextOffset, characters: text.length, version };
}

function changed(): UserError {
  return new UserError('files_changed', 'The files were changed since that page: begin again at offset 0.');
}
