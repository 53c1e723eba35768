import { z } from 'zod';
import { FileChanges } from '../workspace/file-changes.ts';
import { filePath, findFile } from './file-path.ts';
import { EditError } from './line-edit.ts';
import { defineTool } from './tool.ts';

/** Lines that a message about too many matches names. */
const NAMED_LINES = 10;

export const editFileTool = defineTool({
  name: 'edit_file',
  description:
    'Replaces an exact piece of text in a file. old_string must occur exactly once, with its white space; add lines around it ' +
    'until it does, or set replace_all. Leave out the line numbers that read_file shows.',
  parameters: z.strictObject({
    path: filePath,
    old_string: z.string().describe('The text to replace, exactly as it stands in the file.'),
    new_string: z.string().describe('What takes its place; may be empty.'),
    replace_all: z.boolean().optional().describe('Replace every occurrence; false where left out.'),
  }),
  effect: 'workspace',
  async execute({ path, old_string, new_string, replace_all = false }, { workspace, seen }) {
    if (old_string === '') throw new EditError('old_string is empty; use write_file to write a whole file.');
    if (old_string === new_string)
      throw new EditError('old_string and new_string are the same: nothing to change.');
    const file = await findFile(workspace, path);
    const changes = new FileChanges(seen);
    const text = await changes.text(file);
    const edit = inLineEndingsOf(text, { old: old_string, new: new_string });
    const places = occurrences(text, edit.old, replace_all);
    if (places.length === 0) throw notFound(path, text, old_string);
    if (places.length > 1 && !replace_all) throw ambiguous(path, text, places);
    changes.write(file, splice(text, edit, places));
    await changes.commit();
    const times = places.length === 1 ? '1 replacement' : `${places.length} replacements`;
    return { text: `Edited ${path}: ${times}, at ${lineList(text, places)}.` };
  },
});

interface Edit {
  readonly old: string;
  readonly new: string;
}

/**
 * A model writes `\n` whatever the file does: read_file shows no `\r`. Where the text as given is not in a file with CRLF line
 * endings, its line ends are taken for CRLF; and in a file that has no other, so are those of the replacement.
 */
function inLineEndingsOf(text: string, edit: Edit): Edit {
  if (!text.includes('\r\n')) return edit;
  const all = !/(?<!\r)\n/.test(text);
  const isThere = text.includes(edit.old);
  return {
    old: isThere ? edit.old : withCrlf(edit.old),
    new: all || !isThere ? withCrlf(edit.new) : edit.new,
  };
}

function withCrlf(text: string): string {
  return text.replace(/(?<!\r)\n/g, '\r\n');
}

/** Where `part` begins. Occurrences that overlap count as two where only one is to be replaced: it is not clear which. */
function occurrences(text: string, part: string, replaceAll: boolean): number[] {
  const places: number[] = [];
  const step = replaceAll ? part.length : 1;
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + step)) places.push(at);
  return places;
}

function splice(text: string, edit: Edit, places: readonly number[]): string {
  let done = 0;
  const pieces = places.map((at) => {
    const before = text.slice(done, at);
    done = at + edit.old.length;
    return before + edit.new;
  });
  return pieces.join('') + text.slice(done);
}

function lineList(text: string, places: readonly number[]): string {
  const named = places.slice(0, NAMED_LINES).map((at) => text.slice(0, at).split('\n').length);
  const rest = places.length - named.length;
  const more = rest > 0 ? ` and ${rest} more` : '';
  return `${places.length === 1 ? 'line' : 'lines'} ${named.join(', ')}${more}`;
}

function ambiguous(path: string, text: string, places: readonly number[]): EditError {
  return new EditError(
    `old_string occurs ${places.length} times in '${path}', at ${lineList(text, places)}, expected once; add text around it until it is unique, or set replace_all.`,
  );
}

function notFound(path: string, text: string, old: string): EditError {
  return new EditError(`old_string is not in '${path}'; ${hint(text, old)}`);
}

function hint(text: string, old: string): string {
  if (/^\s*\d+\t/.test(old))
    return 'it begins with a line number as read_file shows it, which is not part of the file.';
  const line = lineOfLooseMatch(text, old);
  if (line !== undefined)
    return `a text that differs only in white space begins at line ${line}: copy it exactly.`;
  return 'read the file again and copy the text exactly, white space included.';
}

/** Compares line by line, without the white space at the ends of each. */
function lineOfLooseMatch(text: string, old: string): number | undefined {
  const trimmed = (value: string) => value.split('\n').map((line) => line.trim().replace(/\s+/g, ' '));
  const wanted = trimmed(old.trim());
  const lines = trimmed(text);
  const at = lines.findIndex((_, start) => wanted.every((line, index) => lines[start + index] === line));
  return at === -1 ? undefined : at + 1;
}
