import { z } from 'zod';
import { FileChanges } from '../workspace/file-changes.ts';
import { describeEdits, type FileEdits, namedIn } from './edit-report.ts';
import { findFile } from './file-path.ts';
import { applyHunks, EditError, type Edited } from './line-edit.ts';
import { type Block, hunkOf, parseBlocks } from './search-replace-format.ts';
import { defineTool, type ToolContext } from './tool.ts';

/** Of a call's text: a change of more is no edit. */
export const MAX_EDIT_CHARS = 1024 * 1024;

export const searchReplaceTool = defineTool({
  name: 'search_replace',
  description: [
    'Edits one or several files by blocks; all of them are applied, or none. Each block stands behind a line with the path of its file:',
    'src/a.ts',
    '<<<<<<< SEARCH',
    'whole lines as they stand in the file, with their white space',
    '=======',
    'the lines that take their place; none to delete them',
    '>>>>>>> REPLACE',
    'Another block for the same file needs no path. The SEARCH lines must stand in the file in exactly one place: add lines around the change until they do. ' +
      'Blocks see what those before them changed. An empty SEARCH makes a new file.',
  ].join('\n'),
  parameters: z.strictObject({
    blocks: z.string().min(1).max(MAX_EDIT_CHARS).describe('Paths and blocks.'),
  }),
  effect: 'workspace',
  paths: ({ blocks }) => namedIn(() => parseBlocks(String(blocks)).map(({ path }) => path)),
  async execute({ blocks }, context) {
    const changes = new FileChanges(context.seen);
    const edits = new Map<string, FileEdits>();
    for (const block of parseBlocks(blocks)) await apply(context, changes, { block, edits });
    await changes.commit();
    return { text: describeEdits(edits.values()) };
  },
});

async function apply(
  { workspace }: ToolContext,
  changes: FileChanges,
  { block, edits }: { readonly block: Block; readonly edits: Map<string, FileEdits> },
): Promise<void> {
  const { path } = block;
  const file = await findFile(workspace, path);
  const there = block.search.length === 0 ? await changes.find(file) : await changes.text(file);
  const { text, at, notes } = applyBlock(there, block);
  changes.write(file, text);
  const done = there === null ? ('created' as const) : ('edited' as const);
  const known = edits.get(path) ?? { path, done, at: [], notes: [] };
  edits.set(path, { ...known, at: [...known.at, ...at], notes: [...known.notes, ...notes] });
}

/** `text`: null where there is no file. Throws `EditError`. */
export function applyBlock(text: string | null, block: Block): Edited {
  const { path, name, search, replace } = block;
  if (search.length === 0) {
    if (text !== null && text !== '')
      throw new EditError(
        `${name}: the SEARCH part is empty, but '${path}' is not; give the lines to replace.`,
      );
    return { text: replace.map((line) => `${line}\n`).join(''), at: [], notes: [] };
  }
  const hunk = hunkOf(block);
  if (hunk.lines.some(({ kind }) => kind !== 'keep')) return applyHunks(path, text ?? '', [hunk]);
  throw new EditError(`${name}: SEARCH and REPLACE are the same: nothing to change.`);
}
