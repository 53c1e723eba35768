import { z } from 'zod';
import { FileChanges } from '../workspace/file-changes.ts';
import { filePath, findFile } from './file-path.ts';
import { EditError } from './line-edit.ts';
import { looseLine, placesOf } from './line-search.ts';
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

/** From its first code unit up to the one behind its last. */
interface Place {
  readonly from: number;
  readonly to: number;
}

/** Occurrences that overlap count as two where only one is to be replaced: it is not clear which. */
function occurrences(text: string, old: string, replaceAll: boolean): Place[] {
  const starts = placesOf(unitsOf(text.replaceAll('\r\n', '\n')), unitsOf(old));
  const returns = returnsIn(text);
  const original = (index: number) => index + countBelow(returns, index);
  let end = 0;
  return starts.flatMap((start) => {
    if (replaceAll && start < end) return [];
    end = start + old.length;
    return [{ from: original(start), to: original(end) }];
  });
}

function unitsOf(text: string): Uint16Array {
  const bytes = Buffer.from(text, 'utf16le');
  return new Uint16Array(bytes.buffer, bytes.byteOffset, text.length);
}

/** Where the line ends that have one stand in the text without `\r` before `\n`. */
function returnsIn(text: string): number[] {
  const returns: number[] = [];
  for (let at = text.indexOf('\r\n'); at !== -1; at = text.indexOf('\r\n', at + 2))
    returns.push(at - returns.length);
  return returns;
}

function countBelow(sorted: readonly number[], limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function replaced(text: string, places: readonly Place[], fresh: string): string {
  const usual = text.includes('\r\n') && !/(?<!\r)\n/.test(text) ? '\r\n' : '\n';
  let done = 0;
  const pieces = places.map(({ from, to }) => {
    const before = text.slice(done, from);
    done = to;
    const ends = text.slice(from, to).match(/\r?\n/g) ?? [usual];
    let line = 0;
    return before + fresh.replace(/\n/g, () => ends[Math.min(line++, ends.length - 1)] ?? usual);
  });
  return pieces.join('') + text.slice(done);
}

function lineAt(text: string, end: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < end; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}

function lineList(text: string, places: readonly Place[]): string {
  const named = places.slice(0, NAMED_LINES).map(({ from }) => lineAt(text, from));
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
    return `a text that differs only in white space or typographic characters begins at line ${line}: copy it exactly.`;
  return 'read the file again and copy the text exactly, white space included.';
}

/** Compares line by line, without white space and what else models change as they copy. */
function lineOfLooseMatch(text: string, old: string): number | undefined {
  const [at] = placesOf(text.split('\n').map(looseLine), old.trim().split('\n').map(looseLine));
  return at === undefined ? undefined : at + 1;
}
