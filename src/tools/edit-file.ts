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
    const file = await findFile(workspace, path);
    const changes = new FileChanges(seen);
    const edit = { old: old_string, new: new_string, all: replace_all };
    const { text, where } = editText(file.shown, await changes.text(file), edit);
    changes.write(file, text);
    await changes.commit();
    return { text: `Edited ${file.shown}: ${where}.` };
  },
});

export interface TextEdit {
  readonly old: string;
  readonly new: string;
  /** Every occurrence, instead of the only one. */
  readonly all: boolean;
}

/**
 * The text with the edit in its place. read_file shows no `\r` and a model writes none: a line end is one, whichever it is, and new lines end as those
 * they replace do. Throws `EditError`.
 */
export function editText(path: string, text: string, edit: TextEdit): { text: string; where: string } {
  if (edit.old === '') throw new EditError('old_string is empty; use write_file to write a whole file.');
  const old = edit.old.replaceAll('\r\n', '\n');
  const fresh = edit.new.replaceAll('\r\n', '\n');
  if (old === fresh) throw new EditError('old_string and new_string are the same: nothing to change.');
  const places = occurrences(text, old, edit.all);
  if (places.length === 0) throw notFound(path, text, old);
  if (places.length > 1 && !edit.all) throw ambiguous(path, text, places);
  const times = places.length === 1 ? '1 replacement' : `${places.length} replacements`;
  return { text: replaced(text, places, fresh), where: `${times}, at ${lineList(text, places)}` };
}

interface Place {
  readonly from: number;
  /** As it stands there, with its line ends. */
  readonly text: string;
}

/** Occurrences that overlap count as two where only one is to be replaced: it is not clear which. */
function occurrences(text: string, old: string, replaceAll: boolean): Place[] {
  const pattern = new RegExp(old.split('\n').map(RegExp.escape).join('\\r?\\n'), 'g');
  const places: Place[] = [];
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    places.push({ from: found.index, text: found[0] });
    // Behind the first character; a line end is one.
    if (!replaceAll) pattern.lastIndex = found.index + (found[0].startsWith('\r\n') ? 2 : 1);
  }
  return places;
}

function replaced(text: string, places: readonly Place[], fresh: string): string {
  const usual = text.includes('\r\n') && !/(?<!\r)\n/.test(text) ? '\r\n' : '\n';
  let done = 0;
  const pieces = places.map((place) => {
    const before = text.slice(done, place.from);
    done = place.from + place.text.length;
    const ends = place.text.match(/\r?\n/g) ?? [usual];
    let line = 0;
    return before + fresh.replace(/\n/g, () => ends[Math.min(line++, ends.length - 1)] ?? usual);
  });
  return pieces.join('') + text.slice(done);
}

function lineList(text: string, places: readonly Place[]): string {
  const named = places.slice(0, NAMED_LINES).map(({ from }) => text.slice(0, from).split('\n').length);
  const rest = places.length - named.length;
  const more = rest > 0 ? ` and ${rest} more` : '';
  return `${places.length === 1 ? 'line' : 'lines'} ${named.join(', ')}${more}`;
}

function ambiguous(path: string, text: string, places: readonly Place[]): EditError {
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
